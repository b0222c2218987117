"""The durable record and the books it folds into, kept in step.

A decision counts in the books from the moment it is queued, and is taken back if it didn't become durable: between two
awaits nobody can spend the same money twice. An outcome counts once it is durable; until then its reservation stands.

Where firewalls share a ledger, each folds what the others wrote before its own next commit. A yes that was given
without knowing what they wrote about the same tree of runs is taken back then, and has to be decided again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Protocol

from safebox.firewall.core.books import Books, RunBook
from safebox.firewall.core.orders import ordered_events
from safebox.firewall.core.record import (
    Decided,
    LaunchDecided,
    LedgerEvent,
    PolicyActivated,
    PolicyRefused,
    Received,
    RunStarted,
    Settled,
    decode_event,
    encode_event,
)
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.errors import LedgerMoved, LedgerUnavailable, OutcomeUnrecorded


class Store(Protocol):
    """Where records become durable. `merge` is told what other firewalls wrote, if the store is `shared`."""

    merge: Callable[[Sequence[bytes]], None]

    @property
    def shared(self) -> bool:
        """Whether other firewalls may write, too."""
        ...

    def read(self) -> Iterator[bytes]:
        """All records, from the first."""
        ...

    def append(
        self,
        records: Sequence[bytes],
        *,
        hurried: bool = True,
        still: Callable[[], bool] | None = None,
        sealed: bool = False,
    ) -> asyncio.Future[None]:
        """Make records durable, all or none.

        Args:
            records: what to keep.
            hurried: somebody waits; otherwise they may wait a little for others.
            still: asked after something was merged: whether they may be written.
            sealed: with a checkpoint over them, because somebody will ask for it at once.

        Raises:
            LedgerMoved: if `still` said no.
            LedgerUnavailable: if none became durable.
        """
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Ledger:
    """Records events and answers from the books they amount to.

    Args:
        store: keeps the records.
        firewall: this process's name among those that share the ledger.
        mine: says whether this process answers for what the firewall of that name decided.

    `fault` is what is wrong with the file, if it was found to be changed: agents get no yes meanwhile.

    Raises:
        LedgerUnavailable: if the stored records can't be read back.
    """

    def __init__(self, store: Store, *, firewall: str = "", mine: Callable[[str], bool] = lambda _: True) -> None:
        self.firewall = firewall
        self.mine = mine
        self.fault: str | None = None
        self._store = store
        self._broken: LedgerUnavailable | None = None
        self._moved: dict[str, int] = {}
        self._folded = 0
        self._owed: list[Settled] = []
        self.books = Books()
        for _ in self._folds(store.read()):
            pass  # kept in the books, as far as they need it
        store.merge = self._merge

    def _folds(self, records: Iterable[bytes]) -> Iterator[LedgerEvent]:
        for record in records:
            self._folded += 1
            try:
                event = decode_event(record)
                self.books.apply(event)
            except (ValueError, TypeError, KeyError) as error:  # msgspec's errors are ValueErrors
                remedy = "run safebox audit verify; the ledger is changed or damaged"
                raise LedgerUnavailable(f"record {self._folded} can't be understood: {error}", remedy=remedy) from error
            yield event

    def _merge(self, records: Sequence[bytes]) -> None:
        """Fold what another firewall wrote. Half of it is worse than nothing: after a failure there is no ledger."""
        if self._broken is not None:
            raise self._broken
        try:
            events = list(self._folds(records))
        except LedgerUnavailable as error:
            self._broken = error
            raise
        for event in events:
            run = _bound(event)
            if run is not None:
                root = self.books.runs[run].root
                self._moved[root] = self._moved.get(root, 0) + 1

    def book(self, run: str) -> RunBook:
        """The book of one run.

        Raises:
            KeyError: if the ledger knows no such run.
        """
        return self.books.runs[run]

    def mark(self, run: str) -> int:
        """Where other firewalls are with this run's tree: to be taken before its facts, for `reserve`."""
        return self._moved.get(self.books.runs[run].root, 0)

    def reserve(self, event: Decided, mark: int | None = None) -> Awaitable[None]:
        """Reserve at once, with what the decision orders; what is returned waits until both are durable.

        Args:
            event: the decision.
            mark: where other firewalls were when its facts were looked up; now, if it has none.

        Raises (also from the awaitable):
            LedgerMoved: if another firewall wrote about the same runs meanwhile; then nothing is reserved.
            LedgerUnavailable: if it isn't durable, or the file has a `fault`; then nothing is reserved.
        """
        if self.fault is not None and event.allowed and event.caller is Caller.AGENT:
            remedy = "run safebox audit verify; it says what is wrong from where on"
            raise LedgerUnavailable(f"the ledger can't be believed: {self.fault}", kind="corrupt", remedy=remedy)
        bound = self.books.runs[event.run].keys.get(event.key or "")
        if bound is not None and bound.action_id != event.action_id:
            raise LedgerMoved("another firewall has bound this key meanwhile")
        still = None if event.denied else self._still(event.run, mark)
        if still is not None and not still():
            raise LedgerMoved("another firewall wrote about this run meanwhile")
        events = [event, *ordered_events(event, self.books.tree(event.run))]
        for each in events:
            self.books.apply(each)
        sealed = event.allowed and TOOLS[event.tool].moves_wallet  # the signer signs nothing without it
        records = [encode_event(each) for each in events]
        return self._durable(event, self._store.append(records, still=still, sealed=sealed))

    async def start(self, event: RunStarted) -> None:
        """Record the start of a run; a child's grant is taken out of its parent's at once.

        Raises:
            ValueError: if its parent can't give as much.
            LedgerUnavailable: if it isn't durable; then it did not start.
        """
        self.books.apply(event)
        try:
            await self._store.append([encode_event(event)], still=self._still(event.run))
        except LedgerUnavailable:
            self.books.unstart(event)
            raise

    def _still(self, run: str, mark: int | None = None) -> Callable[[], bool] | None:
        """Whether others have written nothing that matters to this run since the mark; None if there are no others."""
        if not self._store.shared:
            return None
        root = self.books.runs[run].root
        seen = self._moved.get(root, 0) if mark is None else mark
        return lambda: self._moved.get(root, 0) == seen

    async def _durable(self, event: Decided, appended: Awaitable[None]) -> None:
        try:
            await appended
        except LedgerUnavailable:
            self.books.revert(event)
            raise

    async def settle(self, event: Settled) -> None:
        """Record an outcome, together with any that could not be recorded before.

        It counts once it is on disk, whether or not somebody still waits.

        Raises:
            OutcomeUnrecorded: if it isn't durable; it is owed, and its reservation stands.
        """
        await self._recorded([*self._owed, event])

    def settle_soon(self, event: Settled) -> None:
        """Record the outcome of something that changed nothing outside, without anybody waiting for the disk."""
        self._record([*self._owed, event], hurried=False)

    async def pay_what_is_owed(self) -> None:
        """Try again to record outcomes that could not be recorded.

        Raises:
            OutcomeUnrecorded: if they still can't.
        """
        if self._owed:
            await self._recorded(self._owed)

    async def _recorded(self, events: list[Settled]) -> None:
        try:
            await asyncio.shield(self._record(events))
        except LedgerUnavailable as error:
            raise OutcomeUnrecorded(error.cause, kind=error.kind) from error

    def _record(self, events: list[Settled], *, hurried: bool = True) -> asyncio.Future[None]:
        self._owed = []
        appended = self._store.append([encode_event(event) for event in events], hurried=hurried)
        appended.add_done_callback(lambda _: self._settled(events, appended))  # before whoever waits goes on
        return appended

    def _settled(self, events: list[Settled], appended: asyncio.Future[None]) -> None:
        if appended.cancelled() or appended.exception() is not None:
            self._owed = events + self._owed
            return
        for event in events:
            self.books.apply(event)

    async def note(self, *events: LedgerEvent) -> None:
        """Record events that reserve nothing, all or none.

        Raises:
            LedgerUnavailable: if they aren't durable; then they did not happen.
        """
        await self._store.append([encode_event(event) for event in events])
        for event in events:
            self.books.apply(event)

    def unsettled(self) -> list[Decided]:
        """Every allowed action whose outcome isn't known and that this firewall answers for, oldest first."""
        found = [
            event for book in self.books.runs.values() for event in book.open.values() if self.mine(event.firewall)
        ]
        return sorted(found, key=lambda event: event.at_ns)

    @property
    def owes(self) -> bool:
        """Whether an outcome waits to be recorded."""
        return bool(self._owed)

    def close(self) -> None:
        """Write what is queued and let go of the store."""
        self._store.close()


def _bound(event: LedgerEvent) -> str | None:
    """The run about which a yes given without knowing this may be wrong; refusals, outcomes and income take nothing."""
    if isinstance(event, PolicyActivated | PolicyRefused | LaunchDecided | Settled | Received) or (
        isinstance(event, Decided) and event.denied
    ):
        return None
    return event.run
