"""Filters of one run (`eth_newFilter` and its kin), kept here: a node's own would be shared by all runs that ask it.

An id is 128 random bits and is looked up among the asking run's own only, so guessing one finds nothing of another's.
Filters are bounded in number and end after five minutes without a question, as geth's do. Each keeps its place in the
list of changes that all runs share (`heads`), and asks the node for nothing but the logs of blocks that came since.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from safebox.firewall.errors import CallerError, EffectError
from safebox.firewall.gateways.bounds import Criteria, criteria
from safebox.firewall.gateways.heads import WATCHED_SECONDS, ChainReader, Change, Heads
from safebox.firewall.gateways.rpc import NO_FILTER, TOO_MUCH, node_answer, read_request

FILTERS_MAX: Final = 32
"""Filters of one run at once; a program has a few."""
CHANGES_AT_ONCE: Final = 32
"""Blocks whose logs one question asks for; what is left comes with the next."""
SENT_LOGS_MAX: Final = 1000
"""Logs remembered of each filter, to say that they are gone if their block is."""

Log = dict[str, msgspec.Raw]


class LogWatch:
    """The logs one filter or subscription is about, block by block."""

    def __init__(self, wanted: Criteria) -> None:
        self._wanted = wanted
        self._sent: deque[tuple[str, Log]] = deque(maxlen=SENT_LOGS_MAX)

    async def logs(self, change: Change, reader: ChainReader) -> list[Log]:
        """What a change brings: the logs of a block that came, or those told before of one that is gone.

        Raises:
            CallerError: if they are more than can be taken.
            EffectError: if the node doesn't tell.
        """
        block = change.block.hash
        if change.head is None:
            gone = [log for where, log in self._sent if where == block]
            return [{**log, "removed": msgspec.Raw(b"true")} for log in gone]
        found = _logs(node_answer(await reader.forward(read_request("eth_getLogs", [self._wanted.of_block(block)]))))
        self._sent.extend((block, log) for log in found)
        return found


class _Filter:
    """One filter: what it is about (None: blocks), its place among the changes, and when it was last asked."""

    def __init__(self, wanted: dict[str, Any] | None, place: int, now: float) -> None:
        self.wanted = wanted
        self.watch = None if wanted is None else LogWatch(criteria(wanted))
        self.place = place
        self.asked_at = now
        self.turn = asyncio.Lock()


class Filters:
    """All filters of one run."""

    def __init__(self, heads: Heads, clock: Callable[[], float]) -> None:
        self._heads = heads
        self._clock = clock
        self._filters: dict[str, _Filter] = {}

    async def add(self, wanted: dict[str, Any] | None) -> str:
        """A new filter for blocks, or for logs chosen by `wanted`; returns its id.

        Raises:
            CallerError: if there are too many, or `wanted` is malformed.
            EffectError: if the node doesn't tell where the chain is.
        """
        self._expire()
        if wanted is not None:
            criteria(wanted)
        await self._heads.advance()
        if len(self._filters) >= FILTERS_MAX:
            raise CallerError(f"a run has at most {FILTERS_MAX} filters; uninstall one", code=TOO_MUCH)
        name = new_id()
        self._filters[name] = _Filter(wanted, self._heads.end, self._clock())
        return name

    async def changes(self, name: object, reader: ChainReader) -> list[Any]:
        """What came since the last question: hashes of blocks, or logs.

        Raises:
            CallerError: if there is no such filter, or it missed too much to go on.
            EffectError: if the node doesn't tell.
        """
        found = self._find(name)
        async with found.turn:
            await self._heads.advance()
            fresh = self._heads.since(found.place)
            if fresh is None:
                self.remove(name)
                raise _gone()
            if found.watch is None:
                found.place += len(fresh)
                return [change.block.hash for change in fresh if change.head is not None]
            logs: list[Any] = []
            for change in fresh[:CHANGES_AT_ONCE]:
                try:
                    logs += await found.watch.logs(change, reader)
                except EffectError:
                    if not logs:
                        raise
                    break  # what was found is told; the rest is asked for again
                found.place += 1
            return logs

    def logs_of(self, name: object) -> dict[str, Any]:
        """What a filter for logs was made with.

        Raises:
            CallerError: if there is no such filter.
        """
        wanted = self._find(name).wanted
        if wanted is None:
            raise _gone()
        return wanted

    def remove(self, name: object) -> bool:
        """Forget a filter; says whether it was there."""
        self._expire()
        return isinstance(name, str) and self._filters.pop(name, None) is not None

    def _find(self, name: object) -> _Filter:
        self._expire()
        found = self._filters.get(name) if isinstance(name, str) else None
        if found is None:
            raise _gone()
        found.asked_at = self._clock()
        return found

    def _expire(self) -> None:
        earliest = self._clock() - WATCHED_SECONDS
        self._filters = {name: one for name, one in self._filters.items() if one.asked_at >= earliest}


def new_id() -> str:
    """The name of a filter or subscription, as geth makes it: 128 random bits."""
    return "0x" + secrets.token_hex(16)


def _logs(outcome: dict[str, Any]) -> list[Log]:
    try:
        return msgspec.json.decode(bytes(outcome["result"]), type=list[Log])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EffectError("the node's logs are none") from error


def _gone() -> CallerError:
    return CallerError("filter not found", code=NO_FILTER)
