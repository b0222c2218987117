"""The ledger in one SQLite file: WAL, synchronous FULL, one writer with group commit.

An append returns once its records are on disk, or raises. Appends that wait at the same time share one transaction
and so one fsync. After a failed transaction the writer reads the head back from the file before it goes on, because a
commit that reported an error may still have happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from safebox.firewall.core.record import GENESIS, chain
from safebox.firewall.errors import LedgerUnavailable
from safebox.firewall.store.notary import Notary

BATCH_MAX: Final = 512
"""Records in one transaction: past this a batch gains nothing and delays its first."""
BUSY_MS: Final = 2_000
"""How long another process may hold the file's lock before an append is refused."""

IDLE_SECONDS: Final = 0.05
"""After so long without an append the ledger is signed up to its last record."""
UNSIGNED_MAX: Final = 2_000
"""Under load it is signed after so many records: a signature costs as much as a hundred of them."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
  seq  INTEGER PRIMARY KEY,
  body BLOB NOT NULL,
  hash BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS checkpoints (
  size INTEGER PRIMARY KEY,
  note TEXT NOT NULL
) STRICT;
"""

Append = tuple[Sequence[bytes], "asyncio.Future[None]"]
Committed = Callable[[int, float], None]


class SqliteStore:
    """Appends records durably and in order; only one process at a time may hold a ledger open for writing.

    Args:
        path: the database file; made with mode 0600 if it isn't there.
        committed: told (records, seconds) after each transaction, from the writer's thread.
        notary: signs checkpoints; without one there are none.

    Raises:
        LedgerUnavailable: if the file can't be opened, or another process holds it.
    """

    def __init__(
        self, path: Path, *, committed: Committed = lambda _count, _seconds: None, notary: Notary | None = None
    ) -> None:
        self._path = path
        self._committed = committed
        self._queue: queue.SimpleQueue[Append | None] = queue.SimpleQueue()
        self._lock = _lock(path)
        try:
            self._db = _open(path)
            self.seq, self._head = _head(self._db)
        except (sqlite3.Error, OSError) as error:
            os.close(self._lock)
            raise LedgerUnavailable(f"the ledger {path} can't be opened: {error}") from error
        self._in_doubt = False
        self._notary = notary
        self._signed = 0
        self._thread = threading.Thread(target=self._write, name="ledger-writer", daemon=True)
        self._thread.start()

    def read(self) -> Iterator[bytes]:
        """All records from the first; for use before the first append.

        Raises:
            LedgerUnavailable: if the file is damaged.
        """
        with contextlib.closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            try:
                for (body,) in db.execute("SELECT body FROM events ORDER BY seq"):
                    yield body
            except sqlite3.Error as error:
                raise LedgerUnavailable(f"the ledger {self._path} can't be read: {error}") from error

    def append(self, records: Sequence[bytes]) -> asyncio.Future[None]:
        """Queue records; the future is done once they are durable.

        Raises (from the future):
            LedgerUnavailable: if they did not become durable; then none of them did.
        """
        future = asyncio.get_running_loop().create_future()
        self._queue.put((records, future))
        return future

    def close(self) -> None:
        """Write what is queued and let go of the file."""
        self._queue.put(None)
        self._thread.join()
        self._db.close()
        os.close(self._lock)

    def _write(self) -> None:
        self._catch_up()
        last = False
        while not last:
            try:
                first = self._queue.get(timeout=IDLE_SECONDS if self._unsigned() else None)
            except queue.Empty:
                self._sign()
                continue
            if first is None:
                break
            batch, last = self._gather(first)
            self._commit(batch)
            if self._unsigned() >= UNSIGNED_MAX:
                self._sign()
        self._sign()

    def _catch_up(self) -> None:
        """Give the notary what was recorded before; it then knows the same records as the file."""
        if self._notary is not None:
            for (body,) in self._db.execute("SELECT body FROM events WHERE seq > ? ORDER BY seq", (self._notary.size,)):
                self._notary.add(body)
            self._signed = _signed(self._db)

    def _unsigned(self) -> int:
        return 0 if self._notary is None else self._notary.size - self._signed

    def _sign(self) -> None:
        """Keep a checkpoint; one that can't be written is tried again after the next append."""
        if self._notary is None or not self._unsigned():
            return
        size = self._notary.size
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (size, self._notary.checkpoint()))
            self._signed = size

    def _gather(self, first: Append) -> tuple[list[Append], bool]:
        batch, size = [first], len(first[0])
        while size < BATCH_MAX:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
            size += len(item[0])
        return batch, False

    def _commit(self, batch: list[Append]) -> None:
        started = time.perf_counter()
        rows: list[tuple[int, bytes, bytes]] = []
        try:
            self._resync()
            seq, head = self.seq, self._head
            for records, _ in batch:
                for record in records:
                    seq, head = seq + 1, chain(head, record)
                    rows.append((seq, record, head))
            self._insert(rows)
        except sqlite3.Error as error:
            self._in_doubt = True
            cause = LedgerUnavailable(f"the ledger can't be written: {error}", kind=_kind(error))
            _finish(batch, cause)
            return
        self.seq, self._head = seq, head
        if self._notary is not None:
            for _, record, _ in rows:
                self._notary.add(record)
        self._committed(len(rows), time.perf_counter() - started)
        _finish(batch, None)

    def _insert(self, rows: list[tuple[int, bytes, bytes]]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO events (seq, body, hash) VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if _stored(self._db, rows[-1]):
                return
            raise

    def _resync(self) -> None:
        """After a failure: go on only if the file is as it was; what it holds beyond that was reported as lost.

        Raises:
            sqlite3.Error: if it isn't; then only a restart, which reads it all, can go on.
        """
        if self._in_doubt:
            if _head(self._db) != (self.seq, self._head):
                raise sqlite3.DatabaseError("the file has records that were reported as lost; restart the firewall")
            self._in_doubt = False


def _kind(error: sqlite3.Error) -> str:
    """A short word for what SQLite says, as in `full`, `busy`, `readonly`, `ioerr` or `corrupt`."""
    name = getattr(error, "sqlite_errorname", None) or "sqlite_other"
    return str(name).split("_")[1].lower()


def _stored(db: sqlite3.Connection, row: tuple[int, bytes, bytes]) -> bool:
    try:
        found = db.execute("SELECT hash FROM events WHERE seq = ?", (row[0],)).fetchone()
    except sqlite3.Error:
        return False
    return found is not None and found[0] == row[2]


def _finish(batch: list[Append], error: LedgerUnavailable | None) -> None:
    loop = batch[0][1].get_loop()
    with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
        loop.call_soon_threadsafe(_resolve, [future for _, future in batch], error)


def _resolve(futures: list[asyncio.Future[None]], error: LedgerUnavailable | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def _lock(path: Path) -> int:
    try:
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerUnavailable(f"the ledger's folder can't be written: {error}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise LedgerUnavailable(
            f"another firewall holds the ledger {path}", remedy="use its state folder's daemon, or stop it"
        ) from error
    return handle


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
    try:
        _prepare(db)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.executescript(_SCHEMA)


def _signed(db: sqlite3.Connection) -> int:
    """Up to which record the ledger is signed."""
    (size,) = db.execute("SELECT coalesce(max(size), 0) FROM checkpoints").fetchone()
    return int(size)


def _head(db: sqlite3.Connection) -> tuple[int, bytes]:
    row = db.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))
