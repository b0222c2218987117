"""The ledger in one SQLite file: WAL, synchronous FULL, group commit.

An append returns once its records are on disk, or raises. Appends that wait at the same time share one transaction
and so one fsync. After a failed transaction the writer reads the head back from the file before it goes on, because a
commit that reported an error may still have happened.

Firewalls may share a ledger. Each transaction then begins with what the others have written: it is taken into the books
first, and an append that was decided without knowing it can be refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Final, NamedTuple

from safebox.firewall.core.record import chain
from safebox.firewall.errors import LedgerMoved, LedgerUnavailable
from safebox.firewall.store.database import Row, head_of, is_stored, kind_of, lock_ledger, open_database, signed_to
from safebox.firewall.store.notary import Notary

BATCH_MAX: Final = 512
"""Records in one transaction: past this a batch gains nothing and delays its first."""
UNHURRIED_SECONDS: Final = 0.025
"""How long an append that nobody waits for may wait for one that somebody does, and so for an fsync they share."""
IDLE_SECONDS: Final = 0.05
"""After so long without an append the ledger is signed up to its last record."""
UNSIGNED_MAX: Final = 2_000
"""Under load it is signed after so many records: a signature costs as much as a hundred of them."""
CATCH_UP: Final = 20_000
"""Records of earlier firewalls the notary reads at once; appends wait a tenth of a second meanwhile."""
MERGE_SECONDS: Final = 10
"""How long the loop may take to read what another firewall wrote; the others wait for the file meanwhile."""


REMEDY: Final = "free space if the disk is full; if the file is damaged, safebox audit verify says from where on"
ROWS_AT_ONCE: Final = 64
"""Rows of one statement. Each statement gives the interpreter up and must win it back from a busy loop."""
_INSERT: Final = "INSERT INTO events (seq, body, hash) VALUES "
_KEEP: Final = "INSERT OR REPLACE INTO checkpoints VALUES (?, ?)"


class Append(NamedTuple):
    """Records that become durable together. `still` says, on the loop, whether they may after others wrote.

    `sealed` ones have a checkpoint over them in the same transaction.
    """

    records: Sequence[bytes]
    future: asyncio.Future[None]
    still: Callable[[], bool] | None
    sealed: bool


Committed = Callable[[int, float], None]
Merge = Callable[[Sequence[bytes]], None]


class SqliteStore:
    """Appends records durably and in order.

    Args:
        path: the database file; made with mode 0600 if it isn't there.
        committed: told (records, seconds) after each transaction, from the writer's thread.
        notary: signs checkpoints; without one there are none.
        shared: other firewalls may write, too; otherwise this process holds the ledger alone.
        signing: may be changed later; what is not known to be whole must not look as if somebody vouched for it.

    Raises:
        LedgerUnavailable: if the file can't be opened, or another process holds it.
    """

    def __init__(
        self,
        path: Path,
        *,
        committed: Committed = lambda _count, _seconds: None,
        notary: Notary | None = None,
        shared: bool = False,
        signing: bool = True,
    ) -> None:
        self._path = path
        self._committed = committed
        self.shared = shared
        self._signing = signing
        self.merge: Merge = lambda _: None
        self._queue: queue.SimpleQueue[list[Append] | None] = queue.SimpleQueue()
        self._unhurried: list[Append] = []
        self._hurry: asyncio.TimerHandle | None = None
        self._lock = lock_ledger(path, shared=shared)
        try:
            self._db = open_database(path)
            self.seq, self._head = head_of(self._db)
            self._signed = signed_to(self._db)
        except (sqlite3.Error, OSError) as error:
            os.close(self._lock)
            raise LedgerUnavailable(f"the ledger {path} can't be opened: {error}", remedy=REMEDY) from error
        self._lost: set[bytes] = set()
        self._notary = notary
        self._thread = threading.Thread(target=self._write, name="ledger-writer", daemon=True)
        self._thread.start()

    @property
    def signing(self) -> bool:
        """Whether the ledger is known to be whole, so that somebody may vouch for it."""
        return self._signing

    @signing.setter
    def signing(self, value: bool) -> None:
        self._signing = value
        if value:
            self._queue.put([])  # wakes the writer for what was left unsigned

    def read(self) -> Iterator[bytes]:
        """All records there were when it was opened, from the first; for use before the first append.

        Raises:
            LedgerUnavailable: if the file is damaged.
        """
        with contextlib.closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            try:
                for (body,) in db.execute("SELECT body FROM events WHERE seq <= ? ORDER BY seq", (self.seq,)):
                    yield body
            except sqlite3.Error as error:
                raise LedgerUnavailable(f"the ledger {self._path} can't be read: {error}", remedy=REMEDY) from error

    def append(
        self,
        records: Sequence[bytes],
        *,
        hurried: bool = True,
        still: Callable[[], bool] | None = None,
        sealed: bool = False,
    ) -> asyncio.Future[None]:
        """Queue records; the future is done once they are durable.

        Args:
            records: to be written together, or not at all.
            hurried: somebody waits; otherwise they may wait a little for records in a hurry.
            still: asked after what another firewall wrote was taken in: whether these may still be written.
            sealed: somebody will ask for a signature over them at once, so it is written with them.

        Raises (from the future):
            LedgerMoved: if `still` said no.
            LedgerUnavailable: if they did not become durable; then none of them did.
        """
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._unhurried.append(Append(records, future, still, sealed))
        if hurried:
            self._hand_over()
        elif self._hurry is None:
            self._hurry = loop.call_later(UNHURRIED_SECONDS, self._hand_over)
        return future

    def _hand_over(self) -> None:
        """Wake the writer once for all that waits."""
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None
        if self._unhurried:
            self._queue.put(self._unhurried)
            self._unhurried = []

    def close(self) -> None:
        """Write what is queued and let go of the file."""
        self._hand_over()
        self._queue.put(None)
        self._thread.join()
        self._db.close()
        os.close(self._lock)

    def _write(self) -> None:
        if not self.seq:
            self._keep()  # a ledger begins signed: one without any checkpoint has lost them
        last = False
        while not last:
            batch, last = self._gather()
            if batch:
                self._commit(batch)
            if not batch or self._unsigned() >= UNSIGNED_MAX:
                self._sign()
        self._sign()

    def _gather(self) -> tuple[list[Append], bool]:
        """Wait for what is to be written together; nothing if there was nothing for a while."""
        batch: list[Append] = []
        size = 0
        while size < BATCH_MAX:
            try:
                items = self._queue.get_nowait() if batch else self._queue.get(timeout=self._patience())
            except queue.Empty:
                break
            if items is None:
                return batch, True
            batch += items
            size += sum(len(item.records) for item in items)
        return batch, False

    def _patience(self) -> float | None:
        return IDLE_SECONDS if self._unsigned() else None

    def _commit(self, batch: list[Append]) -> None:
        started = time.perf_counter()
        try:
            self._begin()
            batch = self._merged(batch)
            self._lost.clear()
            rows = self._rows(batch)
            note = self._note(rows) if any(each.sealed for each in batch) else None
            self._insert(rows, note)
        except sqlite3.Error as error:
            self._rollback()
            _finish(batch, LedgerUnavailable(f"the ledger can't be written: {error}", kind=kind_of(error)))
            return
        except LedgerUnavailable as error:
            self._rollback()
            _finish(batch, error)
            return
        if rows:
            self.seq, self._head = rows[-1][0], rows[-1][2]
            self._sealed([row[1] for row in rows])
            self._signed = self._signed if note is None else self.seq
        self._committed(len(rows), time.perf_counter() - started)
        _finish(batch, None)

    def _begin(self) -> None:
        """Take the file's lock where there are others, and go on only if it is as this firewall left it.

        Raises:
            sqlite3.Error: if it isn't; then only a restart, which reads it all, can go on.
        """
        if self.shared:
            self._db.execute("BEGIN IMMEDIATE")
        elif self._lost and head_of(self._db) != (self.seq, self._head):
            raise sqlite3.DatabaseError("the file has records that were reported as lost; restart the firewall")

    def _merged(self, batch: list[Append]) -> list[Append]:
        """Take in what other firewalls wrote; what may not be written any more is refused.

        Raises:
            sqlite3.Error: if what they wrote doesn't follow what this firewall knows.
            LedgerUnavailable: if the loop didn't take it in.
        """
        if not self.shared or head_of(self._db) == (self.seq, self._head):
            return batch
        bodies = self._foreign()
        kept = _on_loop(batch, lambda: self._taken_in(bodies, batch))
        _finish([each for each in batch if each not in kept], LedgerMoved("another firewall was faster"))
        return kept

    def _foreign(self) -> list[bytes]:
        bodies: list[bytes] = []
        seq, head = self.seq, self._head
        for number, body, stored in self._db.execute(
            "SELECT seq, body, hash FROM events WHERE seq > ? ORDER BY seq", (self.seq,)
        ):
            seq, head = seq + 1, chain(head, body)
            if number != seq or stored != head or body in self._lost:
                raise sqlite3.DatabaseError(f"record {number} doesn't follow what this firewall wrote; restart it")
            bodies.append(body)
        if not bodies:
            raise sqlite3.DatabaseError("the file's last record is not the one that was written; restart the firewall")
        return bodies

    def _taken_in(self, bodies: list[bytes], batch: list[Append]) -> list[Append]:
        self.merge(bodies)
        for body in bodies:
            self.seq, self._head = self.seq + 1, chain(self._head, body)
        self._sealed(bodies)
        return [each for each in batch if each.still is None or each.still()]

    def _rows(self, batch: list[Append]) -> list[Row]:
        rows: list[Row] = []
        seq, head = self.seq, self._head
        for each in batch:
            for record in each.records:
                seq, head = seq + 1, chain(head, record)
                rows.append((seq, record, head))
        return rows

    def _note(self, rows: list[Row]) -> str | None:
        """The checkpoint over what is about to be written; None while nothing is signed, or too much is unread."""
        if self._notary is None or not self.signing or self._notary.size != self.seq:
            return None
        return self._notary.checkpoint_with([row[1] for row in rows])

    def _insert(self, rows: list[Row], note: str | None) -> None:
        """Write rows and commit: in one statement, which is a transaction of its own, if they are few."""
        try:
            if (note is not None or len(rows) > ROWS_AT_ONCE) and not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            for start in range(0, len(rows), ROWS_AT_ONCE):
                some = rows[start : start + ROWS_AT_ONCE]
                self._db.execute(_INSERT + ",".join(["(?,?,?)"] * len(some)), [value for row in some for value in row])
            if note is not None and rows:
                self._db.execute(_KEEP, (rows[-1][0], note))
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except sqlite3.Error:
            self._rollback()
            if rows and is_stored(self._db, rows[-1]):
                return
            self._lost.update(row[1] for row in rows)
            raise

    def _rollback(self) -> None:
        """End a transaction that failed; `_lost` keeps in mind what may be in the file all the same."""
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")

    def _unsigned(self) -> int:
        return self.seq - self._signed if self._notary is not None and self.signing else 0

    def _sealed(self, bodies: Sequence[bytes]) -> None:
        """Give the notary what follows what it has; what it misses it reads from the file, see `_sign`."""
        if self._notary is not None and self._notary.size == self.seq - len(bodies):
            for body in bodies:
                self._notary.add(body)

    def _sign(self) -> None:
        """Keep a checkpoint; one that can't be written is tried again after the next append."""
        if self._notary is None or not self._unsigned():
            return
        with contextlib.suppress(sqlite3.Error):
            unread = "SELECT body FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
            for (body,) in self._db.execute(unread, (self._notary.size, self.seq, CATCH_UP)).fetchall():
                self._notary.add(body)
            if self._notary.size == self.seq:
                self._keep()

    def _keep(self) -> None:
        if self._notary is not None:
            size, note = self._notary.size, self._notary.checkpoint()
            with contextlib.suppress(sqlite3.Error):
                self._db.execute(_KEEP, (size, note))
                self._signed = size


def _on_loop(batch: list[Append], work: Callable[[], list[Append]]) -> list[Append]:
    """Have the loop do something for the writer, which waits; what it hasn't begun in time is never done.

    Raises:
        LedgerUnavailable: if the loop doesn't, or can't.
    """
    answer: Future[list[Append]] = Future()

    def do() -> None:
        if answer.set_running_or_notify_cancel():
            try:
                answer.set_result(work())
            except LedgerUnavailable as error:
                answer.set_exception(error)

    try:
        batch[0].future.get_loop().call_soon_threadsafe(do)
    except RuntimeError as error:  # the loop has closed
        raise LedgerUnavailable("what another firewall wrote could not be taken in", kind="moved") from error
    wait((answer,), MERGE_SECONDS)
    if answer.cancel():
        raise LedgerUnavailable("what another firewall wrote was not taken in in time", kind="moved")
    return answer.result()


def _finish(batch: Sequence[Append], error: LedgerUnavailable | None) -> None:
    if not batch:
        return
    with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
        batch[0].future.get_loop().call_soon_threadsafe(_resolve, [each.future for each in batch], error)


def _resolve(futures: list[asyncio.Future[None]], error: LedgerUnavailable | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
