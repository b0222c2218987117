"""One run's share of the gateways: connections, calls, memory. What one run uses up, others don't miss."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from safebox.firewall.errors import FirewallError
from safebox.firewall.gateways.limits import CALLS_MAX, CONNECTIONS_MAX, HELD_BYTES_MAX, QUEUE_MAX, QUEUE_SECONDS


class Overloaded(FirewallError):
    """This run asks for more at once than its share; nothing was done."""

    default_code = "firewall.overloaded"


_TOO_MANY: Final = "this run has too much going on at once; nothing was done"


Step = Callable[[], Awaitable[None]]
"""Waits until one more request of this run may begin."""


class Connection(Protocol):
    """What a gate knows of an open connection."""

    idle_since: float | None
    """When it last had nothing to do, in the event loop's time; None while it has."""

    def cut(self) -> None:
        """Close now."""
        ...

    def watch(self, now: float) -> None:
        """Cut if past a deadline, in the event loop's time."""
        ...


class Gate:
    """Counts what a run has open. As a context manager: one call's turn."""

    def __init__(self, step: Step | None = None) -> None:
        self.step = step
        self.connections: set[Connection] = set()
        self.large = asyncio.Lock()
        self._turns = asyncio.Semaphore(CALLS_MAX)
        self._waiting = 0
        self._held = 0

    def enter(self, connection: Connection, share: int = CONNECTIONS_MAX) -> bool:
        """Admit a connection; if the share is used up, the one unused for longest makes room."""
        if len(self.connections) >= share and not self._make_room():
            return False
        self.connections.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self.connections.discard(connection)

    def hand_over(self, connection: Connection, to: Connection) -> None:
        """A connection goes on as another one, in its place."""
        self.connections.discard(connection)
        self.connections.add(to)

    def _make_room(self) -> bool:
        unused = [(one.idle_since, one) for one in self.connections if one.idle_since is not None]
        if not unused:
            return False
        _, oldest = min(unused, key=lambda pair: pair[0])
        self.connections.discard(oldest)
        oldest.cut()
        return True

    @property
    def held(self) -> int:
        """Bytes of bodies kept in memory now."""
        return self._held

    def hold(self, size: int) -> None:
        """Count bytes of a body kept in memory.

        Raises:
            Overloaded: if this run holds too many; these are not counted.
        """
        if self._held + size > HELD_BYTES_MAX:
            raise Overloaded(_TOO_MANY)
        self._held += size

    def release(self, size: int) -> None:
        """Those bytes are gone."""
        self._held -= size

    async def __aenter__(self) -> None:
        if not self._turns.locked():
            await self._turns.acquire()
            return
        if self._waiting >= QUEUE_MAX:
            raise Overloaded(_TOO_MANY)
        self._waiting += 1
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Overloaded(_TOO_MANY) from error
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._turns.release()
