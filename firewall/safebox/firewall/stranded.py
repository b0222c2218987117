"""Money of runs that have ended, and whose last sweep failed: it is brought home later, by itself or by the owner.

Rule 1: what is to be brought home is what the ledger says; so a restart goes on where this firewall was.
Rule 2: it is the owner's sweep, judged and recorded as every other. The agent of such a run is gone, and asks nothing.
Rule 3: it is tried a bounded number of times, ever more rarely; then it waits for a person, and an alert says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from safebox.firewall.core.books import RunBook
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.errors import FirewallError
from safebox.firewall.evidence import Evidence
from safebox.firewall.ledger import Ledger
from safebox.firewall.loans import MOVES
from safebox.firewall.metrics import Metrics
from safebox.firewall.recovery import view_of
from safebox.firewall.runs import Run, Runs
from safebox.firewall.standing import OVER
from safebox.firewall.treasury import Treasury

EVERY_SECONDS: Final = 2.0
"""How often it is looked whether something is due."""
FIRST_PAUSE_SECONDS: Final = 15.0
LONGEST_PAUSE_SECONDS: Final = 3600.0
TRIES_MAX: Final = 12
"""About six hours in all: a node that is away so long is a person's business, and each try may cost a fee."""


class _Try:
    """How often a wallet was tried, and when it is tried next."""

    __slots__ = ("count", "next", "pause")

    def __init__(self) -> None:
        self.count, self.next, self.pause = 0, 0.0, FIRST_PAUSE_SECONDS

    def due(self, now: float) -> bool:
        return self.count < TRIES_MAX and now >= self.next

    def tried(self, now: float) -> None:
        self.count += 1
        self.next, self.pause = now + self.pause, min(2 * self.pause, LONGEST_PAUSE_SECONDS)


class Stranded:
    """Brings home what ended runs left behind.

    Args:
        ledger: knows every run there was, and what was swept.
        runs: the live ones.
        treasury: sweeps.
        metrics: is told how many there are.
        now: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        ledger: Ledger,
        runs: Runs,
        treasury: Treasury,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._runs = runs
        self._treasury = treasury
        self._metrics = metrics
        self._now = now
        self._tries: dict[str, _Try] = {}
        self._empty: set[str] = set()
        self._one = asyncio.Lock()

    def holds(self, book: RunBook) -> bool:
        """Whether the run has ended and its wallet may hold what was not brought home."""
        return book.ended is not None and book.away and book.started.run not in self._empty

    async def follow(self) -> None:
        """Look again and again, until this is cancelled: a duty of its own, so a slow chain delays no other."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Try again what is due. Raises nothing: what doesn't work now is tried later."""
        for book in [book for book in self._ledger.books.runs.values() if self._waits(book)]:
            one = self._tries.setdefault(book.started.run, _Try())
            if one.due(self._now()):
                one.tried(self._now())
                try:
                    await self.bring_home(book)
                except FirewallError as error:
                    self._metrics.failed(error)
        self._metrics.stranded(sum(map(self._waits, self._ledger.books.runs.values())))

    async def bring_home(self, book: RunBook) -> Reply | None:
        """Sweep the wallet of a run that has ended; None if there is nothing in it.

        Raises:
            FirewallError: if the chain can't be asked.
        """
        async with self._one:
            run = Run(view_of(book.started), book, Evidence({}))
            run.stopped = OVER
            with self._runs.returning(run):
                reply = await self._treasury.sweep(run)
            if reply is None or reply.status is Status.DONE:  # also of a token that others were let take
                self._empty.add(run.view.id)
            return reply

    def _waits(self, book: RunBook) -> bool:
        """Whether somebody must do something; not while a movement is under way that may be it."""
        return self.holds(book) and not any(event.tool in MOVES for event in book.open.values())
