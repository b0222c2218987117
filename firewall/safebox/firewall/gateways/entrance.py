"""Whose request begins next: while several runs ask, only a few of each begin in one turn of the event loop.

A request that is refused before anything is decided costs the loop a tenth of a millisecond, and a run may have many
going. Begun as they come, all of them go before another run's next step. So each run gets a few beginnings a turn, and
the loop looks at everybody in between. Nothing is lost by it: who waits begins one turn later. A run alone is not held.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from safebox.firewall.places import Company

A_TURN: Final = 2
"""Requests of one run begun in one turn while others ask, too."""


class Entrance:
    """Where the requests of all runs come in."""

    def __init__(self) -> None:
        self._company = Company()
        self._begun: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._looking = False

    async def step(self, run: str) -> None:
        """Come in, now or in one of the next turns; first come, first served within a run."""
        self._company.asked(run)
        if not self._company.others() and run not in self._waiting:
            return
        begun = self._begun.get(run, 0)
        self._look_again()
        if begun < A_TURN and run not in self._waiting:
            self._begun[run] = begun + 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(run, deque()).append(turn)
        await turn

    def _look_again(self) -> None:
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._looking = False
        self._begun = {run: self._admit(queue) for run, queue in self._waiting.items()}
        self._waiting = {run: queue for run, queue in self._waiting.items() if queue}
        if self._waiting:
            self._look_again()

    def _admit(self, queue: deque[asyncio.Future[None]]) -> int:
        begun = 0
        while queue and begun < A_TURN:
            turn = queue.popleft()
            if not turn.done():  # else its request was cancelled meanwhile
                turn.set_result(None)
                begun += 1
        return begun
