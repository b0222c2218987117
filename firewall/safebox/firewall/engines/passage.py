"""Who asks policy and who changes it pass one another: many may ask at a time, nobody while it is changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from safebox.firewall.errors import PolicyUnavailable

WAIT_SECONDS: Final = 1.0
"""A change takes no longer where nothing is wrong; whoever asks meanwhile has an answer instead of a no."""


class Passage:
    """Open, unless somebody has closed it. For one event loop."""

    def __init__(self) -> None:
        self._inside = 0
        self._opened: asyncio.Event | None = None
        self._emptied: asyncio.Event | None = None

    async def enter(self) -> None:
        """Go in, once it is open; `leave` follows.

        Raises:
            PolicyUnavailable: if it stays closed for `WAIT_SECONDS`.
        """
        if self._opened is not None:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._open()
            except TimeoutError as error:
                raise PolicyUnavailable("another policy is just coming into force", kind="timeout") from error
        self._inside += 1

    async def _open(self) -> None:
        while (opened := self._opened) is not None:
            await opened.wait()

    def leave(self) -> None:
        """Go out."""
        self._inside -= 1
        if not self._inside and self._emptied is not None:
            self._emptied.set()

    @asynccontextmanager
    async def closed(self) -> AsyncGenerator[None]:
        """Close it, wait until nobody is inside, and open it again at the end. For one at a time."""
        self._opened, self._emptied = asyncio.Event(), asyncio.Event()
        try:
            if self._inside:
                await self._emptied.wait()
            yield
        finally:
            self._opened.set()
            self._opened = self._emptied = None
