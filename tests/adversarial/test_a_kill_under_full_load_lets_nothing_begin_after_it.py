"""Law 12, over the wire: `safebox kill --all` against 32 connections at full speed, on real engine, disk and socket.

`make bench` does the same fifty times and says how long it took (`kill_ms`).
"""

from __future__ import annotations

from pathlib import Path

from safebox.firewall.core.record import Decided, LedgerEvent, RunKilled, Settled, decode_event
from tests.bench.killer import killer
from tests.bench.stop import Target

TIMES = 10


async def test_nothing_begins_after_the_answer_and_nothing_stays_open(short_path: Path) -> None:
    target = Target(short_path)
    with killer(target.control) as by:
        kills = [await target.kill_under_load(f"run_k{number}", by) for number in range(TIMES)]
    assert [kill.kill.killed for kill in kills] == [1] * TIMES
    assert [kill.after for kill in kills] == [0] * TIMES
    assert [kill.open for kill in kills] == [0] * TIMES
    assert all(kill.before for kill in kills)
    assert all({"200", "503"} <= kill.load.statuses.keys() for kill in kills), "the load went on after the kill"
    events = [decode_event(record) for record in target.rig.store.read()]
    await target.close()
    _nothing_done_that_was_decided_after_a_kill(events)


def _nothing_done_that_was_decided_after_a_kill(events: list[LedgerEvent]) -> None:
    """By the ledger alone: what was decided after its run's kill was not done."""
    killed: set[str] = set()
    late: set[str] = set()
    for event in events:
        if isinstance(event, RunKilled):
            killed.add(event.run)
        elif isinstance(event, Decided) and event.run in killed and event.allowed:
            late.add(event.action_id)
        elif isinstance(event, Settled) and event.action_id in late:
            assert event.status == "failed"
    assert len(killed) == TIMES
