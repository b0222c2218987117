"""What a firewall does all the time: looks after wallets, debts to the ledger, far sides, its own record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

_LOG = logging.getLogger(__name__)


class Duties:
    """Tasks that end with the firewall.

    Fails closed: a firewall in which one of them failed goes on saying yes without what the duty was there for, so it
    has to end. Who supervises it starts it again, and the ledger knows the rest.

    Args:
        failed: ends the firewall.
    """

    def __init__(self, failed: Callable[[], None]) -> None:
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, *works: Coroutine[Any, Any, None]) -> None:
        """Do these from now on."""
        for work in works:
            task = asyncio.ensure_future(work)
            self._tasks.add(task)
            task.add_done_callback(self._over)

    async def end(self) -> None:
        """Stop all of them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _LOG.critical("the firewall can't go on: a duty of it failed", exc_info=error)
            self._failed()
