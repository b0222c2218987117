"""What a ledger amounts to for one run: its budget lines, what is open, what people said. `books` has the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from safebox.firewall.behaviour.owner import OwnerRecord
from safebox.firewall.core.accounts import Line
from safebox.firewall.core.behaving import Behaving
from safebox.firewall.core.decision import Reason, Verdict
from safebox.firewall.core.holds import RunHolds
from safebox.firewall.core.keys import UsedKeys
from safebox.firewall.core.mandate import ACCOUNT_TOTAL, Mandate, decode_mandate
from safebox.firewall.core.money import Amount, token_of
from safebox.firewall.core.movements import moved
from safebox.firewall.core.record import (
    AskedAgain,
    Charge,
    Decided,
    HoldClosed,
    RunEnded,
    RunKilled,
    RunPaused,
    RunResumed,
    RunStarted,
    Settled,
    Stalled,
    Voted,
    WalletFrozen,
    WalletThawed,
)
from safebox.firewall.core.rented import Rented
from safebox.firewall.core.windows import HOUR, MINUTE, Rates, Window

DENIALS_WINDOW: Final = 10 * MINUTE
"""The window of `facts.rates.denied_10m`."""
OVER_BUDGET: Final = Reason("budget.exceeded", "there is not enough budget left for this")
KEYS_KEPT: Final = 64
"""Keys of a run whose answer is at hand: so many calls can be under way at once, and an answer lost on its way."""


AboutRun = RunKilled | RunEnded | RunPaused | RunResumed | WalletFrozen | WalletThawed | Stalled
"""What is said about a run as a whole."""


class RunBook:
    """What the ledger knows of one run."""

    __slots__ = (
        "behaving", "births", "children", "denied", "denied_count", "earned", "ended", "exposures", "frozen", "funded",
        "given_again", "holds", "keys", "killed", "lines", "mandate", "open", "out", "parent", "paused", "rates",
        "rented", "root", "settled", "spawned", "stalled", "started", "swept", "unknown", "unswept", "used",
    )  # fmt: skip

    def __init__(self, started: RunStarted, parent: RunBook | None = None, owner: OwnerRecord | None = None) -> None:
        self.started = started
        self.parent = parent
        self.root: str = started.run if parent is None else parent.root
        self.mandate: Mandate = decode_mandate(bytes(started.mandate))
        forebear = None if parent is None else parent.behaving
        self.behaving: Behaving = Behaving(started, self.mandate, owner or OwnerRecord(), forebear)
        grants = self.mandate.grants()
        if parent is not None and not parent.can_lend(grants):
            raise ValueError(f"{started.run} was given more than its parent had")
        above = {} if parent is None else parent.lines
        self.lines: dict[tuple[str, str], Line] = {
            line: Line(granted, above.get(line)) for line, granted in grants.items()
        }
        self.births: Window = Window(HOUR) if parent is None else parent.births  # one for the whole tree
        self.children: list[RunBook] = []
        self.spawned: set[str] = set()
        self.rented = Rented()
        self.exposures: dict[str, Charge] = {}
        self.earned: dict[str, int] = {}
        self.swept: dict[str, int] = {}
        self.unswept: dict[str, int] = {}
        self.funded = self.out = False
        self.given_again: dict[str, int] = {}
        self.open: dict[str, Decided] = {}
        self.unknown: set[str] = set()
        self.keys: dict[str, Decided] = {}
        self.used = UsedKeys()
        self.settled: dict[str, Settled] = {}
        self.rates: dict[str, Rates] = {}
        self.denied = Window(DENIALS_WINDOW)
        self.denied_count = 0
        self.holds = RunHolds()
        self.killed: RunKilled | None = None
        self.paused: RunPaused | None = None
        self.frozen: WalletFrozen | None = None
        self.ended: RunEnded | None = None
        self.stalled: list[Stalled] = []

    def rate(self, kind: str) -> Rates:
        """The rolling counts for one kind of action."""
        found = self.rates.get(kind)
        if found is None:
            found = self.rates[kind] = Rates()
        return found

    def fits(self, charges: Sequence[Charge]) -> bool:
        """Whether all charges together can still be reserved. A line that wasn't granted fits nothing."""
        wanted: dict[tuple[str, str], int] = {}
        for charge in charges:
            line = charge.rail, charge.amount.asset
            wanted[line] = wanted.get(line, 0) + charge.amount.units
        return all(line in self.lines and units <= (self.remaining(*line) or 0) for line, units in wanted.items())

    def can_lend(self, grants: Mapping[tuple[str, str], int]) -> bool:
        """Whether a child may be given this, line by line; of a total always, or it would spend beside it."""
        if self.mandate.total is not None and (ACCOUNT_TOTAL, self.mandate.total.asset) not in grants:
            return False
        return all(line in self.lines and units <= self.lines[line].remaining for line, units in grants.items())

    def told(self, event: AboutRun) -> None:
        """Take into account what was said about the run as a whole."""
        match event:
            case RunKilled():
                self.killed = event
                self.holds.stop("run_killed")
            case RunEnded():
                self.end(event)
            case RunPaused() | RunResumed():
                self.paused = event if isinstance(event, RunPaused) else None
                self.behaving.told(event)
            case WalletFrozen() | WalletThawed():
                self.frozen = event if isinstance(event, WalletFrozen) else None
                self.behaving.told(event)
            case Stalled():
                self.stalled.append(event)

    def remaining(self, rail: str, asset: str) -> int | None:
        """What is left of a line, None without such a line; of a token that is lent never more than is left of that."""
        line = self.lines.get((rail, asset))
        if line is None or not self.started.lends or token_of(asset) is None:
            return None if line is None else line.remaining
        own = self.holding(rail, asset) - self.quarantined(asset) - line.reserved - line.exposed
        return max(0, min(line.remaining, own))

    def unspent(self, rail: str, asset: str) -> int:
        """What is left of a line with what is reserved: payments on their way still need it. 0 without such a line."""
        line = self.lines.get((rail, asset))
        return 0 if line is None else (self.remaining(rail, asset) or 0) + line.reserved

    def settle(self, event: Settled, refunds: Sequence[Charge], decided_ns: int) -> None:
        """Book what an action of the agent took, which refunds of it count, and what it put at others' disposal."""
        for charge in event.charges:
            self._line(charge).take(spent=charge.amount.units)
            self._line(charge).flow(decided_ns, charge.amount.units)
        for refund in refunds:
            line = self._line(refund)
            line.take(spent=-min(line.spent, refund.amount.units))
        for name, charge in event.exposures.items():
            self._line(charge).take(exposed=charge.amount.units)
            before = self.exposures.pop(name, None)
            if before is not None:
                self._line(before).take(exposed=-before.amount.units)
            if charge.amount.units:
                self.exposures[name] = charge

    def earn(self, amount: Amount) -> None:
        """Quarantine what arrived: it is on no line, so no action can be paid with it."""
        self.earned[amount.asset] = self.earned.get(amount.asset, 0) + amount.units
        self.unswept[amount.asset] = self.unswept.get(amount.asset, 0) + amount.units

    def sweep(self, event: Settled, decided: Decided) -> None:
        """Book what the owner took home, fees included: at first what was earned. Taking all there is empties it."""
        self.out &= event.status != "done" or moved(decided) is not None
        for charge in event.charges:
            asset, units = charge.amount.asset, charge.amount.units
            self.swept[asset] = self.swept.get(asset, 0) + units
            self.unswept[asset] = max(0, self.unswept.get(asset, 0) - units)

    def fund(self, decided: Decided) -> None:
        """Book what the owner gave: at first what was granted, later what a sweep had taken before."""
        amount = moved(decided)
        if amount is None:
            return
        token = token_of(amount.asset) is not None
        if token or self.funded:
            self.given_again[amount.asset] = self.given_again.get(amount.asset, 0) + amount.units
        self.funded |= not token

    def holding(self, rail: str, asset: str) -> int:
        """What the account holds by this book: granted (a token: lent), given again, earned, less spent and swept."""
        line = self.lines[rail, asset]
        lent = line.granted if token_of(asset) is None else 0
        came = lent + self.given_again.get(asset, 0) + self.earned.get(asset, 0)
        return came - line.spent - self.swept.get(asset, 0)

    @property
    def away(self) -> bool:
        """Whether its wallet may hold what the owner lent: nothing has brought all of it home yet."""
        tokens = (line for line in self.lines if token_of(line[1]) is not None)
        return self.out or any(self.holding(*each) > 0 for each in tokens)

    def quarantined(self, asset: str) -> int:
        """What was earned and not swept yet; a sweep takes earned money first."""
        return self.unswept.get(asset, 0)

    def answered(self, event: Voted | HoldClosed | AskedAgain) -> None:
        """Take into account what people, time or the agent itself said about a hold."""
        match event:
            case Voted():
                self.holds.vote(event)
            case HoldClosed():
                self.holds.close(event)
            case AskedAgain():
                hold = self.holds.asked(event)
                if event.key is not None:
                    self.keys.setdefault(event.key, hold.decided)

    def bind(self, key: str, decided: Decided) -> None:
        """Let a key stand for a decision. Of the oldest one it is then only known that it was used."""
        self.keys[key] = decided
        for _ in range(2):  # so that those that stay on don't make it grow
            if len(self.keys) > KEYS_KEPT:
                self._leave(next(iter(self.keys)))

    def _leave(self, key: str) -> None:
        """Forget the answer under a key, unless it will be asked for: then its turn comes again."""
        decided = self.keys.pop(key)
        if decided.action_id in self.open or decided.answer.verdict is Verdict.HOLD:
            self.keys[key] = decided
        else:
            self.used.add(key)
            self.settled.pop(decided.action_id, None)

    def end(self, event: RunEnded) -> None:
        """Give what is free back to the parent; nobody is answered any more."""
        self.ended = event
        self.keys.clear()
        self.settled.clear()
        self.behaving.end()
        self.used = UsedKeys()
        self.holds.stop("run_ended")
        for line in self.lines.values():
            line.close()

    def _line(self, charge: Charge) -> Line:
        return self.lines[charge.rail, charge.amount.asset]
