"""Who is held to account for a stalled firewall: the action it was judging, and after a few of them its run.

Rule 1: an action that ended a firewall is refused from then on while the same policy is in force, and only that one.
Rule 2: a run that ended a firewall `STALLS_MAX` times is killed; nothing of it is judged by that policy any more.
Rule 3: evaluations that are slow but come back draw on their run's allowance; without any left, it has to wait.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from safebox.firewall.core.action import Action
from safebox.firewall.core.record import Stalled
from safebox.firewall.core.tools import Caller
from safebox.firewall.errors import Withheld
from safebox.firewall.guard.allowance import Allowance
from safebox.firewall.guard.mark import Remains, remains
from safebox.firewall.guard.watchdog import Watchdog
from safebox.firewall.ledger import Ledger
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Clock, Engine

_LOG = logging.getLogger(__name__)

STALLS_MAX: Final = 3
"""One may be a policy's fault, two a coincidence. Each costs everybody a restart."""
BY: Final = "the watchdog"


class Stalls:
    """A `Watch` (see `ports`) that remembers in the ledger.

    Args:
        watchdog: ends this process when it stalls.
        ledger: keeps what earlier ones stalled at.
        engine: says which policy is in force.
        clock: dates events and measures waits.
        metrics: are told.
        kill: stops a run and records by whom; raises LedgerUnavailable if it can't.
    """

    def __init__(
        self,
        watchdog: Watchdog,
        ledger: Ledger,
        engine: Engine,
        clock: Clock,
        metrics: Metrics,
        kill: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._mark = watchdog.mark
        self._ledger = ledger
        self._engine = engine
        self._clock = clock
        self._metrics = metrics
        self._kill = kill
        self._unrecorded: deque[tuple[Stalled, Path]] = deque()
        self._unkilled: set[str] = set()
        self._allowance = Allowance()
        self._judged = ""
        watchdog.evaluation.slow = self._was_slow

    def check(self, action: Action) -> None:
        """Refuse what stalled before, and a run that used up its time. See `ports.Watch`."""
        stalled = [event for event in self._of(action.run) if event.bundle == self._engine.bundle]
        if len(stalled) >= STALLS_MAX or any(event.digest == action.digest for event in stalled):
            raise Withheld("asking policy about this held everybody up; it is not asked again")
        if self._allowance.known and action.caller is Caller.AGENT:
            wait = self._allowance.wait(action.run, self._clock.now_ns())
            if wait:
                cause = "policy took too long over this run's requests; ask again later"
                raise Withheld(cause, code="policy.slow", again_s=wait)

    def over(self, action: Action) -> AbstractContextManager[None]:
        """Leave word of what is being judged. See `ports.Watch`."""
        self._judged = action.run
        return self._mark.over(action, self._engine.bundle)

    def take_up(self, home: Path) -> None:
        """Find out what firewalls that are gone stalled at."""
        for left in remains(home):
            event = self._read(left)
            if event is None:
                _remove(left.path)
            else:
                self._unrecorded.append((event, left.path))
        self._unkilled = {run for run, book in self._ledger.books.runs.items() if len(book.stalled) >= STALLS_MAX}
        self._metrics.stalls(self._ledger.books.stalls)

    async def settle(self) -> None:
        """Record what was found, and stop the runs that did it too often; what fails is tried again the next time.

        Raises:
            LedgerUnavailable: if something can't be recorded.
        """
        while self._unrecorded:
            event, path = self._unrecorded[0]
            if all(event.action_id != earlier.action_id for earlier in self._ledger.book(event.run).stalled):
                await self._ledger.note(event)
                self._metrics.stalls(self._ledger.books.stalls)
            self._unrecorded.popleft()
            _remove(path)
            if len(self._ledger.book(event.run).stalled) >= STALLS_MAX:
                self._unkilled.add(event.run)
        for run in list(self._unkilled):
            book = self._ledger.book(run)
            if book.ended is None and book.killed is None:
                await self._kill(run, BY)
            self._unkilled.discard(run)

    def _of(self, run: str) -> list[Stalled]:
        recorded = self._ledger.book(run).stalled
        if not self._unrecorded:
            return recorded
        return recorded + [event for event, _ in self._unrecorded if event.run == run]

    def _read(self, left: Remains) -> Stalled | None:
        if not left.traceback:
            return None
        self._metrics.stalled_at(left.path.stat().st_mtime)
        judged = left.judged
        what = "nothing" if judged is None else f"{judged.tool} of {judged.run} ({judged.action_id})"
        _LOG.error("the last firewall was ended while it judged %s:\n%s", what, left.traceback)
        if judged is None or judged.run not in self._ledger.books.runs:
            return None
        how = left.traceback.splitlines()[0] if left.traceback.startswith("Fatal") else "it took too long"
        return Stalled(at_ns=self._clock.now_ns(), how=how[:200], **judged._asdict())

    def _was_slow(self, seconds: float) -> None:
        self._allowance.spend(self._judged, seconds, self._clock.now_ns())


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
