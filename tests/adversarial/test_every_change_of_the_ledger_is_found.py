"""Threat F: whatever is done to a ledger's file, `verify` finds it, and says which of its four answers is no.

The ledger has twelve records and signed checkpoints of 0, 8 and 12 of them; somebody kept the one of 8 elsewhere, and
where a test says so the one of 12, too. For each change the table has all four answers, so that none of them is a no
that it shouldn't be: a broken chain doesn't make a kept checkpoint lie, nor the other way round.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from safebox.firewall.core.checkpoint import Checkpoint, Verifier, read
from safebox.firewall.core.record import GENESIS, PolicyActivated, chain, encode_event
from safebox.firewall.errors import ConfigError
from safebox.firewall.store.notary import Notary
from safebox.firewall.store.reader import last_checkpoint
from safebox.firewall.store.sqlite import SqliteStore
from safebox.firewall.store.verify import VerifyReport, verify
from tests.live import until

RECORDS: Final = 12
KEPT: Final = 8
Change = Callable[[sqlite3.Connection], object]


def record(number: int, text: str = "sha256:") -> bytes:
    return encode_event(PolicyActivated(at_ns=number, bundle=f"{text}{number:064}"))


async def _fill(path: Path, first: int, last: int) -> Verifier:
    notary = Notary.open(path.parent)
    store = SqliteStore(path, notary=notary)
    await store.append([record(number) for number in range(first, last)])
    store.close()
    return notary.verifier


@dataclass(frozen=True)
class Kept:
    """A ledger, its public key, and the checkpoints that somebody kept elsewhere."""

    path: Path
    key: Verifier
    early: Checkpoint
    late: Checkpoint

    def change(self, *changes: Change) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            for change in changes:
                change(db)

    def verify(self, *, late: bool = False) -> VerifyReport:
        return verify(self.path, key=self.key, kept=[self.late if late else self.early])

    @property
    def notary(self) -> Notary:
        """The key, as somebody who broke into the machine has it."""
        return Notary.open(self.path.parent)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite3"
    key = asyncio.run(_fill(path, 0, KEPT))
    early = _newest(path, key)
    asyncio.run(_fill(path, KEPT, RECORDS))
    late = _newest(path, key)
    assert (early.size, late.size) == (KEPT, RECORDS)
    return Kept(path, key, early, late)


@pytest.fixture
def kept(original: Kept, tmp_path: Path) -> Kept:
    folder = tmp_path / "copy"
    shutil.copytree(original.path.parent, folder)
    return replace(original, path=folder / original.path.name)


@dataclass(frozen=True)
class Says:
    """The four answers: the first record that is wrong, up to where it is signed (None: a signature is wrong), …"""

    wrong: int | None = None
    signed: int | None = RECORDS
    complete: bool = True
    consistent: bool | None = True

    @classmethod
    def of(cls, report: VerifyReport) -> Says:
        signed = report.signed_to if report.signature_problem is None else None
        assert report.intact == (report.problem is None)
        wrong = None if report.intact else report.at or DAMAGED
        return cls(wrong, signed, report.complete is True, report.consistent)


DAMAGED: Final = -1
"""In place of a record's number: SQLite can't read the file."""


def sql(*statements: str) -> Change:
    return lambda db: db.executescript(";".join(statements))


def put(seq: int, body: bytes) -> Change:
    return lambda db: db.execute("UPDATE events SET body = ? WHERE seq = ?", (body, seq))


def reorder(*bodies: int) -> Change:
    """Write the records anew: each place gets the row that was in the place named here, with its hash."""

    def change(db: sqlite3.Connection) -> None:
        rows = dict((seq, (body, head)) for seq, body, head in db.execute("SELECT * FROM events").fetchall())
        db.execute("DELETE FROM events")
        for place, source in enumerate(bodies, 1):
            db.execute("INSERT INTO events VALUES (?, ?, ?)", (place, *rows[source]))

    return change


def rechain(db: sqlite3.Connection) -> None:
    """What a forger with the file does: all numbers and hashes anew."""
    head = GENESIS
    rows = [body for (body,) in db.execute("SELECT body FROM events ORDER BY seq").fetchall()]
    db.execute("DELETE FROM events")
    for number, body in enumerate(rows, 1):
        head = chain(head, body)
        db.execute("INSERT INTO events VALUES (?, ?, ?)", (number, body, head))


def resign(notary: Notary) -> Change:
    """What a forger with the key does: every checkpoint anew, over the records as they are now."""

    def change(db: sqlite3.Connection) -> None:
        sizes = {size for (size,) in db.execute("SELECT size FROM checkpoints")}
        db.execute("DELETE FROM checkpoints")
        bodies = [body for (body,) in db.execute("SELECT body FROM events ORDER BY seq").fetchall()]
        for size, body in enumerate([None, *bodies]):
            if body is not None:
                notary.add(body)
            if size in sizes or size == len(bodies):
                db.execute("INSERT INTO checkpoints VALUES (?, ?)", (size, notary.checkpoint()))

    return change


def note(seq: int, change: Callable[[str], str]) -> Change:
    def edit(db: sqlite3.Connection) -> None:
        (text,) = db.execute("SELECT note FROM checkpoints WHERE size = ?", (seq,)).fetchone()
        db.execute("UPDATE checkpoints SET note = ? WHERE size = ?", (change(text), seq))

    return edit


FORGED: Final = record(2, "sha512:")
"""As long as the third record, and says something else."""
LATER: Final = record(9, "sha512:")
UNSIGN: Final = sql("DELETE FROM checkpoints WHERE size > 0")
IN_ORDER: Final = tuple(range(1, RECORDS + 1))

CHANGES: Final[dict[str, tuple[tuple[Change, ...], Says]]] = {
    "nothing": ((), Says()),
    # one record
    "a record replaced by one of equal length": ((put(3, FORGED),), Says(wrong=3, signed=None, consistent=False)),
    "a record replaced by a shorter one": ((put(3, b"{}"),), Says(wrong=3, signed=None, consistent=False)),
    "a record replaced by another's": ((put(3, record(5)),), Says(wrong=3, signed=None, consistent=False)),
    "a record replaced that the kept checkpoint hadn't seen": ((put(10, LATER),), Says(wrong=10, signed=None)),
    "a hash replaced": ((sql("UPDATE events SET hash = zeroblob(32) WHERE seq = 3"),), Says(wrong=3)),
    "a hash cut": ((sql("UPDATE events SET hash = substr(hash, 1, 31) WHERE seq = 12"),), Says(wrong=12)),
    # records gone, moved, added
    "the first record gone": (
        (sql("DELETE FROM events WHERE seq = 1"),),
        Says(wrong=1, signed=None, complete=False, consistent=None),
    ),
    "a record gone from the middle": (
        (sql("DELETE FROM events WHERE seq = 5"),),
        Says(wrong=5, signed=None, complete=False, consistent=None),
    ),
    "a later record gone from the middle": ((sql("DELETE FROM events WHERE seq = 10"),), Says(wrong=10, signed=None)),
    "records swapped": (
        (reorder(1, 2, 3, 5, 4, *IN_ORDER[5:]),),
        Says(wrong=4, signed=None, consistent=False),
    ),
    "records swapped with a recomputed chain": (
        (reorder(1, 2, 3, 5, 4, *IN_ORDER[5:]), rechain),
        Says(signed=None, consistent=False),
    ),
    "later records swapped": ((reorder(*IN_ORDER[:9], 11, 10, 12),), Says(wrong=10, signed=None)),
    "all records the other way round": (
        (reorder(*reversed(IN_ORDER)),),
        Says(wrong=1, signed=None, consistent=False),
    ),
    "a record doubled in the middle": (
        (reorder(1, 2, 3, 3, *IN_ORDER[3:]),),
        Says(wrong=4, signed=None, consistent=False),
    ),
    "a record doubled in the middle with a recomputed chain": (
        (reorder(1, 2, 3, 3, *IN_ORDER[3:]), rechain),
        Says(signed=None, consistent=False),
    ),
    "the last record doubled": ((reorder(*IN_ORDER, 12),), Says(wrong=13)),
    "a record put in with a number of its own": (
        (sql("INSERT INTO events SELECT 0, body, hash FROM events WHERE seq = 1"),),
        Says(wrong=1, signed=None, consistent=False),
    ),
    # the end gone
    "the end gone": ((sql("DELETE FROM events WHERE seq > 10"),), Says(signed=None)),
    "the end gone, also of what was kept": (
        (sql("DELETE FROM events WHERE seq > 5"),),
        Says(signed=None, complete=False, consistent=None),
    ),
    "the end gone with its checkpoints": (
        (sql("DELETE FROM events WHERE seq > 5"), UNSIGN),
        Says(signed=0, complete=False, consistent=None),
    ),
    "all records gone": (
        (sql("DELETE FROM events"),),
        Says(signed=None, complete=False, consistent=None),
    ),
    # history written anew, without the key
    "history rewritten with a recomputed chain": (
        (put(3, FORGED), rechain),
        Says(signed=None, consistent=False),
    ),
    "history rewritten with a recomputed chain, and no checkpoint left": (
        (put(3, FORGED), rechain, sql("DELETE FROM checkpoints")),
        Says(signed=None, consistent=False),
    ),
    "history rewritten with a recomputed chain, and only the checkpoint of nothing left": (
        (put(3, FORGED), rechain, UNSIGN),
        Says(signed=0, consistent=False),
    ),
    # the checkpoints
    "a checkpoint's root edited": ((note(8, lambda text: text.replace("\n8\n", "\n7\n")),), Says(signed=None)),
    "a checkpoint without its signature": ((note(12, lambda text: text.partition("—")[0]),), Says(signed=None)),
    "a checkpoint under another number": ((sql("UPDATE checkpoints SET size = 9 WHERE size = 8"),), Says(signed=None)),
    "a checkpoint of more than there is": (
        (sql("UPDATE checkpoints SET size = 99 WHERE size = 12"),),
        Says(signed=None),
    ),
    "a checkpoint of less than nothing": (
        (sql("INSERT INTO checkpoints SELECT -1, note FROM checkpoints WHERE size = 0"),),
        Says(signed=None),
    ),
    "an old checkpoint in a new one's place": (
        (
            sql(
                "DELETE FROM checkpoints WHERE size = 12",
                "INSERT INTO checkpoints SELECT 12, note FROM checkpoints WHERE size = 8",
            ),
        ),
        Says(signed=None),
    ),
    "no checkpoint left": ((sql("DELETE FROM checkpoints"),), Says(signed=None)),
    "the last checkpoint gone": ((sql("DELETE FROM checkpoints WHERE size = 12"),), Says(signed=8)),
    # whole tables
    "the table of checkpoints gone": ((sql("DROP TABLE checkpoints"),), Says(signed=None)),
    "the table of records gone": (
        (sql("DROP TABLE events"),),
        Says(wrong=DAMAGED, signed=None, complete=False, consistent=None),
    ),
    "a table of records that holds text": (
        (
            sql(
                "ALTER TABLE events RENAME TO old",
                "CREATE VIEW events AS SELECT CAST(seq AS TEXT) AS seq, CAST(body AS TEXT) AS body, hash FROM old",
            ),
        ),
        Says(wrong=1, signed=None, consistent=False),
    ),
    "a table of checkpoints that holds text": (
        (
            sql(
                "ALTER TABLE checkpoints RENAME TO old",
                "CREATE VIEW checkpoints AS SELECT CAST(size AS TEXT) AS size, note FROM old",
            ),
        ),
        Says(signed=None),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_has_its_answer_and_no_other(kept: Kept, name: str) -> None:
    changes, says = CHANGES[name]
    kept.change(*changes)
    report = kept.verify()
    assert Says.of(report) == says
    assert report.sound == (says.wrong is None and says.signed is not None and says.complete and says.consistent)


def test_what_came_after_a_kept_checkpoint_is_vouched_for_by_later_ones_only(kept: Kept) -> None:
    kept.change(sql("DELETE FROM events WHERE seq > 8", "DELETE FROM checkpoints WHERE size = 12"))
    assert Says.of(kept.verify()) == Says(signed=8)
    assert Says.of(kept.verify(late=True)) == Says(signed=8, complete=False, consistent=None)


def test_what_is_not_signed_yet_can_be_forged_and_is_not_called_signed(kept: Kept) -> None:
    def forge(db: sqlite3.Connection) -> None:
        ((last, head),) = db.execute("SELECT seq, hash FROM events WHERE seq = 12").fetchall()
        db.execute("INSERT INTO events VALUES (?, ?, ?)", (last + 1, FORGED, chain(head, FORGED)))

    kept.change(forge)
    report = kept.verify()
    assert (Says.of(report), report.events) == (Says(signed=12), 13)


def test_who_has_the_key_too_is_found_only_beside_what_was_kept_elsewhere(kept: Kept) -> None:
    kept.change(put(3, FORGED), rechain, resign(kept.notary))
    assert verify(kept.path, key=kept.key).sound, "the file alone is as good as new"
    assert Says.of(kept.verify()) == Says(consistent=False)
    assert Says.of(kept.verify(late=True)) == Says(consistent=False)


def test_who_has_the_key_and_cuts_the_end_is_found_only_beside_what_was_kept_elsewhere(kept: Kept) -> None:
    kept.change(sql("DELETE FROM events WHERE seq > 6", "DELETE FROM checkpoints WHERE size > 6"), resign(kept.notary))
    assert verify(kept.path, key=kept.key).sound
    assert Says.of(kept.verify()) == Says(signed=6, complete=False, consistent=None)


def test_of_several_kept_checkpoints_each_that_can_tell_is_heard(kept: Kept) -> None:
    kept.change(put(3, FORGED), rechain, sql("DELETE FROM events WHERE seq > 10"), resign(kept.notary))
    report = verify(kept.path, key=kept.key, kept=[kept.late, kept.early])
    assert (report.complete, report.consistent) == (False, False)


def test_a_ledger_with_another_key_is_not_this_one(kept: Kept, tmp_path: Path) -> None:
    other = tmp_path / "other" / "ledger.sqlite3"
    other.parent.mkdir()
    asyncio.run(_fill(other, 100, 100 + RECORDS))
    shutil.copy(other, kept.path)
    assert Says.of(kept.verify()) == Says(signed=None, consistent=False)


def test_a_file_that_is_gone_is_incomplete_and_without_a_kept_checkpoint_an_error(kept: Kept) -> None:
    kept.path.unlink()
    report = kept.verify()
    assert (report.intact, report.events, report.complete, report.consistent) == (True, 0, False, None)
    assert not report.sound
    with pytest.raises(ConfigError, match="there is no ledger"):
        verify(kept.path, key=kept.key)


@pytest.mark.parametrize("content", [b"", b"\0" * 8192, b"no database"], ids=["empty", "zeros", "text"])
def test_a_file_that_is_something_else_is_damaged_and_incomplete(kept: Kept, content: bytes) -> None:
    kept.path.write_bytes(content)
    assert Says.of(kept.verify()) == Says(wrong=DAMAGED, signed=None, complete=False, consistent=None)


def test_every_single_byte_of_every_record_hash_and_checkpoint_matters(kept: Kept) -> None:
    """Exhaustive: each byte of each stored value, flipped in turn, with the one answer that must be no."""
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")  # this test asks for thousands of changes, not for durable ones
        events = db.execute("SELECT seq, body, hash FROM events ORDER BY seq").fetchall()
        for seq, body, stored in events:
            unseen = seq > KEPT
            for _ in _flips(db, "UPDATE events SET body = ? WHERE seq = ?", seq, body):
                assert Says.of(kept.verify()) == Says(wrong=seq, signed=None, consistent=unseen)
            for _ in _flips(db, "UPDATE events SET hash = ? WHERE seq = ?", seq, stored):
                assert Says.of(kept.verify()) == Says(wrong=seq)
        for size, text in db.execute("SELECT size, CAST(note AS BLOB) FROM checkpoints").fetchall():
            for _ in _flips(db, "UPDATE checkpoints SET note = CAST(? AS TEXT) WHERE size = ?", size, text):
                assert Says.of(kept.verify()) == Says(signed=None)
    assert kept.verify().sound


def _flips(db: sqlite3.Connection, statement: str, row: int, content: bytes) -> Iterator[int]:
    """Flip one bit of each byte in turn; the value is as it was afterwards."""
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        db.execute(statement, (bytes(changed), row))
        yield position
    db.execute(statement, (content, row))


def test_every_single_byte_of_the_file_is_found_or_says_nothing(kept: Kept) -> None:
    """Exhaustive over the whole database file: headers, pages, cells, and the room between them."""
    content = kept.path.read_bytes()
    before = _contents(kept.path)
    found = 0
    for position in range(len(content)):
        with _flipped(kept.path, content, position):
            report, after = kept.verify(), _contents(kept.path)
        _check(report, before, after)
        found += not report.sound
    assert found > RECORDS * len(record(0)), "each byte of a record, at the least"
    assert kept.verify().sound


def test_what_is_lost_with_the_write_ahead_log_is_missed(original: Kept, tmp_path: Path) -> None:
    """A machine that stops leaves its last records in the log beside the file; who drops or damages it cuts them."""
    folder = tmp_path / "left"
    shutil.copytree(original.path.parent, folder)
    ledger = folder / "ledger.sqlite3"
    later = asyncio.run(_left_by_a_crash(ledger))
    assert verify(ledger, key=original.key, kept=[later]).sound
    before, log = _contents(ledger), ledger.with_name("ledger.sqlite3-wal")
    content = log.read_bytes()
    for position in range(0, len(content), 13):
        with _flipped(log, content, position):
            report, after = verify(ledger, key=original.key, kept=[later]), _contents(ledger)
        _check(report, before, after)
    log.unlink()
    report = verify(ledger, key=original.key, kept=[later])
    assert Says.of(report) == Says(signed=RECORDS, complete=False, consistent=None)


async def _left_by_a_crash(ledger: Path) -> Checkpoint:
    """Append one record, and leave the files as they are when the machine stops then."""
    notary = Notary.open(ledger.parent)
    store = SqliteStore(ledger, notary=notary)
    await store.append([record(RECORDS)])
    await asyncio.to_thread(until, lambda: _newest(ledger, notary.verifier).size > RECORDS, "it was not signed")
    files = {path: path.read_bytes() for path in ledger.parent.glob("ledger.sqlite3*")}
    newest = _newest(ledger, notary.verifier)
    store.close()
    for path, content in files.items():
        path.write_bytes(content)
    ledger.with_name("ledger.sqlite3-shm").unlink()
    return newest


def _newest(ledger: Path, key: Verifier) -> Checkpoint:
    return read(last_checkpoint(ledger) or "", key)


Contents = tuple[list[Any] | None, list[Any] | None]
"""The records and the checkpoints as SQLite reads them; None for what it can't read."""


def _contents(path: Path) -> Contents:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return (
            _rows(db, "SELECT seq, body, hash FROM events ORDER BY seq"),
            _rows(db, "SELECT size, note FROM checkpoints ORDER BY size"),
        )


def _rows(db: sqlite3.Connection, query: str) -> list[Any] | None:
    try:
        return db.execute(query).fetchall()
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return None


@contextmanager
def _flipped(path: Path, content: bytes, position: int) -> Generator[None]:
    with path.open("r+b", buffering=0) as file:
        file.seek(position)
        file.write(bytes([content[position] ^ 1 << position % 8]))
        yield
        file.seek(position)
        file.write(content[position : position + 1])


def _check(report: VerifyReport, before: Contents, after: Contents) -> None:
    """What changed what is read is found; what didn't is no reason for a no."""
    events, notes = after
    if events is None:
        assert not report.intact
    elif events == before[0]:
        assert (report.intact, report.complete, report.consistent) == (True, True, True), report
        signed = report.signed_to if report.signature_problem is None else None
        assert (signed == len(events)) == (notes == before[1]), report
    else:
        assert not report.sound, report
