"""A response is in the same commit as the no that ordered it: throttle, freeze, quarantine, the end of the tree."""

from __future__ import annotations

from typing import Any

import pytest

from safebox.firewall.core.action import Call
from safebox.firewall.core.decision import Answer, Reason, Verdict
from safebox.firewall.core.record import Decided, RunKilled, RunPaused, WalletFrozen
from safebox.firewall.core.reply import Status
from safebox.firewall.ledger import Ledger
from safebox.firewall.stops import Stops
from tests.adversarial.test_nothing_acts_without_a_durable_allow import pay
from tests.adversarial.test_nothing_starts_after_a_stop import MAIL, child_of
from tests.twins import Rig

NO = (Reason("test.no", "No."),)
ALLOW = Answer(Verdict.ALLOW, (), {})


def orders(*names: str) -> Answer:
    seconds = {"throttle": {"seconds": 60}}
    return Answer(Verdict.DENY, NO, {"respond": [{"do": do, "code": "test.no", **seconds.get(do, {})} for do in names]})


async def told_no(rig: Rig, *names: str) -> None:
    rig.engine.answer = orders(*names)
    assert (await rig.pipeline.handle(pay())).status is Status.DENIED
    rig.engine.answer = ALLOW


def mail() -> Call:
    return Call(run="run_1", tool="email.send", arguments=MAIL)


async def test_a_frozen_wallet_pays_nothing_until_a_person_thaws_it() -> None:
    rig = Rig()
    await told_no(rig, "freeze")
    assert rig.run.state == "frozen"
    reply = await rig.pipeline.handle(pay())
    assert (reply.status, reply.code) == (Status.FAILED, "firewall.wallet_frozen") or reply.status is not Status.DONE
    assert rig.connectors["chain"].done == []
    assert (await rig.pipeline.handle(mail())).status is Status.DONE
    await Stops(rig.ledger, rig.runs, rig.clock).carry_out("thaw", {"run": "run_1", "by": "anna"})
    assert (await rig.pipeline.handle(pay())).status is Status.DONE


async def test_a_quarantined_run_asks_for_nothing_and_keeps_its_state() -> None:
    rig, heard = Rig(), list[dict[str, Any]]()
    await child_of(rig, "run_1", "run_2")
    rig.runs.watch(heard.append)
    await told_no(rig, "quarantine")
    assert rig.run.state == "paused"
    assert [event["run"] for event in heard if event["event"] == "sandbox_paused"] == ["run_1", "run_2"]
    assert (await rig.pipeline.handle(mail())).code == "firewall.run_paused"
    assert rig.effects == 0
    await Stops(rig.ledger, rig.runs, rig.clock).carry_out("resume", {"run": "run_1", "by": "anna"})
    assert (await rig.pipeline.handle(mail())).status is Status.DONE


async def test_a_killed_tree_is_dead_from_its_root_to_the_last_child_and_the_sandboxes_are_told() -> None:
    rig, heard = Rig(), list[dict[str, Any]]()
    child = await child_of(rig, "run_1", "run_2")
    rig.runs.watch(heard.append)
    rig.engine.answer = orders("kill_tree")
    await rig.pipeline.handle(Call(run="run_2", tool="email.send", arguments=MAIL))
    rig.engine.answer = ALLOW
    assert (rig.run.state, child.state) == ("killed", "killed")
    assert (await rig.pipeline.handle(mail())).code == "firewall.run_not_live"
    assert {event["run"] for event in heard if event.get("event") == "stop"} == {"run_1", "run_2"}
    assert {event.run for event in rig.store.events if isinstance(event, RunKilled)} == {"run_1", "run_2"}


async def test_a_throttled_run_is_shown_as_such_for_as_long_as_was_said() -> None:
    rig = Rig()
    await told_no(rig, "throttle")
    await rig.pipeline.handle(mail())
    assert b'"throttled":true' in rig.engine.asked[-1]
    rig.clock.advance(61)
    await rig.pipeline.handle(mail())
    assert b'"throttled":false' in rig.engine.asked[-1]


@pytest.mark.parametrize(
    ("name", "kind"), [("freeze", WalletFrozen), ("quarantine", RunPaused), ("kill_tree", RunKilled)]
)
async def test_decision_and_response_are_one_commit_and_hold_after_a_restart(name: str, kind: type) -> None:
    rig = Rig()
    before = len(rig.store.records)
    await told_no(rig, name)
    decided, ordered = rig.store.events[before:]
    assert isinstance(decided, Decided)
    assert isinstance(ordered, kind)
    restarted = Rig(store=rig.store, ledger=Ledger(rig.store))
    assert restarted.run.state == rig.run.state != "live"


async def test_an_order_that_can_not_be_recorded_is_in_force_here_all_the_same() -> None:
    rig = Rig()
    rig.store.broken = True
    rig.engine.answer = orders("quarantine")
    await rig.pipeline.handle(mail())
    assert rig.run.state == "paused"


async def test_nothing_is_ordered_by_a_hold_or_an_allow() -> None:
    rig = Rig()
    await told_no(rig)
    rig.engine.answer = ALLOW
    assert (await rig.pipeline.handle(mail())).status is Status.DONE
    assert rig.run.state == "live"
