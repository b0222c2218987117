"""Law 4 with several processes: firewalls that share a ledger spend one budget, and answer a key once.

Each firewall is a process with a pipeline of its own over the same SQLite file. Policy says yes to everything, so that
only the books stand between a request and its effect. Effects are lines in a file that neither of them reads.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from safebox.firewall.core.action import Call
from safebox.firewall.core.record import RunKilled, encode_event
from safebox.firewall.drill.clock import NOW_NS
from safebox.firewall.ledger import Ledger
from safebox.firewall.recovery import recover
from safebox.firewall.store.presence import Presence
from safebox.firewall.store.reader import read_events
from safebox.firewall.store.sqlite import SqliteStore
from safebox.firewall.store.verify import verify
from tests.real_parts import ROOT
from tests.twins import MANDATE, PAYEE, Rig, run_started

ONE_ETH = {"to": PAYEE, "amount": "1 ETH"}
NAMES = ("fw_" + "a" * 26, "fw_" + "b" * 26)


class Firewall(Rig):
    """A pipeline over a shared ledger; what it does in the world is a line in `effects`."""

    def __init__(self, path: Path, name: str, effects: Path) -> None:
        self.presence = Presence(path, name)
        self.shared_store = SqliteStore(path, shared=True)
        self.shared_ledger = Ledger(self.shared_store, firewall=name, mine=self.presence.answers_for)
        super().__init__(ledger=self.shared_ledger)
        self._effects = effects
        self.connectors["chain"].on_perform = self._leave_a_mark
        self.clock.prefix = name[3]

    async def _leave_a_mark(self) -> None:
        with self._effects.open("ab", buffering=0) as file:
            file.write(b"paid\n")
        await asyncio.sleep(0)

    def close(self) -> None:
        self.shared_ledger.close()
        self.presence.close()


async def firewall(path: Path, name: str, effects: Path, calls: list[dict[str, Any]]) -> list[str]:
    """Wait for the word, make all calls at once, and say how each ended."""
    rig = Firewall(path, name, effects)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    replies = await asyncio.gather(*(rig.pipeline.handle(Call(run="run_1", **call)) for call in calls))
    rig.close()
    return [str(reply.status) for reply in replies]


def start(path: Path, name: str, effects: Path, calls: list[dict[str, Any]]) -> subprocess.Popen[str]:
    program = f"import asyncio, sys; sys.path[:0] = {sys.path!r}; from {__name__} import main; main()"
    command = [sys.executable, "-c", program.replace(__name__, "tests.adversarial." + Path(__file__).stem)]
    arguments = [str(path), name, str(effects), json.dumps(calls)]
    process = subprocess.Popen(
        [*command, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def main() -> None:
    path, name, effects, calls = sys.argv[1:]
    print(json.dumps(asyncio.run(firewall(Path(path), name, Path(effects), json.loads(calls)))))


def let_go(*processes: subprocess.Popen[str]) -> list[Counter[str]]:
    """Let all begin at once; how their calls ended."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [Counter(json.loads(process.communicate(timeout=60)[0])) for process in processes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with one run that may spend 7 ETH."""
    path = tmp_path / "ledger.sqlite3"

    async def begin() -> None:
        store = SqliteStore(path)
        await store.append([encode_event(run_started("run_1", MANDATE, NOW_NS))])
        store.close()

    asyncio.run(begin())
    return path


@pytest.fixture
def effects(tmp_path: Path) -> Path:
    file = tmp_path / "effects"
    file.touch()
    return file


def count(effects: Path) -> int:
    return len(effects.read_text().splitlines())


def decisions(path: Path) -> list[dict[str, Any]]:
    return [event for _, event in read_events(path) if event["event"] == "decided"]


@pytest.mark.parametrize("attempt", range(3))
def test_a_hundred_requests_over_two_firewalls_against_a_cap_of_seven_have_seven_effects(
    path: Path, effects: Path, attempt: int
) -> None:
    calls = [{"tool": "wallet.transfer", "arguments": ONE_ETH}] * 50
    first, second = let_go(*(start(path, name, effects, calls) for name in NAMES))
    ended = first + second
    assert count(effects) == ended["done"] == 7
    assert ended["denied"] == 93
    assert verify(path).sound
    by = Counter(event["firewall"] for event in decisions(path))
    assert set(by) == set(NAMES), f"both took part: {by}"


