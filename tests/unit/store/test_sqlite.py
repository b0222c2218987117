"""The SQLite store: in order, all or none, one writer, and after trouble as it was before."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from safebox.firewall.core.record import GENESIS, chain
from safebox.firewall.errors import LedgerUnavailable
from safebox.firewall.ledger import Ledger
from safebox.firewall.store import database
from safebox.firewall.store import sqlite as sqlite_module
from safebox.firewall.store.sqlite import SqliteStore
from tests.real_parts import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Somebody else holds the database's lock meanwhile."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def rows(path: Path) -> list[tuple[int, bytes, bytes]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT seq, body, hash FROM events ORDER BY seq").fetchall()


async def test_each_record_hashes_onto_the_one_before_it(path: Path) -> None:
    store = SqliteStore(path)
    await store.append([b"a", b"b"])
    await store.append([b"c"])
    store.close()
    first = chain(GENESIS, b"a")
    second = chain(first, b"b")
    assert rows(path) == [(1, b"a", first), (2, b"b", second), (3, b"c", chain(second, b"c"))]


async def test_a_ledger_goes_on_where_it_ended(path: Path) -> None:
    for number in range(3):
        store = SqliteStore(path)
        assert store.seq == number
        await store.append([b"%d" % number])
        store.close()
    assert [body for _, body, _ in rows(path)] == [b"0", b"1", b"2"]


async def test_appends_that_wait_together_share_a_transaction(path: Path) -> None:
    batches: list[int] = []
    store = SqliteStore(path, committed=lambda count, _seconds: batches.append(count))
    with locked(path):
        waiting = [store.append([b"%d" % number]) for number in range(100)]
        await asyncio.sleep(0.01)
        assert not any(each.done() for each in waiting), "nothing is acknowledged before it is on disk"
    await asyncio.gather(*waiting)
    store.close()
    assert sum(batches) == 100
    assert len(batches) <= 2
    assert [body for _, body, _ in rows(path)] == [b"%d" % number for number in range(100)]


async def test_a_transaction_has_a_bound_and_keeps_records_of_one_append_together(path: Path) -> None:
    batches: list[int] = []
    store = SqliteStore(path, committed=lambda count, _seconds: batches.append(count))
    with locked(path):
        first = store.append([b"first"])
        await asyncio.sleep(0.01)
        waiting = [store.append([b"x"] * 200) for _ in range(10)]
    await asyncio.gather(first, *waiting)
    store.close()
    assert sum(batches) == 2001
    assert max(batches) < sqlite_module.BATCH_MAX + 200
    assert all(count % 200 in (0, 1) for count in batches)


async def test_what_could_not_be_written_is_not_there_and_the_next_append_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 20)
    store = SqliteStore(path)
    await store.append([b"a"])
    with locked(path):
        with pytest.raises(LedgerUnavailable):
            await store.append([b"lost", b"lost too"])
        with pytest.raises(LedgerUnavailable):
            await store.append([b"lost as well"])
    await store.append([b"b"])
    store.close()
    assert [(seq, body) for seq, body, _ in rows(path)] == [(1, b"a"), (2, b"b")]


async def test_what_is_queued_when_it_closes_is_written(path: Path) -> None:
    store = SqliteStore(path)
    waiting = [store.append([b"%d" % number]) for number in range(50)]
    store.close()
    await asyncio.gather(*waiting)
    assert len(rows(path)) == 50


async def test_an_append_that_nobody_waits_for_any_more_is_written_all_the_same(path: Path) -> None:
    store = SqliteStore(path)
    with locked(path):
        future = store.append([b"a"])
        future.cancel()
    await store.append([b"b"])
    store.close()
    assert [body for _, body, _ in rows(path)] == [b"a", b"b"]


def test_a_loop_that_has_closed_hurts_nobody(path: Path) -> None:
    store = SqliteStore(path)

    async def leave() -> None:
        store.append([b"a"])

    with locked(path):
        asyncio.run(leave())
    store.close()
    assert len(rows(path)) == 1


def test_nobody_else_may_read_a_ledger(path: Path) -> None:
    SqliteStore(path).close()
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_a_second_store_in_this_process_is_refused_until_the_first_lets_go(path: Path) -> None:
    first = SqliteStore(path)
    with pytest.raises(LedgerUnavailable, match="another firewall") as caught:
        SqliteStore(path)
    assert caught.value.remedy
    first.close()
    SqliteStore(path).close()


def test_a_second_process_is_refused(path: Path) -> None:
    store = SqliteStore(path)
    program = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    command = [sys.executable, "-S", "-c", program, str(path.with_suffix(".lock"))]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "BlockingIOError" in refused.stderr
    store.close()
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_a_process_that_holds_the_lock_keeps_this_one_out(path: Path) -> None:
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(LedgerUnavailable, match="another firewall"):
        SqliteStore(path)
    os.close(handle)


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_ledger_is_refused_and_let_go(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="can't be opened"):
            SqliteStore(path)
    assert path.read_bytes() == content


def test_a_folder_in_its_place_or_no_folder_at_all_is_refused(path: Path) -> None:
    with pytest.raises(LedgerUnavailable):
        SqliteStore(path / "deeper" / "ledger.sqlite3")
    path.mkdir()
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="can't be opened"):
            SqliteStore(path)


async def test_records_that_cannot_be_understood_keep_a_firewall_from_starting(path: Path) -> None:
    store = SqliteStore(path)
    await store.append([b'{"event":"run_ended","at_ns":1,"run":"run_9","reason":"x","exit_code":0}'])
    store.close()
    store = SqliteStore(path)
    with pytest.raises(LedgerUnavailable, match="record 1"):
        Ledger(store)
    store.close()


def test_a_path_with_signs_of_a_uri_is_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "a?mode=memory#b %41"
    folder.mkdir()
    store = SqliteStore(folder / "ledger.sqlite3")
    assert list(store.read()) == []
    store.close()
