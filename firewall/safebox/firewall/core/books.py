"""The balances a ledger amounts to: a fold over its events, the same live as after a restart.

Rule 1: spent + reserved never exceeds granted, on any line (`fits` before `apply`).
Rule 2: only an allow reserves; a deny or a hold burns nothing.
Rule 3: an outcome that is unknown keeps its reservation.
Rule 4: an idempotency key names one action digest for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from safebox.firewall.core.mandate import Mandate, decode_mandate
from safebox.firewall.core.record import (
    Charge,
    Decided,
    LedgerEvent,
    PolicyActivated,
    RunEnded,
    RunKilled,
    RunStarted,
    Settled,
)
from safebox.firewall.core.tools import Caller
from safebox.firewall.core.windows import MINUTE, Rates, Window

DENIALS_WINDOW: Final = 10 * MINUTE
"""The window of `facts.rates.denied_10m`."""


class Line:
    """One budget line, in smallest units."""

    __slots__ = ("granted", "reserved", "spent")

    def __init__(self, granted: int) -> None:
        self.granted = granted
        self.spent = 0
        self.reserved = 0

    @property
    def remaining(self) -> int:
        """What may still be reserved; 0 if an outcome cost more than was reserved."""
        return max(0, self.granted - self.spent - self.reserved)


class RunBook:
    """What the ledger knows of one run."""

    __slots__ = (
        "denied",
        "denied_count",
        "ended",
        "keys",
        "killed",
        "lines",
        "mandate",
        "open",
        "rates",
        "settled",
        "started",
        "unknown",
    )

    def __init__(self, started: RunStarted) -> None:
        self.started = started
        self.mandate: Mandate = decode_mandate(bytes(started.mandate))
        self.lines = {line: Line(granted) for line, granted in self.mandate.grants().items()}
        self.open: dict[str, Decided] = {}
        self.unknown: set[str] = set()
        self.keys: dict[str, Decided] = {}
        self.settled: dict[str, Settled] = {}
        self.rates: dict[str, Rates] = {}
        self.denied = Window(DENIALS_WINDOW)
        self.denied_count = 0
        self.killed: RunKilled | None = None
        self.ended: RunEnded | None = None

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
        return all(line in self.lines and units <= self.lines[line].remaining for line, units in wanted.items())

    def remaining(self, rail: str, asset: str) -> int | None:
        """What is left of a line; None if the mandate has no such line."""
        line = self.lines.get((rail, asset))
        return None if line is None else line.remaining


class Books:
    """All runs of one ledger."""

    def __init__(self) -> None:
        self.runs: dict[str, RunBook] = {}
        self.bundle = ""
        self.last_ns = 0
        self.effects_without_allow = 0

    def apply(self, event: LedgerEvent) -> None:
        """Take one more event into account.

        Raises:
            KeyError: if it speaks of a run or action that the ledger doesn't know.
        """
        self.last_ns = max(self.last_ns, event.at_ns)
        match event:
            case Decided():
                self._decided(event)
            case Settled():
                self._settled(event)
            case RunStarted():
                self.runs[event.run] = RunBook(event)
            case RunKilled():
                self.runs[event.run].killed = event
            case RunEnded():
                self.runs[event.run].ended = event
            case PolicyActivated():
                self.bundle = event.bundle

    def _decided(self, event: Decided) -> None:
        book = self.runs[event.run]
        if event.key is not None:
            book.keys[event.key] = event
        if not event.allowed:
            if event.denied:
                book.denied.add(event.at_ns, event.probing)
                book.denied_count += 1
            return
        book.open[event.action_id] = event
        book.rate(event.kind).add(event.at_ns)
        _reserve(book, event, +1)

    def _settled(self, event: Settled) -> None:
        book = self.runs[event.run]
        decided = book.open.get(event.action_id)
        if decided is None:
            self.effects_without_allow += 1
            return
        if decided.key is not None:
            book.settled[event.action_id] = event
        if event.status == "unknown":
            book.unknown.add(event.action_id)
            return
        book.unknown.discard(event.action_id)
        del book.open[event.action_id]
        _reserve(book, decided, -1)
        if decided.caller is Caller.AGENT:
            for charge in event.charges:
                book.lines[charge.rail, charge.amount.asset].spent += charge.amount.units
            for refund in event.refunds:
                line = book.lines[refund.rail, refund.amount.asset]
                line.spent = max(0, line.spent - refund.amount.units)

    def revert(self, event: Decided) -> None:
        """Take back a decision that did not become durable; it was the last word on its action."""
        book = self.runs[event.run]
        if event.key is not None:
            book.keys.pop(event.key, None)
        if event.allowed:
            del book.open[event.action_id]
            book.rate(event.kind).add(event.at_ns, -1)
            _reserve(book, event, -1)
        elif event.denied:
            book.denied.add(event.at_ns, -event.probing)
            book.denied_count -= 1


def _reserve(book: RunBook, event: Decided, sign: int) -> None:
    if event.caller is not Caller.AGENT:
        return
    for charge in event.charges:
        book.lines[charge.rail, charge.amount.asset].reserved += sign * charge.amount.units
