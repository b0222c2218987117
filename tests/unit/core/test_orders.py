"""What policy orders beside a no is read strictly, and is in the books with the decision or not at all."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from safebox.firewall.core.decision import Answer, Reason, Verdict, parse_answer
from safebox.firewall.core.orders import ordered_events, throttled_until
from safebox.firewall.core.record import Decided, RunKilled, RunPaused, WalletFrozen
from safebox.firewall.core.tools import Caller
from safebox.firewall.errors import PolicyUnavailable

REASON = {"code": "test.no", "message": "No."}


def answer(respond: Any, verdict: str = "deny") -> bytes:
    return json.dumps({"verdict": verdict, "reasons": [REASON], "obligations": {"respond": respond}}).encode()


def decided(*orders: dict[str, Any], caller: Caller = Caller.AGENT) -> Decided:
    return Decided(
        at_ns=10**9, decision="dec_1", action_id="act_1", run="run_1", tool="wallet.transfer", kind="transfer",
        caller=caller, key=None, digest="sha256:0", bundle="sha256:0",
        answer=Answer(Verdict.DENY, (Reason("test.no", "No."),), {"respond": list(orders)}),
        charges=(), plan={}, action=msgspec.Raw(b"{}"), facts=msgspec.Raw(b"{}"),
    )  # fmt: skip


def test_every_order_leaves_its_event_and_names_its_code() -> None:
    freeze, pause, kill = ({"do": do, "code": "test.no"} for do in ("freeze", "quarantine", "kill_tree"))
    events = list(ordered_events(decided(freeze, pause, kill), ["run_1", "run_2"]))
    assert [type(event) for event in events] == [WalletFrozen, RunKilled, RunKilled, RunPaused]
    assert [event.run for event in events if isinstance(event, RunKilled)] == ["run_1", "run_2"]
    assert isinstance(events[0], WalletFrozen)
    assert events[0].by == "policy (test.no, dec_1)"


def test_a_throttle_is_said_by_the_decision_itself() -> None:
    event = decided({"do": "throttle", "code": "test.no", "seconds": 60}, {"do": "throttle", "code": "x", "seconds": 9})
    assert list(ordered_events(event, ["run_1"])) == []
    assert throttled_until(event) == 61 * 10**9


def test_one_kind_of_order_is_carried_out_once() -> None:
    events = list(ordered_events(decided({"do": "freeze", "code": "a.b"}, {"do": "freeze", "code": "c.d"}), []))
    assert [event.by for event in events if isinstance(event, WalletFrozen)] == ["policy (a.b, dec_1)"]


def test_the_owner_is_answered_and_not_punished() -> None:
    assert list(ordered_events(decided({"do": "freeze", "code": "a.b"}, caller=Caller.OWNER), [])) == []


@pytest.mark.parametrize(
    "respond",
    [
        [],
        None,
        "freeze",
        ["freeze"],
        [{"do": "shoot", "code": "a.b"}],
        [{"do": "freeze"}],
        [{"do": "freeze", "code": "a.b", "more": 1}],
        [{"do": "freeze", "code": "a.b", "seconds": 5}],
        [{"do": "throttle", "code": "a.b"}],
        [{"do": "throttle", "code": "a.b", "seconds": 0}],
        [{"do": "throttle", "code": "a.b", "seconds": True}],
    ],
)
def test_an_answer_whose_orders_can_not_be_read_is_none(respond: Any) -> None:
    with pytest.raises(PolicyUnavailable):
        parse_answer(answer(respond))


def test_orders_come_only_beside_a_no() -> None:
    order = [{"do": "freeze", "code": "a.b"}]
    assert parse_answer(answer(order)).orders[0].do == "freeze"
    for verdict in ("allow", "hold"):
        with pytest.raises(PolicyUnavailable):
            parse_answer(answer(order, verdict))
