"""The nodes of one chain, in the order they were named: the first that is well is asked, the others stand by.

Rule 1: a node is asked nothing before it has said the chain's id, nor after it has said another one.
Rule 2: an agent's read can't take a node out of use. Its failure makes the firewall ask the node itself whether it is
        well; only what fails then is passed over.
Rule 3: the first in order that is well again is taken again, found out in the background while another one answers.
Rule 4: what belongs together is asked of one node (`pinned`): two nodes see different blocks, and a batch that began
        with one and ended with another could tell of a payment before the block it is in. If the node fails in
        between, the rest of the batch has no answer.
Rule 5: of several nodes, one that is blocks behind the others is well only if no other is.
Rule 6: a transaction goes to one node. After no clear answer another one's "nonce too low" would say of the very
        payment that it failed; whoever sent it looks for it by its hash.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from safebox.firewall.connectors.jsonrpc import AnswerTooLong, Node, NodeRefused, NodeUnavailable
from safebox.firewall.errors import CallerError, EffectError

PROBE_SECONDS: Final = 3.0
"""A node that doesn't say its chain's id within this answers nothing else in time."""
CHECK_SECONDS: Final = 30.0
"""How often a node is asked for its chain and height again."""
AGAIN_SECONDS: Final = 2.0
"""How soon a node that failed is looked at again while another one answers; doubled each time, up to the above."""
JUST_NOW_SECONDS: Final = 0.2
"""Many calls fail at once with their node; the first one's look at it is good for all of them."""
BEHIND_BLOCKS: Final = 5
"""Two nodes in step differ by a block or two."""
_SENDING: Final = "eth_sendRawTransaction"
_NOBODY: Final = "no node of this chain answers"
Told = TypeVar("Told")


class _Seat:
    """What is known of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.well = False
        self.behind = False
        self.head = 0
        self.looked_at = float("-inf")
        self.wait = AGAIN_SECONDS
        self.looking: asyncio.Task[None] | None = None

    def due(self, now: float) -> bool:
        """Whether it is time to look at it again."""
        return now >= self.looked_at + (CHECK_SECONDS if self.well else self.wait)


class Nodes:
    """Nodes of one chain as one (`jsonrpc.ChainNode`).

    Args:
        urls: where they are, in order of preference.
        chain_id: the only chain.
        clock: seconds, for tests.
    """

    def __init__(self, urls: Sequence[str], chain_id: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seats = [_Seat(Node(url)) for url in urls]
        self._chain_id = chain_id
        self._clock = clock

    def states(self) -> list[bool]:
        """Of each node, in order, whether it would be asked if those before it weren't there."""
        return [seat.well and not seat.behind for seat in self._seats]

    def pinned(self) -> Pinned:
        """All that is asked of what this returns is asked of one node."""
        return Pinned(self)

    async def call(self, method: str, *params: Any) -> Any:
        """Ask. Raises as `Node.call` does."""
        if method == _SENDING:
            return await (await self.choose()).call(method, *params)
        return await self._try(lambda node: node.call(method, *params))

    async def quantity(self, method: str, *params: Any) -> int:
        """Ask for a number. Raises as `Node.call` does."""
        return await self._try(lambda node: node.quantity(method, *params))

    async def forward(self, payload: bytes) -> bytes:
        """Pass a request on byte for byte. Raises as `Node.forward` does."""
        return await self._try(lambda node: node.forward(payload))

    async def choose(self) -> Node:
        """The node to ask now.

        Raises:
            NodeUnavailable: None is well.
        """
        return (await self._seat()).node

    def answers(self, node: Node) -> bool:
        """Whether a node is well, as far as is known."""
        return any(seat.node is node and seat.well for seat in self._seats)

    async def doubt(self, node: Node) -> None:
        """Look whether a node that gave no answer is well."""
        for seat in self._seats:
            if seat.node is node:
                await self._look(seat)

    async def looked(self) -> None:
        """Wait until no node is being looked at."""
        await asyncio.gather(*(seat.looking for seat in self._seats if seat.looking is not None))

    async def close(self) -> None:
        """Let go of connections."""
        looking = [seat.looking for seat in self._seats if seat.looking is not None]
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
        for seat in self._seats:
            await seat.node.close()

    async def _try(self, ask: Callable[[Node], Awaitable[Told]]) -> Told:
        """Ask the best node, and the next one if it turns out not to be well."""
        for _ in self._seats:
            node = await self.choose()
            try:
                return await ask(node)
            except AnswerTooLong:
                raise
            except NodeUnavailable:
                await self.doubt(node)
                if self.answers(node):
                    raise
        raise NodeUnavailable(_NOBODY)

    async def _seat(self) -> _Seat:
        now = self._clock()
        best = self._best()
        if best is None:
            late = [seat for seat in self._seats if now >= seat.looked_at + JUST_NOW_SECONDS]
            for looking in [self._begin_look(seat) for seat in late]:  # all at once, and heard in their order
                await asyncio.shield(looking)
                best = best or self._best()
                if best is not None:
                    return best
            raise NodeUnavailable(_NOBODY)
        for seat in self._seats:
            if seat.due(now):
                self._begin_look(seat)
        return best

    def _best(self) -> _Seat | None:
        well = [seat for seat in self._seats if seat.well]
        return next((seat for seat in well if not seat.behind), well[0] if well else None)

    async def _look(self, seat: _Seat) -> None:
        await asyncio.shield(self._begin_look(seat))

    def _begin_look(self, seat: _Seat) -> asyncio.Task[None]:
        if seat.looking is None:
            seat.looking = asyncio.create_task(self._ask_how_it_is(seat))
        return seat.looking

    async def _ask_how_it_is(self, seat: _Seat) -> None:
        well = False
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                well = await seat.node.quantity("eth_chainId") == self._chain_id
                if well and len(self._seats) > 1:
                    seat.head = await seat.node.quantity("eth_blockNumber")
        except (NodeUnavailable, NodeRefused, TimeoutError):
            well = False
        finally:
            seat.looking = None
            self._note(seat, well=well)

    def _note(self, seat: _Seat, *, well: bool) -> None:
        seat.well, seat.looked_at = well, self._clock()
        seat.wait = AGAIN_SECONDS if well else min(seat.wait * 2, CHECK_SECONDS)
        newest = max((each.head for each in self._seats if each.well), default=0)
        for each in self._seats:
            each.behind = each.head + BEHIND_BLOCKS < newest


