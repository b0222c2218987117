"""Recorded decisions come out of a ledger as they went in."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from safebox.firewall.core.document import policy_input
from safebox.firewall.core.record import RunEnded, encode_event
from safebox.firewall.errors import ConfigError
from safebox.firewall.policytools.recorded import STARTS, find_recorded, read_recorded, start_numbers
from safebox.firewall.store.sqlite import SqliteStore
from tests import recordings
from tests.unit.cli import sample_ledger

START = recordings.started("run_1", recordings.mail())


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Two decisions, one that failed, one of an action that was held, and the one that used its hold up."""
    judged, path = recordings.Judged(), tmp_path / "ledger.sqlite3"
    first = judged.event(1, "run_1", recordings.mail(), START)
    failed = msgspec.structs.replace(judged.event(2, "run_1", recordings.mail(), START), facts=msgspec.Raw(b"null"))
    held = judged.event(3, "run_1", recordings.mail(listed=False), START)
    later = judged.event(4, "run_1", recordings.mail(), START, action_id=held.action_id, hold=held.decision)
    recordings.append(path, [START, first, failed, held, later])
    return path


def test_the_document_is_byte_for_byte_what_policy_was_shown(ledger: Path) -> None:
    first = next(read_recorded(ledger))
    event = recordings.Judged().event(1, "run_1", recordings.mail(), START)
    assert first.document == policy_input(event.action, START.run_view, START.mandate, event.facts)
    assert (first.decision, first.action_id, first.run, first.tool) == (
        event.decision,
        event.action_id,
        "run_1",
        event.tool,
    )
    assert (first.at_ns, first.answer, first.bundle, first.number) == (event.at_ns, event.answer, event.bundle, 2)


def test_what_policy_never_judged_is_told_apart(ledger: Path) -> None:
    assert [each.judged for each in read_recorded(ledger)] == [True, False, True, True]


def test_a_state_folder_names_its_ledger(ledger: Path) -> None:
    assert list(read_recorded(ledger.parent)) == list(read_recorded(ledger))


def test_a_ledger_is_read_while_a_firewall_writes_to_it(ledger: Path) -> None:
    store = SqliteStore(ledger)  # holds the ledger's lock
    assert len(list(read_recorded(ledger))) == 4
    store.close()


def test_the_charges_are_those_of_what_was_allowed(tmp_path: Path) -> None:
    document = recordings.payment(600, None)
    start = recordings.started("run_1", document)
    recordings.append(tmp_path / "l", [start, recordings.Judged().event(1, "run_1", document, start)])
    (only,) = read_recorded(tmp_path / "l")
    assert [(each.rail, each.amount.units) for each in only.charges] == [("wallet", 610)]


def test_one_is_found_by_its_name_its_actions_or_the_end_of_either(ledger: Path) -> None:
    assert find_recorded(ledger, f"dec_{1:026d}").number == 2
    assert find_recorded(ledger, f"act_{1:026d}").number == 2
    assert find_recorded(ledger, "00001").number == 2


def test_of_an_action_that_was_held_the_last_decision_is_found(ledger: Path) -> None:
    assert find_recorded(ledger, f"act_{3:026d}").number == 5
    assert find_recorded(ledger, f"dec_{3:026d}").number == 4


@pytest.mark.parametrize("name", ["", "0", "dec_x", "'; DROP TABLE events; --"])
def test_a_name_of_none_or_of_several_is_an_error(ledger: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="end"):
        find_recorded(ledger, name)


def test_every_start_of_a_run_is_found_by_how_its_record_begins(ledger: Path) -> None:
    assert encode_event(START).startswith(STARTS)
    assert start_numbers(ledger, 1, 5) == [1]
    assert start_numbers(ledger, 2, 5) == []


def _spoil(ledger: Path, number: int, body: bytes | str) -> None:
    with sqlite3.connect(ledger) as db:
        db.execute("PRAGMA ignore_check_constraints = 1")
        db.execute("UPDATE events SET body = ? WHERE seq = ?", (body, number))
    db.close()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[]", b'{"event":"decided"}', b'{"event":"decided","run":"run_1"}']
)
def test_a_damaged_record_is_an_error_that_names_it(ledger: Path, body: bytes) -> None:
    _spoil(ledger, 3, body)
    with pytest.raises(ConfigError, match="record 3 "):
        list(read_recorded(ledger))


def test_a_decision_of_a_run_that_never_started_is_an_error(ledger: Path) -> None:
    _spoil(ledger, 1, encode_event(RunEnded(at_ns=1, run="run_9", reason="", exit_code=None)))
    with pytest.raises(ConfigError, match="record 2 "):
        list(read_recorded(ledger))


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_ledger_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ConfigError):
        list(read_recorded(tmp_path / "x"))
    with pytest.raises(ConfigError, match="no ledger"):
        list(read_recorded(tmp_path / "y"))


def test_events_of_every_other_kind_are_passed_by(tmp_path: Path) -> None:
    sample_ledger.write_all(tmp_path / "l")
    assert [each.decision for each in read_recorded(tmp_path / "l")] == ["dec_1", "dec_2", "dec_3"]
