"""Verification that needs only the file and the public key, and answers four questions one by one.

- intact: every record hashes onto the one before it, and none is missing between;
- signed: up to which record good checkpoints in the file vouch for the tree;
- complete: no tail was dropped, given a checkpoint that was kept elsewhere;
- consistent: that checkpoint's tree is a prefix of this one, so history was not rewritten since.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from safebox.firewall.core.books import Books
from safebox.firewall.core.checkpoint import Checkpoint, Verifier, read
from safebox.firewall.core.merkle import Tree, leaf_hash
from safebox.firewall.core.record import GENESIS, chain, decode_event
from safebox.firewall.errors import ConfigError
from safebox.firewall.store.reader import open_ledger

PROGRESS_EVERY: Final = 10_000
"""Records between two calls of the progress callback."""

Progress = Callable[[int, int], None]


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found.

    `head` is the last hash and `root` the tree's (hex); `at` is the first record that is wrong. `signed_to` is None
    without a key; `complete` and `consistent` are None without a checkpoint from elsewhere. `effects_without_allow`
    counts outcomes that no allow precedes.
    """

    intact: bool
    events: int
    head: str
    root: str = ""
    problem: str | None = None
    at: int | None = None
    signed_to: int | None = None
    signature_problem: str | None = None
    complete: bool | None = None
    consistent: bool | None = None
    effects_without_allow: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing that was asked had a bad answer."""
        bad = (self.problem, self.signature_problem)
        asked = (self.intact, self.complete is not False, self.consistent is not False)
        return all(asked) and not any(bad) and not self.effects_without_allow


def verify(
    path: Path, progress: Progress | None = None, *, key: Verifier | None = None, kept: Checkpoint | None = None
) -> VerifyReport:
    """Check a ledger from its first record to its last.

    Args:
        path: the ledger's database file.
        progress: told (checked, of) from time to time.
        key: checks the signatures; without it they aren't looked at.
        kept: a checkpoint that was kept elsewhere.

    Raises:
        ConfigError: if there is no file.
    """
    with open_ledger(path) as db:
        try:
            notes = _notes(db)
            walk = _Walk(notes, kept)
            walk.over(db, progress)
        except sqlite3.DatabaseError as error:
            return VerifyReport(intact=False, events=0, head="", problem=f"the file is damaged: {error}", at=None)
    return walk.report(key, notes, kept)


class _Walk:
    """One pass over all records, remembering the roots that checkpoints speak of."""

    def __init__(self, notes: Mapping[int, str], kept: Checkpoint | None) -> None:
        self._sizes = set(notes) | ({kept.size} if kept is not None else set[int]())
        self._tree, self._books = Tree(), Books()
        self._head = GENESIS
        self._problem: tuple[int, str] | None = None
        self._total = 0
        self.roots: dict[int, bytes] = {0: self._tree.root()}

    def over(self, db: sqlite3.Connection, progress: Progress | None) -> None:
        (self._total,) = db.execute("SELECT count(*) FROM events").fetchone()
        rows = db.execute("SELECT seq, body, hash FROM events ORDER BY seq")
        for expected, (seq, body, stored) in enumerate(rows, 1):
            problem = self._step(expected, seq, body, stored)
            if problem is not None:
                self._problem = expected, problem
                return
            if progress is not None and expected % PROGRESS_EVERY == 0:
                progress(expected, self._total)

    def _step(self, expected: int, seq: int, body: bytes, stored: bytes) -> str | None:
        if seq != expected:
            return f"record {expected} is missing"
        if type(body) is not bytes or chain(self._head, body) != stored:
            return f"record {seq} is not the one that was written"
        try:
            self._books.apply(decode_event(body))
        except (ValueError, TypeError, KeyError) as error:  # msgspec's errors are ValueErrors
            return f"record {seq} can't be understood: {error}"
        self._head = stored
        self._tree.append(leaf_hash(body))
        if self._tree.size in self._sizes:
            self.roots[self._tree.size] = self._tree.root()
        return None

    def report(self, key: Verifier | None, notes: Mapping[int, str], kept: Checkpoint | None) -> VerifyReport:
        at, problem = self._problem or (None, None)
        signed_to, unsigned = (None, None) if key is None else _signed(key, notes, self.roots)
        return VerifyReport(
            intact=problem is None,
            events=self._total,
            head=self._head.hex(),
            root=self._tree.root().hex(),
            problem=problem,
            at=at,
            signed_to=signed_to,
            signature_problem=unsigned,
            complete=None if kept is None else self._tree.size >= kept.size,
            consistent=None if kept is None else self.roots.get(kept.size) == kept.root,
            effects_without_allow=self._books.effects_without_allow,
        )


def _notes(db: sqlite3.Connection) -> dict[int, str]:
    """The checkpoints in the file, by the size they say they are of; a ledger from before there were any has none."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'checkpoints'").fetchone() is None:
        return {}
    return {int(size): str(note) for size, note in db.execute("SELECT size, note FROM checkpoints ORDER BY size")}


def _signed(key: Verifier, notes: Mapping[int, str], roots: Mapping[int, bytes]) -> tuple[int, str | None]:
    """Up to which record good checkpoints vouch, and what is wrong with the first that doesn't."""
    signed_to = 0
    for size, note in notes.items():
        try:
            checkpoint = read(note, key)
        except ConfigError as error:
            return signed_to, f"checkpoint {size}: {error.cause}"
        if checkpoint.size != size or roots.get(size) != checkpoint.root:
            return signed_to, f"checkpoint {size} is of another history than the records"
        signed_to = size
    return signed_to, None