class Pinned:
    """What is asked of one node: the first question chooses it, the others get no other."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._node: Node | None = None

    async def forward(self, payload: bytes) -> bytes:
        """Pass a request on byte for byte. Raises as `Node.forward` does."""
        if self._node is not None:
            return await self._again(self._node, payload)
        while True:
            node = await self._nodes.choose()
            try:
                answer = await node.forward(payload)
            except AnswerTooLong:
                raise
            except NodeUnavailable:
                await self._nodes.doubt(node)
                if self._nodes.answers(node):
                    raise
            else:
                self._node = node
                return answer

    async def _again(self, node: Node, payload: bytes) -> bytes:
        if not self._nodes.answers(node):
            raise NodeUnavailable("the node that the first of these questions went to is not asked any more")
        try:
            return await node.forward(payload)
        except AnswerTooLong:
            raise
        except NodeUnavailable:
            await self._nodes.doubt(node)
            raise


class _Forwards(Protocol):
    async def forward(self, payload: bytes) -> bytes: ...


class ChainReads:
    """What agents read of the chain, as gateways ask for it."""

    def __init__(self, nodes: Nodes, one: Pinned | None = None) -> None:
        self._nodes = nodes
        self._asked: _Forwards = one or nodes

    def pinned(self) -> ChainReads:
        """All that is read of what this returns is of one node."""
        return ChainReads(self._nodes, self._nodes.pinned())

    async def forward(self, payload: bytes) -> bytes:
        """One JSON-RPC request, byte for byte, and its answer.

        Raises:
            CallerError: The answer is longer than any may be.
            EffectError: There is no usable answer.
        """
        try:
            return await self._asked.forward(payload)
        except AnswerTooLong as error:
            raise CallerError(f"{error}; ask for less at once", code="request.asks_too_much") from error
        except NodeUnavailable as error:
            raise EffectError(f"the chain could not be asked: {error}") from error
