"""A rule in monitor mode is recorded, counted and shown to people; the agent is told nothing and pays for nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safebox.firewall.core.action import Call
from safebox.firewall.core.decision import Answer, Reason, Verdict
from safebox.firewall.core.record import Decided, encode_event
from safebox.firewall.core.reply import Status
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.sandbox.cli.event_lines import plain_line, terminal_lines
from tests.twins import PAYEE, Rig
from tests.unit.policy import cases

SAID = [{"code": "site.slow_down", "message": "Said by a test."}]
HELD = {"hold": {"group": "owners", "approvals": 1, "expires_s": 60}}


def pay(amount: str = "1 ETH") -> Call:
    return Call(run="run_1", tool="wallet.transfer", arguments={"to": PAYEE, "amount": amount})


def answers(rig: Rig, verdict: Verdict, *reasons: Reason, **obligations: Any) -> None:
    rig.engine.answer = Answer(verdict, reasons, {"monitored": SAID, **obligations})


async def test_it_is_done_and_recorded_and_counted_and_the_agent_does_not_know() -> None:
    rig = Rig()
    answers(rig, Verdict.ALLOW)
    reply = await rig.pipeline.handle(pay())
    assert (reply.status, reply.reasons, rig.effects) == (Status.DONE, (), 1)
    (decided,) = (event for event in rig.store.events if isinstance(event, Decided))
    assert decided.answer.monitored == (Reason(**SAID[0]),)
    assert rig.metric("safebox_policy_monitored_total", code="site.slow_down") == 1
    assert rig.metric("safebox_decisions_total", verdict="allow", tool="wallet.transfer", code="") == 1


async def test_it_counts_as_no_denial_of_the_run() -> None:
    rig = Rig()
    answers(rig, Verdict.ALLOW)
    for _ in range(7):
        await rig.pipeline.handle(pay())
    assert rig.run.book.denied.count(rig.clock.now_ns()) == 0


async def test_beside_a_hold_the_hold_is_one_people_can_approve() -> None:
    rig = Rig()
    answers(rig, Verdict.HOLD, Reason("site.ask", "Ask."), **HELD)
    assert (await rig.pipeline.handle(pay())).status is Status.HELD
    (hold,) = rig.run.book.holds.open.values()
    assert hold.terms.group == "owners"


async def test_what_the_firewall_refuses_itself_keeps_it() -> None:
    rig = Rig()
    answers(rig, Verdict.ALLOW)
    reply = await rig.pipeline.handle(pay("8 ETH"))
    assert (reply.status, reply.code) == (Status.DENIED, "budget.exceeded")
    (decided,) = (event for event in rig.store.events if isinstance(event, Decided))
    assert decided.answer.monitored == (Reason(**SAID[0]),)
    assert rig.metric("safebox_policy_monitored_total", code="site.slow_down") == 1


async def test_people_see_it_in_the_line_of_the_action() -> None:
    rig = Rig()
    answers(rig, Verdict.ALLOW)
    await rig.pipeline.handle(pay())
    (decided,) = (event for event in rig.store.events if isinstance(event, Decided))
    event = json.loads(encode_event(decided))
    assert "(only monitored: site.slow_down)" in plain_line(event, with_run=False)
    assert "only monitored" in terminal_lines(event, width=200)


@pytest.mark.parametrize("code", ["main.expired", "main.caller", "transfer.frozen"])
def test_no_data_makes_the_ground_rules_merely_monitored(code: str) -> None:
    pack = load_bundle([pack_folder()])
    data = json.loads(pack.data)
    data["data"]["modes"] = {"codes": {code: "monitor", "main.": "monitor", "main": "monitor"}}
    engine = EmbeddedEngine(cases.bundle_of(json.dumps(data), *pack.modules))
    good = cases.good()["wallet.transfer"]
    for path, wrong in (("facts.expired", True), ("action.caller", "owner"), ("facts.frozen", True)):
        answer = engine.answer(cases.encode(cases.changed(good, path, wrong)))
        assert (answer.verdict, answer.monitored) == (Verdict.DENY, ())
