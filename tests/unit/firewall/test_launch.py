"""Starting a run is judged by policy and recorded before the run exists."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from safebox.firewall.core.arguments import StartRun
from safebox.firewall.core.decision import Answer, Reason, Verdict
from safebox.firewall.core.record import LaunchDecided, RunStarted
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.errors import ConfigError, LedgerUnavailable, PolicyUnavailable
from safebox.firewall.launch import DAY_NS, Launches
from tests.twins import MANDATE, Rig, run_started

ASKED = StartRun(agent="tester", image="safebox/agent", command=("true",), task="Pay, mail, compute.")


class Pad:
    """Launches over twins; `start` asks for one more run."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.launches = Launches(
            engine=self.rig.engine,
            ledger=self.rig.ledger,
            runs=self.rig.runs,
            clock=self.rig.clock,
            metrics=self.rig.metrics,
        )

    def next(self, run: str = "run_2", *, later_ns: int = 0) -> RunStarted:
        return run_started(run, MANDATE, self.rig.clock.now_ns() + later_ns)

    async def start(self, run: str = "run_2", *, later_ns: int = 0) -> None:
        await self.launches.decide(self.next(run, later_ns=later_ns), ASKED)

    @property
    def recorded(self) -> list[LaunchDecided]:
        return [event for event in self.rig.store.events if isinstance(event, LaunchDecided)]

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(document) for document in self.rig.engine.asked]


async def test_a_yes_is_durable_and_says_what_policy_saw() -> None:
    pad = Pad()
    await pad.start()
    (event,), (document,) = pad.recorded, pad.asked
    assert (event.run, event.answer.verdict, event.bundle) == ("run_2", Verdict.ALLOW, "sha256:test")
    parts = {"action": event.action, "run": event.run_view, "mandate": event.mandate, "facts": event.facts}
    assert {name: msgspec.json.decode(part) for name, part in parts.items()} == document
    assert document["action"]["args"] == {
        "agent": "tester", "image": "safebox/agent", "command": ["true"], "task": "Pay, mail, compute.",
    }  # fmt: skip
    assert (document["action"]["tool"], document["action"]["caller"]) == ("run.start", "owner")
    assert "run_2" not in pad.rig.ledger.books.runs, "to be let start is not to have started"


@pytest.mark.parametrize("verdict", [Verdict.DENY, Verdict.HOLD])
async def test_anything_but_a_yes_is_recorded_and_ends_it(verdict: Verdict) -> None:
    pad = Pad()
    pad.rig.engine.answer = Answer(verdict, (Reason("launch.too_long", "The mandate lasts too long."),), {})
    with pytest.raises(ConfigError) as caught:
        await pad.start()
    (event,) = pad.recorded
    assert event.answer.verdict is Verdict.DENY
    assert caught.value.code == event.answer.reasons[0].code
    assert event.decision in caught.value.remedy
    assert pad.rig.metric("safebox_decisions_total", verdict="deny", tool="run.start", code=caught.value.code) == 1


async def test_no_answer_starts_nothing() -> None:
    pad = Pad()
    pad.rig.engine.answer = PolicyUnavailable("no policy is in force", kind="missing")
    with pytest.raises(PolicyUnavailable):
        await pad.start()
    assert not pad.recorded


async def test_a_yes_that_cannot_be_written_starts_nothing() -> None:
    pad = Pad()
    pad.rig.store.broken = True
    with pytest.raises(LedgerUnavailable):
        await pad.start()


async def test_live_runs_and_the_agents_starts_of_a_day_are_counted() -> None:
    pad = Pad()
    await pad.start()
    await pad.rig.ledger.start(pad.next("run_2"))
    await pad.start("run_3")
    await pad.start("run_4", later_ns=DAY_NS)
    assert [document["facts"]["launch"] for document in pad.asked] == [
        {"live": 1, "agent_in_a_day": 1},
        {"live": 1, "agent_in_a_day": 2},
        {"live": 1, "agent_in_a_day": 0},
    ]


async def test_the_pack_lets_an_ordinary_run_start() -> None:
    pad = Pad()
    await pad.start()
    engine = EmbeddedEngine(load_bundle([pack_folder()]))
    assert engine.answer(pad.rig.engine.asked[0]).verdict is Verdict.ALLOW
