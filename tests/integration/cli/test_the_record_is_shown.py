from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

from safebox.firewall.core.record import PolicyActivated, encode_event
from safebox.firewall.store.notary import Notary
from safebox.firewall.store.sqlite import SqliteStore
from tests.integration.cli.program import Program
from tests.unit.cli.sample_ledger import ACME, RUN, write_all


def test_every_event_is_one_plain_line_that_leaves_nothing_out(safebox: Program, home: Path) -> None:
    write_all(home / "ledger.sqlite3")
    lines = [line[9:] for line in safebox("audit", "tail").out.splitlines()]
    assert lines == [
        f"{RUN} start run treasurer with wallet 0x2B5A…D6cF",
        f"{RUN} allow wallet.transfer pay 0.1 ETH → acme ({ACME})",
        f'{RUN} deny email.send mail mallory@evil.example "hi\\u001b]0;owned\\u0007\\nthere" '
        "[email.recipient_not_listed: the recipient is not in the mandate]",
        f"{RUN} hold compute.stop stop i1 (waits as dec_3) [main.hold: wait]",
        f"{RUN} done wallet.transfer 0.1 ETH taken, transaction hash 0x{'ab' * 32}, block number 4",
        f"{RUN} end run exited, status 0",
    ]


def test_the_tail_is_filtered_by_run_tool_and_verdict(safebox: Program, home: Path) -> None:
    write_all(home / "ledger.sqlite3")
    assert len(safebox("audit", "tail", "-n", "2").out.splitlines()) == 2
    assert len(safebox("audit", "tail", "--tool", "wallet").out.splitlines()) == 2
    assert len(safebox("audit", "tail", "--tool", "email.sen").out.splitlines()) == 0
    assert len(safebox("audit", "tail", "--run", "XAHAAX").out.splitlines()) == 6
    assert len(safebox("audit", "tail", "--run", "other").out.splitlines()) == 0
    (line,) = safebox("audit", "tail", "--verdict", "deny", "--json").out.splitlines()
    assert json.loads(line)["record"] == 3


def test_a_ledger_that_was_written_is_intact_and_one_that_was_changed_is_not(safebox: Program, home: Path) -> None:
    path = home / "ledger.sqlite3"
    write_all(path)
    done = safebox("audit", "verify")
    assert done.status == 0
    assert done.out.startswith("intact      6 records of ")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'acme', 'evil') AS BLOB) WHERE seq = 2")
    db.close()
    done = safebox("audit", "verify", str(path), "--json")
    report = json.loads(done.out)
    assert (done.status, report["intact"], report["at"]) == (7, False, 2)
    assert safebox("audit", "verify").out.startswith("NOT INTACT  record 2 is not the one that was written\n")


def test_a_ledger_is_held_against_every_checkpoint_that_was_kept(safebox: Program, home: Path, tmp_path: Path) -> None:
    path, kept = home / "ledger.sqlite3", tmp_path / "kept.notes"
    notes: list[str] = []
    for _ in range(2):
        asyncio.run(_many(path, 3))
        notes.append(safebox("audit", "checkpoint").out)
    kept.write_text("".join(notes))
    done = safebox("audit", "verify", "--checkpoint", str(kept))
    assert (done.status, "consistent  history is the one" in done.out) == (0, True), done
    kept.write_text(notes[0] + notes[1].replace("\n6\n", "\n7\n"))
    done = safebox("audit", "verify", "--checkpoint", str(kept))
    assert (done.status, str(kept) in done.err, "--key" in done.err) == (3, True, True), done
    asyncio.run(_many(tmp_path / "other" / "ledger.sqlite3", 6))
    kept.write_text(safebox("audit", "checkpoint", str(tmp_path / "other" / "ledger.sqlite3")).out)
    assert safebox("audit", "verify", "--checkpoint", str(kept)).status == 3


def test_what_takes_long_says_how_far_it_has_come_on_a_terminal_and_nothing_in_a_pipe(
    safebox: Program, home: Path, tmp_path: Path
) -> None:
    path = home / "ledger.sqlite3"
    asyncio.run(_many(path, 60_000))
    assert safebox("audit", "verify").err == ""
    assert safebox("audit", "export").err == ""
    for words in (("audit", "verify"), ("audit", "export")):
        seen = on_terminal(home, *words)
        assert "of 60,000 records" in seen
        assert "/s" in seen
        assert seen.endswith("\r\x1b[K"), "the line is gone when the work is done"
    assert "\x1b[32m" not in on_terminal(home, "audit", "verify", "--json")
    assert on_terminal(home, "audit", "verify", "--json") == ""


async def _many(path: Path, count: int) -> None:
    path.parent.mkdir(exist_ok=True)
    store = SqliteStore(path, notary=Notary.open(path.parent / "keystore"))
    await store.append([encode_event(PolicyActivated(at_ns=number, bundle="sha256:0")) for number in range(count)])
    store.close()


def on_terminal(home: Path, *words: str) -> str:
    """What a command writes to standard error where that is a terminal and standard output isn't."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "safebox.sandbox.cli", *words],
        env={**os.environ, "SAFEBOX_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=its,
    )
    os.close(its)
    seen = b""
    with contextlib.suppress(OSError):  # how a terminal that was hung up ends
        while piece := os.read(ours, 65_536):
            seen += piece
    os.close(ours)
    assert process.wait() == 0, seen
    return seen.decode()


def test_runs_that_ended_are_listed_from_the_ledger(safebox: Program, home: Path) -> None:
    write_all(home / "ledger.sqlite3")
    head, row = safebox("ps", "--all").out.splitlines()
    assert head.split() == ["RUN", "AGENT", "STATE", "STARTED", "DENIED", "SPENT"]
    assert row.split()[:3] == [RUN, "treasurer", "exited"]
    assert safebox("ps").out.startswith("No run is live.")


def test_logs_give_an_agents_bytes_unchanged_to_a_pipe(safebox: Program, home: Path) -> None:
    folder = home / "runs" / RUN
    folder.mkdir(parents=True)
    (folder / "agent.log").write_text("one\n\x1b[2Jtwo")
    assert safebox("logs", "xahaax").out == "one\n\x1b[2Jtwo"
    assert safebox("logs", "xahaax", "--follow").out == "one\n\x1b[2Jtwo"
