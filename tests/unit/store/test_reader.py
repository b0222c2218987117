"""A ledger is read without a firewall, while one writes it, and is never changed by that."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from safebox.firewall.errors import ConfigError
from safebox.firewall.store.reader import last_checkpoint, read_events
from safebox.firewall.store.sqlite import SqliteStore
from safebox.firewall.store.verify import verify
from tests.unit.cli import sample_ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    sample_ledger.write_all(tmp_path / "ledger.sqlite3")
    return tmp_path / "ledger.sqlite3"


def test_events_come_in_order_with_their_numbers(path: Path) -> None:
    events = list(read_events(path))
    assert [number for number, _ in events] == [1, 2, 3, 4, 5, 6]
    assert [event["event"] for _, event in events] == ["run_started", *["decided"] * 3, "settled", "run_ended"]
    assert [number for number, _ in read_events(path, after=4)] == [5, 6]
    assert list(read_events(path, after=6)) == []


def test_a_ledger_is_read_while_it_is_written(path: Path) -> None:
    async def write_and_read() -> None:
        store = SqliteStore(path)
        await store.append([b"{}"])
        assert len(list(read_events(path))) == 7
        assert verify(path).events == 7
        await store.append([b"{}"])
        assert len(list(read_events(path))) == 8
        store.close()

    asyncio.run(write_and_read())


def test_reading_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    assert verify(path).intact
    assert list(read_events(path))
    assert last_checkpoint(path) is None
    assert path.read_bytes() == before


def test_what_is_no_ledger_is_a_clear_error(tmp_path: Path) -> None:
    missing, other = tmp_path / "no", tmp_path / "other"
    other.write_text("not a database, but long enough to be looked at as one" * 20)
    for path in (missing, tmp_path):
        with pytest.raises(ConfigError, match="there is no ledger"):
            list(read_events(path))
        with pytest.raises(ConfigError):
            verify(path)
    with pytest.raises(ConfigError, match="not a readable ledger"):
        list(read_events(other))
    report = verify(other)
    assert (report.intact, report.problem) == (False, "the file is damaged: file is not a database")


@pytest.mark.parametrize("body", ["NULL", "'text'", "x'ff'", "x'5b'", "7"])
def test_a_body_of_another_type_is_found_and_ends_no_reader(tmp_path: Path, body: str) -> None:
    """A forger's table need not be as strict as ours."""
    path = tmp_path / "forged.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, body, hash)")
        db.execute(f"INSERT INTO events VALUES (1, {body}, x'00')")  # noqa: S608 - one of the constants above
        db.commit()
    report = verify(path)
    assert (report.intact, report.at) == (False, 1)
    if body != "7":  # that is JSON
        with pytest.raises(ConfigError):
            list(read_events(path))


def test_a_forged_record_with_a_good_hash_is_still_not_understood(tmp_path: Path) -> None:
    async def write(path: Path, record: bytes) -> None:
        store = SqliteStore(path)
        await store.append([record])
        store.close()

    for number, record in enumerate((b"\xff", b"{}", b"null", b'{"event":"decided","at_ns":1}')):
        path = tmp_path / f"{number}.sqlite3"
        asyncio.run(write(path, record))
        report = verify(path)
        assert (report.intact, report.at) == (False, 1), record
