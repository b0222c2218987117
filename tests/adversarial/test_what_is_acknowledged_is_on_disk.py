"""Law 3, on the disk: what was acknowledged is there after `kill -9`; what can't be written is a no, until it can."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from safebox.firewall.core.record import PolicyActivated, encode_event
from safebox.firewall.errors import LedgerUnavailable
from safebox.firewall.store.reader import read_events
from safebox.firewall.store.sqlite import SqliteStore
from safebox.firewall.store.verify import verify
from tests.disks import grow, small_disk
from tests.real_parts import ROOT

WRITER = """
import asyncio, sys
from pathlib import Path
from safebox.firewall.core.record import PolicyActivated, encode_event
from safebox.firewall.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    number = int(sys.argv[2])

    async def append(name):
        await store.append([encode_event(PolicyActivated(at_ns=name, bundle="x" * 300)) for _ in range(2)])
        sys.stdout.write(f"{name}\\n")
        sys.stdout.flush()

    while True:
        await asyncio.gather(*(append(number + each) for each in range(8)))
        number += 8

asyncio.run(main())
"""


@pytest.mark.parametrize("kills", [4])
def test_what_was_acknowledged_before_kill_9_is_there_and_verifies(tmp_path: Path, kills: int) -> None:
    path, acknowledged, chance = tmp_path / "ledger.sqlite3", set[int](), random.Random(7)  # noqa: S311 - when to kill is no secret
    for round_number in range(kills):
        command = [sys.executable, "-c", WRITER, str(path), str(round_number * 1_000_000)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged.add(int(writer.stdout.readline()))
            time.sleep(chance.uniform(0, 0.2))
            writer.kill()
            acknowledged |= {int(line) for line in writer.stdout if line.endswith("\n")}
    report = verify(path)
    assert report.intact, report.problem
    times = [event["at_ns"] for _, event in read_events(path)]
    assert acknowledged <= set(times)
    assert all(times.count(name) == 2 for name in set(times[-200:])), "all records of an append, or none"
    assert len(acknowledged) > 8 * kills


def record(number: int) -> bytes:
    return encode_event(PolicyActivated(at_ns=number, bundle="x" * 5_000))


async def test_a_full_disk_is_a_no_and_space_is_a_yes_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        store = SqliteStore(disk / "ledger.sqlite3")
        written = 0
        with contextlib.suppress(LedgerUnavailable):
            for written in range(1_000):
                await store.append([record(written)])
        assert 10 < written < 200
        for _ in range(3):
            with pytest.raises(LedgerUnavailable, match="full"):
                await store.append([record(999)] * 50)
        grow(disk)
        await store.append([record(written)])
        await asyncio.gather(*(store.append([record(written + each)]) for each in range(1, 20)))
        store.close()
        report = verify(disk / "ledger.sqlite3")
        assert report.intact, report.problem
        times = [event["at_ns"] for _, event in read_events(disk / "ledger.sqlite3")]
        assert times == list(range(written + 20)), "nothing that was refused is there, nothing else is missing"


async def test_a_disk_full_from_the_start_opens_no_ledger(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        with contextlib.suppress(OSError), (disk / "filler").open("wb") as filler:
            filler.write(bytes(2_000_000))
        with pytest.raises(LedgerUnavailable):
            SqliteStore(disk / "ledger.sqlite3")
        (disk / "filler").unlink()
        store = SqliteStore(disk / "ledger.sqlite3")
        await store.append([record(1)])
        store.close()


def test_no_flipped_byte_of_the_file_makes_another_history_look_intact(tmp_path: Path) -> None:
    """Exhaustive: each byte of the database file in turn; only what SQLite doesn't use may change."""

    async def write(path: Path) -> None:
        store = SqliteStore(path)
        for number in range(3):
            await store.append([encode_event(PolicyActivated(at_ns=number, bundle=f"sha256:{number:064}"))])
        store.close()

    path = tmp_path / "ledger.sqlite3"
    asyncio.run(write(path))
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    whole, truth = path.read_bytes(), list(read_events(path))
    found = 0
    for position in (at for at, byte in enumerate(whole) if byte or at < 100):  # the rest is space that nothing uses
        changed = bytearray(whole)
        changed[position] ^= 0x55
        path.write_bytes(changed)
        report = verify(path)
        if report.intact:
            assert report.events <= len(truth)
            assert list(read_events(path)) == truth[: report.events], position
        found += not report.intact
    assert found > sum(len(str(event)) for _, event in truth) // 2
