"""Whether what was approved was: from the records alone, with the public keys that are in them."""

from __future__ import annotations

from safebox.firewall.core.approval import is_signed
from safebox.firewall.core.holds import RunHolds
from safebox.firewall.core.record import Decided, HoldClosed, LedgerEvent, RunEnded, RunKilled, Voted


class Approved:
    """Counts votes that nobody signed, and allows whose hold had not passed; forgets a run when it has ended."""

    def __init__(self) -> None:
        self.unsigned = 0
        self._unearned = 0
        self._runs: dict[str, RunHolds] = {}

    @property
    def unearned(self) -> int:
        """Allows that name a hold which had not passed."""
        return self._unearned + sum(holds.unearned for holds in self._runs.values())

    def apply(self, event: LedgerEvent) -> None:
        """Take one more event into account."""
        match event:
            case Decided():
                if event.hold is not None or event.answer.verdict == "hold":
                    self._of(event.run).decide(event)
            case Voted():
                self._vote(event)
            case HoldClosed():
                self._of(event.run).close(event)
            case RunKilled() if event.run in self._runs:
                self._runs[event.run].stop("run_killed")
            case RunEnded() if event.run in self._runs:
                self._unearned += self._runs.pop(event.run).unearned
            case _:
                pass

    def _vote(self, event: Voted) -> None:
        """Only a vote that is signed, and about the hold it names, counts for it."""
        hold = self._of(event.run).all.get(event.hold)
        if not is_signed(event) or (hold is not None and not hold.is_about(event)):
            self.unsigned += 1
        else:
            self._of(event.run).vote(event)

    def _of(self, run: str) -> RunHolds:
        return self._runs.setdefault(run, RunHolds())
