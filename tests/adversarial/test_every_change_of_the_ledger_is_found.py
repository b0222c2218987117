"""Threat F: whatever is done to a ledger's file, `verify` finds it, and says which of its four answers is no."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from safebox.firewall.core.checkpoint import Checkpoint, Verifier, read
from safebox.firewall.core.record import GENESIS, PolicyActivated, chain, encode_event
from safebox.firewall.store.notary import Notary
from safebox.firewall.store.reader import last_checkpoint
from safebox.firewall.store.sqlite import SqliteStore
from safebox.firewall.store.verify import VerifyReport, verify

RECORDS = 12
Change = Callable[[sqlite3.Connection], object]


def record(number: int, text: str = "sha256:") -> bytes:
    return encode_event(PolicyActivated(at_ns=number, bundle=f"{text}{number:064}"))


async def _fill(path: Path, first: int, last: int) -> Notary:
    notary = Notary.open(path.parent)
    store = SqliteStore(path, notary=notary)
    for number in range(first, last):
        await store.append([record(number)])
    store.close()
    return notary


class Kept:
    """A ledger of twelve records, and the checkpoint somebody kept when it had eight."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite3"
        self.key: Verifier = asyncio.run(_fill(self.path, 0, 8)).verifier
        self.checkpoint: Checkpoint = read(last_checkpoint(self.path) or "", self.key)
        asyncio.run(_fill(self.path, 8, RECORDS))

    def change(self, *changes: Change) -> VerifyReport:
        with sqlite3.connect(self.path) as db:
            for change in changes:
                change(db)
        db.close()
        return verify(self.path, key=self.key, kept=self.checkpoint)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def rechain(db: sqlite3.Connection) -> None:
    """What a forger with the file does: all hashes anew."""
    head = GENESIS
    for number, (seq, body) in enumerate(db.execute("SELECT seq, body FROM events ORDER BY seq").fetchall(), 1):
        head = chain(head, body)
        db.execute("UPDATE events SET seq = ?, hash = ? WHERE seq = ?", (number, head, seq))


def rewrite(db: sqlite3.Connection) -> None:
    db.execute("UPDATE events SET body = ? WHERE seq = 3", (record(2, "sha512:"),))
    rechain(db)


def drop(low: int) -> Change:
    return lambda db: db.execute("DELETE FROM events WHERE seq >= ?", (low,))


def test_an_untouched_ledger_has_four_good_answers(kept: Kept) -> None:
    report = kept.change()
    assert report.sound
    assert (report.intact, report.signed_to, report.complete, report.consistent) == (True, RECORDS, True, True)


def test_a_changed_record_is_not_intact(kept: Kept) -> None:
    report = kept.change(lambda db: db.execute("UPDATE events SET body = ? WHERE seq = 3", (record(99),)))
    assert (report.intact, report.at) == (False, 3)


def test_a_record_taken_out_of_the_middle_is_not_intact(kept: Kept) -> None:
    report = kept.change(lambda db: db.execute("DELETE FROM events WHERE seq = 5"))
    assert (report.intact, report.at) == (False, 5)


def test_swapped_and_repeated_records_are_not_intact(kept: Kept) -> None:
    swapped = kept.change(
        lambda db: db.executescript(
            "UPDATE events SET seq = -1 WHERE seq = 4; UPDATE events SET seq = 4 WHERE seq = 5;"
            "UPDATE events SET seq = 5 WHERE seq = -1;"
        )
    )
    assert (swapped.intact, swapped.at) == (False, 4)


def test_a_repeated_record_is_not_intact(kept: Kept) -> None:
    report = kept.change(
        lambda db: db.execute("INSERT INTO events SELECT 13, body, hash FROM events WHERE seq = 12"),
    )
    assert (report.intact, report.at) == (False, 13)


def test_a_dropped_tail_is_seen_by_the_signatures_left_behind(kept: Kept) -> None:
    report = kept.change(drop(11))
    assert report.intact
    assert report.signature_problem is not None
    assert (report.complete, report.consistent) == (True, True)


def test_a_tail_dropped_with_its_checkpoints_is_incomplete(kept: Kept) -> None:
    report = kept.change(drop(6), lambda db: db.execute("DELETE FROM checkpoints"))
    assert (report.intact, report.signed_to, report.complete) == (True, 0, False)
    assert not report.sound


def test_a_history_rewritten_with_a_recomputed_chain_is_not_consistent(kept: Kept) -> None:
    report = kept.change(rewrite, lambda db: db.execute("DELETE FROM checkpoints"))
    assert (report.intact, report.complete, report.consistent) == (True, True, False)
    assert not report.sound


def test_a_rewritten_history_does_not_fit_the_signatures_in_the_file(kept: Kept) -> None:
    report = kept.change(rewrite)
    assert report.intact
    assert report.signature_problem is not None


def test_a_checkpoint_signed_with_another_key_is_no_signature(kept: Kept, tmp_path: Path) -> None:
    forger = Notary.open(tmp_path / "forger")
    for number in range(RECORDS):
        forger.add(record(number))
    report = kept.change(lambda db: db.execute("UPDATE checkpoints SET note = ?", (forger.checkpoint(),)))
    assert (report.intact, report.signed_to) == (True, 0)
    assert report.signature_problem is not None


def test_a_missing_file_is_an_error_and_an_empty_one_is_incomplete(kept: Kept) -> None:
    report = kept.change(drop(0), lambda db: db.execute("DELETE FROM checkpoints"))
    assert (report.intact, report.events, report.complete, report.consistent) == (True, 0, False, False)


def test_every_single_byte_of_every_record_matters(kept: Kept) -> None:
    """Exhaustive: each byte of each stored record and hash, flipped in turn."""
    db = sqlite3.connect(kept.path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")  # this test asks for thousands of changes, not for durable ones
    for seq, body, stored in db.execute("SELECT seq, body, hash FROM events ORDER BY seq").fetchall():
        for column, content in (("body", body), ("hash", stored)):
            statement = f"UPDATE events SET {column} = ? WHERE seq = ?"  # noqa: S608 - one of two constants
            for position in range(len(content)):
                changed = bytearray(content)
                changed[position] ^= 1
                db.execute(statement, (bytes(changed), seq))
                report = verify(kept.path, key=kept.key)
                assert (report.intact, report.at) == (False, seq), (column, position)
            db.execute(statement, (content, seq))
    db.close()
    assert kept.change().sound
