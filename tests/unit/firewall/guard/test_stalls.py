"""Who is held to account for a stalled firewall, and for what; the ledger remembers, also when it could not at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from safebox.firewall.core.action import Action
from safebox.firewall.core.record import RunEnded, RunKilled, Stalled
from safebox.firewall.core.tools import Caller
from safebox.firewall.errors import LedgerUnavailable, Withheld
from safebox.firewall.guard.mark import Mark
from safebox.firewall.guard.stalls import Stalls
from tests.twins import MemoryStore, Rig
from tests.unit.firewall.guard.judged import ACTION

OURS = msgspec.structs.replace(ACTION, run="run_1")


class Dog:
    """A watchdog without teeth: its mark is real."""

    def __init__(self, home: Path) -> None:
        self.mark = Mark.open(home)
        self.evaluation = self
        self.slow: Callable[[float], None] = lambda _seconds: None


class Firewalls:
    """One after the other over the same ledger and folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = MemoryStore()
        self.killed: list[tuple[str, str]] = []
        self.kills = True
        self.bundle = ""
        self._start()

    def next(self, stalled_at: Action | None = None, traceback: bytes = b"Current thread") -> None:
        """End the one there is, over an action or not, and start another."""
        if stalled_at is not None:
            self.stalls.over(stalled_at)
            path = self.dog.mark.path
            content = path.read_bytes()
            self.dog.mark.close()
            path.write_bytes(content[:4096] + traceback + bytes(100))
        else:
            self.dog.mark.close()
        self._start()

    def _start(self) -> None:
        self.rig = Rig(self.store)
        self.rig.engine.bundle = self.bundle or self.rig.engine.bundle
        self.dog = Dog(self.home)
        self.stalls = Stalls(
            self.dog,  # type: ignore[arg-type]
            self.rig.ledger,
            self.rig.engine,
            self.rig.clock,
            self.rig.metrics,
            self.kill,
        )
        self.stalls.take_up(self.home)

    async def kill(self, run: str, by: str) -> None:
        if not self.kills:
            raise LedgerUnavailable("the disk is full", kind="full")
        await self.rig.ledger.note(RunKilled(at_ns=1, run=run, by=by))
        self.killed.append((run, by))

    @property
    def recorded(self) -> list[Stalled]:
        return [event for event in self.store.events if isinstance(event, Stalled)]

    def refuses(self, action: Action) -> str:
        try:
            self.stalls.check(action)
        except Withheld as error:
            return error.code
        return ""


def other(number: int) -> Action:
    return msgspec.structs.replace(OURS, id=f"act_{number}", digest=f"sha256:{number:064x}")


@pytest.fixture
def firewalls(tmp_path: Path) -> Iterator[Firewalls]:
    made = Firewalls(tmp_path)
    yield made
    made.dog.mark.close()


async def test_the_action_that_stalled_is_refused_and_recorded_once(firewalls: Firewalls) -> None:
    firewalls.next(stalled_at=OURS)
    assert firewalls.refuses(OURS) == "policy.stalled", "already before it is recorded"
    await firewalls.stalls.settle()
    for _ in range(3):
        firewalls.next()
        await firewalls.stalls.settle()
        assert firewalls.refuses(OURS) == "policy.stalled"
        assert firewalls.refuses(other(1)) == ""
        assert firewalls.rig.metric("safebox_stalls_total") == 1
    assert [(event.run, event.digest, event.how) for event in firewalls.recorded] == [
        ("run_1", OURS.digest, "it took too long")
    ]


async def test_an_end_that_nobody_caused_is_blamed_on_nobody(firewalls: Firewalls) -> None:
    firewalls.next(stalled_at=OURS, traceback=b"")
    await firewalls.stalls.settle()
    assert firewalls.recorded == []
    assert firewalls.refuses(OURS) == ""
    assert list((firewalls.home / "judging").iterdir()) == [firewalls.dog.mark.path]


async def test_a_run_the_ledger_does_not_know_is_not_blamed(firewalls: Firewalls) -> None:
    firewalls.next(stalled_at=msgspec.structs.replace(OURS, run="run_2"))
    await firewalls.stalls.settle()
    assert firewalls.recorded == []
    assert firewalls.rig.metric("safebox_stall_timestamp_seconds") > 0, "but it is told"


