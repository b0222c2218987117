"""What people order is told: in the answer, in the feed, in the numbers."""

from __future__ import annotations

from typing import Any

import pytest

from safebox.firewall.core.record import RunKilled, RunPaused
from safebox.firewall.metrics import Metrics
from safebox.firewall.runs import Run
from safebox.firewall.standing import OVER, STATES
from safebox.firewall.stops import DONE, Stops
from safebox.sandbox.cli.event_lines import plain_line
from tests.adversarial.test_nothing_starts_after_a_stop import child_of
from tests.twins import Rig


def desk(rig: Rig) -> Stops:
    return Stops(rig.ledger, rig.runs, rig.clock)


async def test_runs_are_counted_by_their_state_and_each_once() -> None:
    rig = Rig()
    runs = [rig.run, *[await child_of(rig, "run_1", f"run_{number}") for number in range(2, 7)]]
    orders = [("freeze", "run_3"), ("pause", "run_3"), ("freeze", "run_4"), ("pause", "run_5"), ("kill", "run_5")]
    for order, run in orders:
        await desk(rig).carry_out(order, {"run": run, "by": "anna"})
    runs[5].stopped = OVER
    assert desk(rig).counts() == {"live": 2, "paused": 1, "frozen": 1, "killed": 1, OVER: 1}
    metrics = Metrics()
    for state in STATES:
        assert metrics.registry.get_sample_value("safebox_runs", {"state": state}) == 0, "counted from the start"


@pytest.mark.parametrize("order", DONE)
async def test_the_answer_names_the_runs_that_were_reached(order: str) -> None:
    rig = Rig()
    before = {"resume": "pause", "thaw": "freeze"}.get(order)
    if before is not None:
        await desk(rig).carry_out(before, {"run": None})
    assert await desk(rig).carry_out(order, {"run": None}) == {DONE[order]: ["run_1"]}


@pytest.mark.parametrize("order", ["resume", "thaw"])
async def test_what_was_not_stopped_is_not_said_to_go_on(order: str) -> None:
    assert await desk(Rig()).carry_out(order, {"run": None}) == {DONE[order]: []}


async def test_who_watches_sees_each_order_once_with_who_gave_it() -> None:
    rig, seen = Rig(), list[dict[str, Any]]()
    rig.runs.watch(seen.append)
    for order in ("pause", "resume", "freeze", "thaw", "kill"):
        await desk(rig).carry_out(order, {"run": "run_1", "by": "an\x1bna"})
    assert [event["event"] for event in seen] == [
        "run_paused",
        "sandbox_paused",
        "run_resumed",
        "sandbox_resumed",
        "wallet_frozen",
        "wallet_thawed",
        "stop",
    ]
    lines = [plain_line(event, with_run=True) for event in seen]
    assert [line.split(" ", 2)[2] for line in lines] == [
        "pause run by an\\u001bna",
        "pause sandbox its programs stand still",
        "resume run by an\\u001bna",
        "resume sandbox its programs go on",
        "freeze wallet by an\\u001bna",
        "thaw wallet by an\\u001bna",
        "stop run killed",
    ]


def told(seen: list[dict[str, Any]], event: str) -> list[str]:
    return [each["run"] for each in seen if each["event"] == event]


async def test_a_pause_reaches_the_sandboxes_of_all_that_descends_and_each_goes_on_when_nothing_holds_it() -> None:
    rig, seen = Rig(), list[dict[str, Any]]()
    await child_of(rig, "run_1", "run_2")
    await child_of(rig, "run_2", "run_3")
    rig.runs.watch(seen.append)
    await desk(rig).carry_out("pause", {"run": "run_2"})
    assert told(seen, "sandbox_paused") == ["run_2", "run_3"]
    await desk(rig).carry_out("pause", {"run": "run_1"})
    assert told(seen, "sandbox_paused") == ["run_2", "run_3", "run_1"]
    await desk(rig).carry_out("resume", {"run": "run_1"})
    assert told(seen, "sandbox_resumed") == ["run_1"], "the others are paused by themselves"
    await desk(rig).carry_out("resume", {"run": "run_2"})
    assert told(seen, "sandbox_resumed") == ["run_1", "run_2", "run_3"]


@pytest.mark.parametrize(("kind", "event"), [(RunPaused, "sandbox_paused"), (RunKilled, "stop")])
async def test_what_another_firewall_ordered_reaches_the_sandboxes_once(kind: Any, event: str) -> None:
    rig, seen = Rig(), list[dict[str, Any]]()
    await child_of(rig, "run_1", "run_2")
    rig.runs.watch(seen.append)
    rig.ledger.books.apply(kind(at_ns=rig.clock.now_ns(), run="run_1", by="anna"))
    for _ in range(2):
        rig.runs.tell_standing()
    assert told(seen, event) == ["run_1", "run_2"]


async def test_a_run_says_why_it_may_not_act() -> None:
    rig = Rig()
    child = await child_of(rig, "run_1", "run_2")
    assert (rig.run.why, child.why) == (None, None)
    await desk(rig).carry_out("kill", {"run": "run_1", "by": "anna"})
    assert rig.run.why == "killed by anna"
    assert child.why == "stopped with a run it descends from, killed by anna"
    assert isinstance(child, Run)
