"""The ledger's SQLite file: opened in the one mode in which a commit is durable, and locked against strangers."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from safebox.firewall.core.record import GENESIS
from safebox.firewall.errors import LedgerUnavailable

BUSY_MS: Final = 2_000
"""How long another process may hold the file's lock before an append is refused."""

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

Row = tuple[int, bytes, bytes]
"""Number, record, and its hash onto the one before."""


def lock_ledger(path: Path, *, shared: bool) -> int:
    """Lock a ledger for one firewall, or for firewalls that share it; the kernel lets go when the process dies.

    Raises:
        LedgerUnavailable: if somebody holds it otherwise, or its folder can't be written.
    """
    try:
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerUnavailable(f"the ledger's folder can't be written: {error}") from error
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise LedgerUnavailable(
            f"another firewall holds the ledger {path}", remedy="use its state folder's daemon, or stop it"
        ) from error
    return handle


def open_database(path: Path) -> sqlite3.Connection:
    """Open for writing; the file is made with mode 0600 if it isn't there.

    Raises:
        sqlite3.Error: if it is no ledger.
        OSError: if it can't be opened.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db


def head_of(db: sqlite3.Connection) -> tuple[int, bytes]:
    """Number and hash of the last record."""
    row = db.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))


def signed_to(db: sqlite3.Connection) -> int:
    """Up to which record the ledger is signed."""
    (size,) = db.execute("SELECT coalesce(max(size), 0) FROM checkpoints").fetchone()
    return int(size)


def is_stored(db: sqlite3.Connection, row: Row) -> bool:
    """Whether exactly this row is in the file; False if it can't be read."""
    try:
        found = db.execute("SELECT hash FROM events WHERE seq = ?", (row[0],)).fetchone()
    except sqlite3.Error:
        return False
    return found is not None and found[0] == row[2]


def kind_of(error: sqlite3.Error) -> str:
    """A short word for what SQLite says, as in `full`, `busy`, `readonly`, `ioerr` or `corrupt`."""
    name = getattr(error, "sqlite_errorname", None) or "sqlite_other"
    return str(name).split("_")[1].lower()
