"""`eth_subscribe` on one WebSocket connection: heads and logs, told as blocks come and go.

Every subscription is a task with its own place among the changes that all runs share. A client that doesn't read what
it is told holds up its own tasks alone, and is cut with its connection. After a reorganisation heads of the new blocks
are told, and logs of blocks that are gone are told again with `removed: true`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec

from safebox.firewall.errors import CallerError, EffectError, FirewallError
from safebox.firewall.gateways.bounds import criteria
from safebox.firewall.gateways.filters import LogWatch, new_id
from safebox.firewall.gateways.heads import POLL_SECONDS, ChainReader, Change, Heads
from safebox.firewall.gateways.share import Share

_log: Final = logging.getLogger(__name__)


class Subscriptions:
    """The subscriptions of one connection. `close` with it.

    Args:
        heads: where news come from.
        share: the run's.
        reader: reads the logs.
        may_ask: raises `FirewallError` if the run may not ask now.
        send: takes a message to the client, waiting while it is slow.
        end: closes the connection.
    """

    def __init__(
        self,
        heads: Heads,
        share: Share,
        reader: ChainReader,
        *,
        may_ask: Callable[[], object],
        send: Callable[[bytes], Awaitable[None]],
        end: Callable[[], None],
    ) -> None:
        self._heads = heads
        self._share = share
        self._reader = reader
        self._may_ask = may_ask
        self._send = send
        self._end = end
        self._pending: list[tuple[str, LogWatch | None, int]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks) + len(self._pending)

    async def add(self, params: list[Any]) -> str:
        """A new subscription, told of what comes from now on, once `begin` was called; returns its id.

        Raises:
            CallerError: if there are too many, or there is no such kind.
            EffectError: if the node doesn't tell where the chain is.
        """
        watch = _watch(params)
        self._share.subscribe()
        try:
            await self._heads.advance()
        except (EffectError, CallerError):
            self._share.unsubscribe()
            raise
        name = new_id()
        self._pending.append((name, watch, self._heads.end))
        return name

    def begin(self) -> None:
        """Their ids were sent: tell what comes."""
        pending, self._pending = self._pending, []
        for name, watch, place in pending:
            task = self._tasks[name] = asyncio.create_task(self._follow(name, watch, place))
            task.add_done_callback(self._ended)

    def remove(self, name: object) -> bool:
        """End a subscription; says whether it was there."""
        self.begin()
        task = self._tasks.pop(name, None) if isinstance(name, str) else None
        if task is None:
            return False
        task.cancel()
        return True

    def close(self) -> None:
        """End all."""
        self.begin()
        for name in list(self._tasks):
            self.remove(name)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._share.unsubscribe()
        if task.cancelled():
            return
        if task.exception() is not None:
            _log.error("a subscription failed", exc_info=task.exception())
        self._end()

    async def _follow(self, name: str, watch: LogWatch | None, place: int) -> None:
        """Tell what comes, until the run may not ask any more or can't be told; then the connection ends."""
        while True:
            await self._heads.wait(place)
            fresh = self._heads.since(place)
            if fresh is None:
                place = self._heads.end
                continue
            for change in fresh:
                try:
                    self._may_ask()
                    await self._tell(name, await self._news(watch, change))
                except EffectError:
                    await asyncio.sleep(POLL_SECONDS)
                    break  # the node didn't tell: asked again from this change on
                except (CallerError, FirewallError):
                    return
                place += 1

    async def _news(self, watch: LogWatch | None, change: Change) -> list[dict[str, msgspec.Raw]]:
        if watch is not None:
            return await watch.logs(change, self._reader)
        return [] if change.head is None else [change.head]

    async def _tell(self, name: str, news: list[dict[str, msgspec.Raw]]) -> None:
        for each in news:
            await self._share.pace()
            params = {"subscription": name, "result": each}
            await self._send(msgspec.json.encode({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}))


def _watch(params: list[Any]) -> LogWatch | None:
    match params:
        case ["newHeads"]:
            return None
        case ["logs"]:
            return LogWatch(criteria({}))
        case ["logs", dict()]:
            return LogWatch(criteria(cast("dict[str, Any]", params[1])))
        case _:
            raise CallerError("there are subscriptions to newHeads and logs")
