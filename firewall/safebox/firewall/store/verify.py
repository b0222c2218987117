"""Verification that needs only the file: every record hashes onto the one before it, and none is missing between."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from safebox.firewall.core.books import Books
from safebox.firewall.core.record import GENESIS, chain, decode_event
from safebox.firewall.store.reader import open_ledger

PROGRESS_EVERY: Final = 10_000
"""Records between two calls of the progress callback."""


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found.

    `intact` says that no record was changed, swapped, or taken out before the last; `head` is the last hash (hex);
    `at` is the number of the first record that is wrong. `effects_without_allow` counts outcomes no allow precedes.
    """

    intact: bool
    events: int
    head: str
    problem: str | None = None
    at: int | None = None
    effects_without_allow: int = 0


def verify(path: Path, progress: Callable[[int, int], None] | None = None) -> VerifyReport:
    """Check a ledger from its first record to its last.

    Args:
        path: the ledger's database file.
        progress: told (checked, of) from time to time.

    Raises:
        ConfigError: if there is no file.
    """
    with open_ledger(path) as db:
        try:
            return _walk(db, progress)
        except sqlite3.DatabaseError as error:
            return VerifyReport(intact=False, events=0, head="", problem=f"the file is damaged: {error}", at=None)


def _walk(db: sqlite3.Connection, progress: Callable[[int, int], None] | None) -> VerifyReport:
    (total,) = db.execute("SELECT count(*) FROM events").fetchone()
    head, books = GENESIS, Books()
    for expected, (seq, body, stored) in enumerate(db.execute("SELECT seq, body, hash FROM events ORDER BY seq"), 1):
        problem = _problem(seq, expected, body, stored, head, books)
        if problem is not None:
            return VerifyReport(intact=False, events=total, head=head.hex(), problem=problem, at=expected)
        head = stored
        if progress is not None and expected % PROGRESS_EVERY == 0:
            progress(expected, total)
    return VerifyReport(intact=True, events=total, head=head.hex(), effects_without_allow=books.effects_without_allow)


def _problem(seq: int, expected: int, body: bytes, stored: bytes, head: bytes, books: Books) -> str | None:
    if seq != expected:
        return f"record {expected} is missing"
    if chain(head, body) != stored:
        return f"record {seq} is not the one that was written"
    try:
        books.apply(decode_event(body))
    except (msgspec.DecodeError, KeyError) as error:
        return f"record {seq} can't be understood: {error}"
    return None