def test_a_key_used_in_both_firewalls_has_one_effect(path: Path, effects: Path) -> None:
    tenth = {"to": PAYEE, "amount": "0.1 ETH"}
    calls = [{"tool": "wallet.transfer", "arguments": tenth, "key": f"k{number}"} for number in range(20)]
    first, second = let_go(*(start(path, name, effects, calls) for name in NAMES))
    assert count(effects) == 20
    assert set(first) | set(second) <= {"done", "unknown"}, "who asks while it is under way is told that"
    assert (first + second)["done"] >= 20
    assert Counter(event["key"] for event in decisions(path)) == {f"k{number}": 1 for number in range(20)}


def test_a_key_used_in_both_for_different_things_is_an_error_in_one(path: Path, effects: Path) -> None:
    def call(amount: str) -> list[dict[str, Any]]:
        return [{"tool": "wallet.transfer", "arguments": {"to": PAYEE, "amount": amount}, "key": "k"}]

    first, second = let_go(
        start(path, NAMES[0], effects, call("0.1 ETH")), start(path, NAMES[1], effects, call("0.2 ETH"))
    )
    assert first + second == {"done": 1, "invalid": 1}
    assert count(effects) == 1


async def test_a_kill_recorded_by_one_stops_the_other_before_its_next_effect(path: Path, effects: Path) -> None:
    one, other = Firewall(path, NAMES[0], effects), Firewall(path, NAMES[1], effects)
    await other.shared_ledger.note(RunKilled(at_ns=NOW_NS, run="run_1", by="the owner"))
    reply = await one.pipeline.handle(Call(run="run_1", tool="wallet.transfer", arguments=ONE_ETH))
    assert (reply.status, reply.code, count(effects)) == ("unavailable", "firewall.run_not_live", 0)
    one.close()
    other.close()


async def test_what_is_under_way_elsewhere_is_left_alone_until_its_firewall_dies(path: Path, effects: Path) -> None:
    dying = start(path, NAMES[0], effects, [])
    rig = Firewall(path, NAMES[1], effects)
    try:
        event = Rig().decided_for("run_1", firewall=NAMES[0])
        await rig.shared_store.append([encode_event(event)])
        rig.shared_ledger.books.apply(event)
        assert await recover(rig.shared_ledger, rig.connectors, rig.clock) == []
        os.kill(dying.pid, signal.SIGKILL)
        dying.wait()
        (found,) = await recover(rig.shared_ledger, rig.connectors, rig.clock)
        assert (found.action_id, found.status, found.recovered) == (event.action_id, "failed", True)
    finally:
        dying.kill()
        dying.communicate()
        rig.close()


async def test_a_record_of_another_that_makes_no_sense_ends_all_yes(path: Path, effects: Path) -> None:
    one, other = Firewall(path, NAMES[0], effects), SqliteStore(path, shared=True)
    other.merge = lambda _: None
    await other.append([b'{"event":"run_killed","at_ns":1,"run":"run_9","by":"nobody"}'])
    for _ in range(2):
        reply = await one.pipeline.handle(Call(run="run_1", tool="wallet.transfer", arguments=ONE_ETH))
        assert (reply.status, reply.code) == ("unavailable", "firewall.ledger_unavailable")
    assert count(effects) == 0
    one.close()
    other.close()


async def test_a_firewall_that_shares_and_one_that_doesnt_never_meet(path: Path) -> None:
    alone = SqliteStore(path)
    with pytest.raises(Exception, match="another firewall"):
        SqliteStore(path, shared=True)
    alone.close()
    first, second = SqliteStore(path, shared=True), SqliteStore(path, shared=True)
    with pytest.raises(Exception, match="another firewall"):
        SqliteStore(path)
    first.close()
    second.close()
