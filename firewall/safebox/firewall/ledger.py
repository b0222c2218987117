"""The durable record and the books it folds into, kept in step.

A decision counts in the books from the moment it is queued, and is taken back if it didn't become durable: between two
awaits nobody can spend the same money twice. An outcome counts once it is durable; until then its reservation stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import Protocol

from safebox.firewall.core.books import Books, RunBook
from safebox.firewall.core.record import Decided, LedgerEvent, Settled, decode_event, encode_event
from safebox.firewall.errors import LedgerUnavailable, OutcomeUnrecorded


class Store(Protocol):
    """Where records become durable."""

    def read(self) -> Iterator[bytes]:
        """All records, from the first."""
        ...

    def append(self, records: Sequence[bytes]) -> Awaitable[None]:
        """Make records durable, all or none.

        Raises:
            LedgerUnavailable: if none became durable.
        """
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Ledger:
    """Records events and answers from the books they amount to.

    Raises:
        LedgerUnavailable: if the stored records can't be read back.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owed: list[Settled] = []
        self._soon: set[asyncio.Future[None]] = set()
        self.books = Books()
        for number, record in enumerate(store.read(), 1):
            try:
                self.books.apply(decode_event(record))
            except (ValueError, TypeError, KeyError) as error:  # msgspec's errors are ValueErrors
                remedy = "run safebox audit verify; the ledger is changed or damaged"
                raise LedgerUnavailable(f"record {number} can't be understood: {error}", remedy=remedy) from error

    def book(self, run: str) -> RunBook:
        """The book of one run.

        Raises:
            KeyError: if the ledger knows no such run.
        """
        return self.books.runs[run]

    def reserve(self, event: Decided) -> Awaitable[None]:
        """Reserve at once; what is returned waits until the decision is durable.

        Raises (from the awaitable):
            LedgerUnavailable: if it isn't durable; then nothing is reserved.
        """
        self.books.apply(event)
        return self._durable(event, self._store.append([encode_event(event)]))

    async def _durable(self, event: Decided, appended: Awaitable[None]) -> None:
        try:
            await appended
        except LedgerUnavailable:
            self.books.revert(event)
            raise

    def settle(self, event: Settled) -> Awaitable[None]:
        """Record an outcome, together with any that could not be recorded before; the awaitable waits for the disk.

        Raises (from the awaitable):
            OutcomeUnrecorded: if it isn't durable; it is owed, and its reservation stands.
        """
        return asyncio.shield(self._begin(event))  # whoever stops waiting: what is on disk counts in the books

    def settle_soon(self, event: Settled) -> None:
        """Record the outcome of something that changed nothing outside, without anybody waiting for the disk."""
        self._begin(event)

    def _begin(self, event: Settled) -> asyncio.Future[None]:
        events, self._owed = [*self._owed, event], []
        appended = self._store.append([encode_event(event) for event in events])
        task = asyncio.ensure_future(self._settled(events, appended))
        self._soon.add(task)
        task.add_done_callback(self._seen)
        return task

    async def pay_what_is_owed(self) -> None:
        """Try again to record outcomes that could not be recorded.

        Raises:
            OutcomeUnrecorded: if they still can't.
        """
        events, self._owed = self._owed, []
        if events:
            await self._settled(events, self._store.append([encode_event(event) for event in events]))

    async def _settled(self, events: list[Settled], appended: Awaitable[None]) -> None:
        try:
            await appended
        except LedgerUnavailable as error:
            self._owed = events + self._owed
            raise OutcomeUnrecorded(error.cause, kind=error.kind) from error
        for event in events:
            self.books.apply(event)

    def _seen(self, task: asyncio.Future[None]) -> None:
        self._soon.discard(task)
        if not task.cancelled():
            task.exception()  # what failed is owed

    async def note(self, event: LedgerEvent) -> None:
        """Record an event that reserves nothing.

        Raises:
            LedgerUnavailable: if it isn't durable; then it did not happen.
        """
        await self._store.append([encode_event(event)])
        self.books.apply(event)

    def unsettled(self) -> list[Decided]:
        """Every allowed action whose outcome isn't known, oldest first."""
        found = [event for book in self.books.runs.values() for event in book.open.values()]
        return sorted(found, key=lambda event: event.at_ns)

    @property
    def owes(self) -> bool:
        """Whether an outcome waits to be recorded."""
        return bool(self._owed)

    def close(self) -> None:
        """Write what is queued and let go of the store."""
        self._store.close()
