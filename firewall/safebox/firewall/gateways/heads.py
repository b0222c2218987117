"""Which blocks the chain has, as it grows and is rearranged: one follower for all runs, however many of them look.

The node is asked for its newest block once a second while anybody watches, and for the blocks in between by their
parent's hash, so that every block is seen once and a reorganisation shows as blocks taken away. What was seen is a list
of changes; each watcher keeps its own place in it. The list is bounded: whoever is too far behind has lost its place.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final, NamedTuple, Protocol

import msgspec

from safebox.firewall.errors import CallerError, EffectError
from safebox.firewall.gateways.rpc import node_answer, read_request

POLL_SECONDS: Final = 1.0
"""How late news may be; a twelfth of the main network's block time."""
TAIL_MAX: Final = 128
"""Blocks known by their hash: a reorganisation deeper than this has never been seen on the main network."""
GAP_MAX: Final = 64
"""Blocks fetched to close a gap; after a longer one watchers begin anew."""
CHANGES_MAX: Final = 1024
"""Changes kept for watchers that look rarely."""
WATCHED_SECONDS: Final = 300.0
"""How long after it was last asked for a chain is followed: as long as a filter lives unused."""
_BODY: Final = frozenset({"transactions", "uncles", "withdrawals", "size", "totalDifficulty"})
"""What a block has and a head has not (geth)."""


class ChainReader(Protocol):
    """Passes reads on to a node."""

    async def forward(self, payload: bytes) -> bytes:
        """One JSON-RPC request, byte for byte, and its answer.

        Raises:
            CallerError: if the answer is longer than any may be.
            EffectError: if there is no usable answer.
        """
        ...

    def pinned(self) -> ChainReader:
        """A reader whose reads all go to one and the same node."""
        ...


class Block(msgspec.Struct, frozen=True):
    """A block, as far as it places itself."""

    number: str
    hash: str
    parent: str = msgspec.field(name="parentHash")


class Change(NamedTuple):
    """A block that came, or was taken away. `head` is what a subscription to heads is told of one that came."""

    block: Block
    head: dict[str, msgspec.Raw] | None


class Heads:
    """Follows one chain. `close` at the end."""

    def __init__(self, chain: ChainReader, *, poll: float = POLL_SECONDS, watched: float = WATCHED_SECONDS) -> None:
        self._chain = chain
        self._poll = poll
        self._watched = watched
        self._tail: deque[Block] = deque(maxlen=TAIL_MAX)
        self._changes: deque[Change] = deque(maxlen=CHANGES_MAX)
        self._end = 0
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._looks = 0
        self._waiting = 0
        self._until = 0.0
        self._following: asyncio.Task[None] | None = None

    @property
    def end(self) -> int:
        """The place after the last change."""
        return self._end

    def since(self, place: int) -> list[Change] | None:
        """The changes from a place on; None if it is lost."""
        count = self._end - place
        if count > len(self._changes):
            return None
        return list(self._changes)[len(self._changes) - count :]

    async def advance(self) -> None:
        """See what is new now.

        Raises:
            EffectError: if the node doesn't tell.
        """
        self._watch()
        begun = self._looks
        async with self._turn:
            if self._looks == begun:  # else somebody looked after this was asked, and that is good for all who waited
                await self._look()

    async def wait(self, place: int) -> None:
        """Wait until there is something after a place."""
        self._waiting += 1
        try:
            while self._end <= place:
                self._watch()
                await self._news.wait()
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Follow no more."""
        task, self._following = self._following, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _watch(self) -> None:
        self._until = asyncio.get_running_loop().time() + self._watched
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting or loop.time() < self._until:
            await asyncio.sleep(self._poll)
            with contextlib.suppress(EffectError, CallerError):  # asked again in a moment; readers hear it themselves
                async with self._turn:
                    await self._look()

    async def _look(self) -> None:
        begun = self._looks
        self._looks += 1
        try:
            await self._see()
        except (EffectError, CallerError):
            self._looks = begun
            raise

    async def _see(self) -> None:
        reader = self._chain.pinned()
        newest = await _block(reader, "eth_getBlockByNumber", "latest")
        if not self._tail:
            self._tail.append(newest.block)
            return
        known = {block.hash for block in self._tail}
        if newest.block.hash in known:
            self._take([], newest.block.hash)
            return
        fresh = [newest]
        while fresh[-1].block.parent not in known and len(fresh) < GAP_MAX:
            fresh.append(await _block(reader, "eth_getBlockByHash", fresh[-1].block.parent))
        if fresh[-1].block.parent in known:
            self._take(fresh[::-1], fresh[-1].block.parent)
        else:
            self._begin_anew(newest.block)

    def _take(self, fresh: list[Change], onto: str) -> None:
        """Put blocks onto a known one; those that were after it are gone."""
        while self._tail[-1].hash != onto:
            self._note(Change(self._tail.pop(), None))
        for change in fresh:
            self._tail.append(change.block)
            self._note(change)

    def _note(self, change: Change) -> None:
        self._changes.append(change)
        self._end += 1
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _begin_anew(self, block: Block) -> None:
        self._tail.clear()
        self._tail.append(block)
        self._changes.clear()
        self._end += 1


async def _block(reader: ChainReader, method: str, which: str) -> Change:
    """Ask for a block, without its transactions.

    Raises:
        EffectError: if the node doesn't tell.
    """
    outcome = node_answer(await reader.forward(read_request(method, [which, False])))
    try:
        raw = bytes(outcome["result"])
        block = msgspec.json.decode(raw, type=Block)
        fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EffectError("the node's block is none") from error
    return Change(block, {name: value for name, value in fields.items() if name not in _BODY})
