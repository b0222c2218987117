"""The balances a ledger amounts to: a fold over its events, the same live as after a restart.

Rule 1: what is committed never exceeds what was granted, on any line of the tree (`fits` before `apply`).
Rule 2: only an allow reserves; a deny or a hold burns nothing.
Rule 3: an outcome that is unknown keeps its reservation.
Rule 4: an idempotency key names one action digest for ever; an old one's answer is in the ledger, no longer at hand.
Rule 5: what is earned adds to no line; it waits for its sweep.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from safebox.firewall.behaviour.owner import OwnerRecord
from safebox.firewall.core.kinship import SPAWN, named_by
from safebox.firewall.core.record import (
    AskedAgain,
    Decided,
    HoldClosed,
    LaunchDecided,
    LedgerEvent,
    PolicyActivated,
    PolicyRefused,
    Received,
    RunStarted,
    Settled,
    Voted,
)
from safebox.firewall.core.runbook import DENIALS_WINDOW, KEYS_KEPT, OVER_BUDGET, AboutRun, RunBook
from safebox.firewall.core.tools import Caller

__all__ = ["DENIALS_WINDOW", "KEYS_KEPT", "OVER_BUDGET", "AboutRun", "Books", "Kin", "RunBook"]

_NULL: Final = msgspec.Raw(b"null")
"""What a key need not remember."""


class Kin(msgspec.Struct, frozen=True):
    """Where a run stands in its tree, as `run` of the policy input says it."""

    parent: str | None = None


class Books:
    """All runs of one ledger, and which policy was in force last.

    `activated` is the last activation of a signed bundle (in governed mode), `policy_version` the highest there was.
    """

    def __init__(self) -> None:
        self.runs: dict[str, RunBook] = {}
        self.owner = OwnerRecord()
        self.bundle = ""
        self.activated: PolicyActivated | None = None
        self.policy_version = 0
        self.last_ns = 0
        self.effects_without_allow = 0

    @property
    def stalls(self) -> int:
        """How many actions ended the firewall that judged them."""
        return sum(len(book.stalled) for book in self.runs.values())

    def tree(self, run: str) -> Iterator[str]:
        """The live runs of the tree that this run is part of; looks at every run, so it is for emergencies."""
        root = self.runs[run].root
        return (name for name, book in self.runs.items() if book.root == root and not book.killed and not book.ended)

    def _activate(self, event: PolicyActivated) -> None:
        self.bundle = event.bundle
        if event.version is not None:
            self.activated = event
            self.policy_version = max(self.policy_version, event.version)

    def apply(self, event: LedgerEvent) -> None:
        """Take one more event into account.

        Raises:
            KeyError: if it speaks of a run or action that the ledger doesn't know.
            ValueError: if a run starts twice, is given more than its parent has, or is a child that no allow names.
        """
        self.last_ns = max(self.last_ns, event.at_ns)
        match event:
            case Decided():
                self._decided(event)
            case Settled():
                self._settled(event)
            case RunStarted():
                self._started(event)
            case PolicyActivated():
                self._activate(event)
            case PolicyRefused() | LaunchDecided():
                pass  # nothing came of it yet
            case Received():
                self._received(event)
            case Voted() | HoldClosed() | AskedAgain():
                self.runs[event.run].answered(event)
            case _:
                self.runs[event.run].told(event)

    def _received(self, event: Received) -> None:
        self.runs[event.run].earn(event.amount)
        self.runs[event.run].behaving.received(event)

    def _started(self, event: RunStarted) -> None:
        if event.run in self.runs:
            raise ValueError(f"{event.run} was started before")
        parent = msgspec.json.decode(event.run_view, type=Kin).parent
        if parent is None:
            self.runs[event.run] = RunBook(event, None, self.owner)
        else:
            self.runs[event.run] = _born(event, self.runs[parent], self.owner)
        self.runs[event.run].behaving.began()

    def _decided(self, event: Decided) -> None:
        book = self.runs[event.run]
        if event.key is not None:
            book.bind(event.key, msgspec.structs.replace(event, plan={}, action=_NULL, facts=_NULL))
        book.behaving.decided(event)
        book.holds.decide(event)
        if not event.allowed:
            if event.denied:
                book.denied.add(event.at_ns, event.probing)
                book.denied_count += 1
            return
        book.open[event.action_id] = event
        book.out |= event.tool == "wallet.fund"
        book.rented.allowed(event)
        _count(book, event, +1)
        _reserve(book, event, +1)

    def _settled(self, event: Settled) -> None:
        book = self.runs[event.run]
        book.holds.settle(event)
        decided = book.open.get(event.action_id)
        if decided is None:
            self.effects_without_allow += 1
            return
        if decided.key in book.keys:
            book.settled[event.action_id] = event
        if event.status == "unknown":
            book.unknown.add(event.action_id)
            return
        book.unknown.discard(event.action_id)
        del book.open[event.action_id]
        if event.action_id in book.spawned:  # what was reserved is lent since the child began
            book.spawned.discard(event.action_id)
        else:
            _reserve(book, decided, -1)
        book.behaving.settled(decided, event)
        refunds = book.rented.settled(event)
        if decided.caller is Caller.AGENT:
            book.settle(event, refunds, decided.at_ns)
        elif decided.tool == "wallet.sweep":
            book.sweep(event, decided)
        elif decided.tool == "wallet.fund" and event.status == "done":
            book.fund(decided)

    def unstart(self, event: RunStarted) -> None:
        """Take back the start of a run that did not become durable; nothing has happened in it."""
        book = self.runs.pop(event.run)
        for line in book.lines.values():
            line.close()
        if book.parent is not None and event.spawned_by is not None:
            book.parent.children.remove(book)
            book.parent.spawned.discard(event.spawned_by)
            _reserve(book.parent, book.parent.open[event.spawned_by], +1)

    def revert(self, event: Decided) -> None:
        """Take back a decision that did not become durable; it was the last word on its action."""
        book = self.runs[event.run]
        bound = book.keys.get(event.key or "")
        if bound is not None and bound.decision == event.decision:  # not another firewall's, under the same key
            del book.keys[event.key or ""]
        book.holds.revert(event)
        book.behaving.revert(event)
        if event.allowed:
            del book.open[event.action_id]
            book.rented.revert(event)
            _count(book, event, -1)
            _reserve(book, event, -1)
        elif event.denied:
            book.denied.add(event.at_ns, -event.probing)
            book.denied_count -= 1


def _born(event: RunStarted, parent: RunBook, owner: OwnerRecord) -> RunBook:
    """The book of a child; what its allow reserved is lent to it from here on. Nothing changes if it can't be."""
    allow = named_by(parent, event)
    _reserve(parent, allow, -1)
    try:
        book = RunBook(event, parent, owner)
    except ValueError:
        _reserve(parent, allow, +1)
        raise
    parent.spawned.add(allow.action_id)
    parent.children.append(book)
    return book


def _count(book: RunBook, event: Decided, sign: int) -> None:
    """Count an allow where its kind is limited: for its run, and a child's for the whole tree."""
    book.rate(event.kind).add(event.at_ns, sign)
    if event.tool == SPAWN:
        book.births.add(event.at_ns, sign)


def _reserve(book: RunBook, event: Decided, sign: int) -> None:
    if event.caller is not Caller.AGENT:
        return
    for charge in event.charges:
        line, units = book.lines[charge.rail, charge.amount.asset], sign * charge.amount.units
        line.take(reserved=units)
        line.flow(event.at_ns, units)