async def test_after_three_stalls_the_run_is_killed_and_nothing_of_it_is_judged(firewalls: Firewalls) -> None:
    for number in range(3):
        assert firewalls.killed == []
        firewalls.next(stalled_at=other(number))
        await firewalls.stalls.settle()
    assert firewalls.killed == [("run_1", "the watchdog")]
    assert firewalls.refuses(other(4)) == "policy.stalled"
    assert firewalls.refuses(msgspec.structs.replace(other(5), caller=Caller.OWNER)) == "policy.stalled"
    firewalls.next()
    await firewalls.stalls.settle()
    assert len(firewalls.killed) == 1, "once"


async def test_another_policy_is_asked_again(firewalls: Firewalls) -> None:
    firewalls.next(stalled_at=OURS)
    await firewalls.stalls.settle()
    firewalls.bundle = "sha256:mended"
    firewalls.next()
    assert firewalls.refuses(OURS) == ""


async def test_what_could_not_be_recorded_is_refused_meanwhile_and_recorded_later(firewalls: Firewalls) -> None:
    firewalls.store.broken = True
    for number in range(3):
        firewalls.next(stalled_at=other(number))
        with pytest.raises(LedgerUnavailable):
            await firewalls.stalls.settle()
        assert firewalls.refuses(other(number)) == "policy.stalled"
    firewalls.next()  # also by a firewall that doesn't find out itself
    assert firewalls.refuses(other(9)) == "policy.stalled", "three are enough, recorded or not"
    firewalls.store.broken = False
    await firewalls.stalls.settle()
    assert len(firewalls.recorded) == 3
    assert firewalls.killed == [("run_1", "the watchdog")]


async def test_a_crash_between_recording_and_tidying_up_records_nothing_twice(firewalls: Firewalls) -> None:
    firewalls.next(stalled_at=OURS)
    (left,) = [path for path in (firewalls.home / "judging").iterdir() if path != firewalls.dog.mark.path]
    content = left.read_bytes()
    await firewalls.stalls.settle()
    left.write_bytes(content)
    firewalls.next()
    await firewalls.stalls.settle()
    assert len(firewalls.recorded) == 1


async def test_a_kill_that_could_not_be_recorded_is_made_up_for(firewalls: Firewalls) -> None:
    for number in range(2):
        firewalls.next(stalled_at=other(number))
        await firewalls.stalls.settle()
    firewalls.next(stalled_at=other(2))
    firewalls.kills = False
    with pytest.raises(LedgerUnavailable):
        await firewalls.stalls.settle()
    assert firewalls.killed == []
    firewalls.kills = True
    await firewalls.stalls.settle()
    assert firewalls.killed == [("run_1", "the watchdog")]


async def test_a_firewall_that_ends_before_it_could_kill_leaves_that_to_the_next(firewalls: Firewalls) -> None:
    firewalls.kills = False
    for number in range(3):
        firewalls.next(stalled_at=other(number))
        with contextlib.suppress(LedgerUnavailable):
            await firewalls.stalls.settle()
    assert len(firewalls.recorded) == 3
    firewalls.kills = True
    firewalls.next()
    await firewalls.stalls.settle()
    assert firewalls.killed == [("run_1", "the watchdog")]


async def test_a_run_that_has_ended_is_blamed_but_not_killed(firewalls: Firewalls) -> None:
    for number in range(3):
        firewalls.next(stalled_at=other(number))
        if number == 2:
            await firewalls.rig.ledger.note(RunEnded(at_ns=1, run="run_1", reason="exited", exit_code=0))
        await firewalls.stalls.settle()
    assert len(firewalls.recorded) == 3
    assert firewalls.killed == []


async def test_a_run_that_used_up_its_time_waits_but_its_owner_does_not(firewalls: Firewalls) -> None:
    firewalls.stalls.over(OURS)
    firewalls.dog.slow(6.0)
    assert firewalls.refuses(OURS) == "policy.slow"
    assert firewalls.refuses(msgspec.structs.replace(OURS, caller=Caller.OWNER)) == ""
    firewalls.rig.clock.now += 3600 * 10**9
    assert firewalls.refuses(OURS) == ""
