"""What one run has of the chain beside its calls: filters, subscriptions, and so many reads at a node at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.filters import Filters
from safebox.firewall.gateways.heads import ChainReader, Heads
from safebox.firewall.gateways.rpc import TOO_MUCH

READS_AT_ONCE: Final = 16
"""Reads of one run at the nodes at once: four runs leave nobody's reads waiting for a connection."""
SUBSCRIPTIONS_MAX: Final = 32
"""Subscriptions of one run at once, over all its connections."""
NOTICES_PER_SECOND: Final = 500
"""What one run is told by its subscriptions in a second; more waits. The main network logs less than a tenth of it."""


class Share:
    """One run's share."""

    def __init__(self, heads: Heads, clock: Callable[[], float]) -> None:
        self.filters = Filters(heads, clock)
        self.reading = asyncio.Semaphore(READS_AT_ONCE)
        self._clock = clock
        self._subscribed = 0
        self._second = 0.0
        self._told = 0

    def subscribe(self) -> None:
        """Count one more subscription.

        Raises:
            CallerError: if there are too many.
        """
        if self._subscribed >= SUBSCRIPTIONS_MAX:
            raise CallerError(f"a run has at most {SUBSCRIPTIONS_MAX} subscriptions; end one", code=TOO_MUCH)
        self._subscribed += 1

    def unsubscribe(self) -> None:
        """Count one less."""
        self._subscribed -= 1

    async def pace(self) -> None:
        """Wait until one more notice may be sent."""
        while True:
            now = self._clock()
            if now >= self._second + 1:
                self._second, self._told = now, 0
            if self._told < NOTICES_PER_SECOND:
                self._told += 1
                return
            await asyncio.sleep(self._second + 1 - now)


class SharedReader:
    """A chain reader within one run's share."""

    def __init__(self, reader: ChainReader, share: Share) -> None:
        self._reader = reader
        self._share = share

    async def forward(self, payload: bytes) -> bytes:
        """As `ChainReader.forward`, when it is this run's turn."""
        async with self._share.reading:
            return await self._reader.forward(payload)

    def pinned(self) -> SharedReader:
        """A reader whose reads all go to one and the same node."""
        return SharedReader(self._reader.pinned(), self._share)
