"""Whose decisions are made and written next: runs that ask at the same time share the places there are.

Deciding and writing take the loop's time; a run that keeps many calls in this stretch makes everybody's call wait for
all of them. So a call takes a place before it is judged and gives it back once its decision is on disk. The effect
itself, which may take minutes, needs no place, and neither does the wait for a cost.

Rule 1: a run alone has as many places as its gateway lets in: there is nobody to wait for it.
Rule 2: while others ask, too, there are few places. Each run may have an equal share, at least one, and what the
        others leave, but for one that is kept free for each of them.
Rule 3: within a run, first come, first served.
Rule 4: a run and those that descend from it count as one.
Rule 5: what the firewall does for the owner needs no place.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

SHARED: Final = 4
"""Places while several runs ask: with fewer a commit serves too few, with more each waits for too many."""
ACTIVE_SECONDS: Final = 5.0
"""A run that asked within so long counts as asking: one that asks now and then finds the places kept free."""


class _Queue:
    """One run's calls: how many have a place, and who waits."""

    __slots__ = ("inside", "waiting")

    def __init__(self) -> None:
        self.inside = 0
        self.waiting: deque[asyncio.Future[None]] = deque()


class Company:
    """Who asked lately.

    Args:
        now: seconds that only grow.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._asked: OrderedDict[str, float] = OrderedDict()

    def asked(self, run: str) -> None:
        """This run asks now."""
        self._asked[run] = self._now()
        self._asked.move_to_end(run)

    def others(self) -> int:
        """How many runs asked lately, but for the one that just did."""
        since = self._now() - ACTIVE_SECONDS
        while self._asked and next(iter(self._asked.values())) < since:
            self._asked.popitem(last=False)
        return len(self._asked) - 1


class Places:
    """Shares the places out.

    Args:
        now: seconds that only grow.

    Attributes:
        inside: how many calls of all runs have one now.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._company = Company(now)
        self._queues: dict[str, _Queue] = {}
        self.inside = 0

    def place(self, run: str | None) -> Place:
        """A place for one call of a run, not taken yet; None is the owner."""
        return Place(self, run)

    def room(self, run: str) -> bool:
        """Whether one more call of this run may be decided now."""
        others = self._company.others()
        if others < 1:
            return True
        queue = self._queues.get(run)
        mine = 0 if queue is None else queue.inside
        left = SHARED - max(others, self.inside - mine)
        return mine < max(1, SHARED // (others + 1), left)

    async def enter(self, run: str) -> None:
        """Wait for a place."""
        self._company.asked(run)
        queue = self._queues.get(run)
        if queue is None:
            queue = self._queues[run] = _Queue()
        if not queue.waiting and self.room(run):
            self._let_in(queue)
            return
        turn = asyncio.get_running_loop().create_future()
        queue.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._gone(run, queue, turn)
            raise

    def leave(self, run: str) -> None:
        """Give a place back, and let in who waits for it."""
        queue = self._queues[run]
        queue.inside -= 1
        self.inside -= 1
        while queue.waiting and self.room(run):
            turn = queue.waiting.popleft()
            if not turn.done():  # else it was cancelled just now
                self._let_in(queue)
                turn.set_result(None)
        if not queue.inside and not queue.waiting:
            del self._queues[run]

    def _let_in(self, queue: _Queue) -> None:
        queue.inside += 1
        self.inside += 1

    def _gone(self, run: str, queue: _Queue, turn: asyncio.Future[None]) -> None:
        """Who waited was cancelled; had it been let in at that moment, its place goes to the next."""
        if turn.done() and not turn.cancelled():
            self.leave(run)
        elif turn in queue.waiting:
            queue.waiting.remove(turn)


class Place:
    """One call's place. Left at the latest at the end of the `with` block."""

    __slots__ = ("_places", "_run", "_taken")

    def __init__(self, places: Places, run: str | None) -> None:
        self._places = places
        self._run = run
        self._taken = False

    async def take(self) -> None:
        """Wait for it."""
        if self._run is not None:
            await self._places.enter(self._run)
            self._taken = True

    def leave(self) -> None:
        """Give it back, if it was taken."""
        if self._taken and self._run is not None:
            self._taken = False
            self._places.leave(self._run)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
