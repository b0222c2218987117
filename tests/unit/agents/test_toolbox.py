"""The typed methods: what they send and what they make of the answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from safebox.agents import Client, EffectUnknown, Toolbox
from safebox.agents.toolbox import Balance, Child, Cost, Job, Mail, MailHeader, Transfer
from tests.unit.agents.gateway_double import GatewayDouble, gateway, ok

HASH = "0x" + "ab" * 32
PRICED: dict[str, object] = {
    "to": "0x2",
    "amount": "5",
    "fee": "21000",
    "total": "21005",
    "balance": "30000",
    "enough": True,
    "reverts": False,
    "revert_reason": None,
}


STRANGE: list[tuple[Callable[[Toolbox], object], dict[str, object]]] = [
    (lambda box: box.list_mail(), {}),
    (lambda box: box.list_mail(), {"messages": ["x"]}),
    (lambda box: box.list_mail(), {"messages": [{"id": 1}]}),
    (lambda box: box.read_mail("1"), {"id": "1"}),
    (
        lambda box: box.transfer("0x", "1 wei"),
        {"transaction_hash": HASH, "block_number": True, "status": "success"},
    ),
    (lambda box: box.balance(), {"address": "0x", "balance": "-1", "balance_text": ""}),
    (lambda box: box.balance(), {"address": "0x", "balance": 5, "balance_text": ""}),
    (lambda box: box.balance(), {"address": "0x", "balance": "9" * 79, "balance_text": ""}),
    *(
        (lambda box: box.quote("0x2", "5 wei"), PRICED | strange)
        for strange in (
            {"amount": None},
            {"balance": None},
            {"total": 5},
            {"fee": "-1"},
            {"enough": "yes"},
            {"reverts": 1},
        )
    ),
    *(
        (lambda box: box.quote("0x2", "5 wei"), {k: PRICED[k] for k in PRICED if k != gone})
        for gone in PRICED
        if gone != "to"
    ),
    (lambda box: box.start_compute("i", [], 1), {}),
    (lambda box: box.spawn("i", [], ""), {"state": "started"}),
    (lambda box: box.children(), {}),
    (lambda box: box.children(), {"children": ["run_2"]}),
    (lambda box: box.children(), {"children": [{"run": "run_2", "agent": "child", "state": 1, "spent": []}]}),
    (lambda box: box.children(), {"children": [{"run": "run_2", "agent": "child", "state": "live"}]}),
]


def toolbox_of(server: GatewayDouble) -> Toolbox:
    return Toolbox(Client(server.url))


def test_a_mail_is_sent_with_its_attachments_encoded() -> None:
    with gateway([ok({}, "d-3")]) as server:
        decision = toolbox_of(server).send_mail(["a@b.example"], "Hi", "Text", attachments={"x.bin": b"\x00\xff"})
    assert decision == "d-3"
    assert server.calls[0].arguments == {
        "to": ["a@b.example"],
        "subject": "Hi",
        "body": "Text",
        "attachments": [{"name": "x.bin", "content_base64": "AP8="}],
    }


def test_a_mail_without_attachments_says_nothing_of_them() -> None:
    with gateway([ok({})]) as server:
        toolbox_of(server).send_mail(["a@b.example"], "Hi", "Text")
    assert "attachments" not in server.calls[0].arguments


def test_the_inbox_is_listed_and_read() -> None:
    line = {"id": "1", "from": "a@b.example", "subject": "S", "date": "today"}
    with gateway([ok({"messages": [line]}), ok({**line, "to": "me", "body": "B"})]) as server:
        toolbox = toolbox_of(server)
        assert toolbox.list_mail() == (MailHeader("1", "a@b.example", "S", "today"),)
        assert toolbox.read_mail("1") == Mail("1", "a@b.example", "me", "S", "today", "B")
    assert server.calls[1].arguments == {"id": "1"}


def test_a_transfer_and_a_balance_are_exact() -> None:
    wei = 2**256 - 1
    with gateway(
        [
            ok({"transaction_hash": HASH, "block_number": 2, "status": "success"}),
            ok({"address": "0x1", "balance": str(wei), "balance_text": "much"}),
        ]
    ) as server:
        toolbox = toolbox_of(server)
        assert toolbox.transfer("0x2", "0.1 ETH") == Transfer(HASH, 2)
        assert toolbox.balance() == Balance("0x1", wei, "much")
    assert server.calls[0].arguments == {"to": "0x2", "amount": "0.1 ETH"}


def test_a_cost_is_exact_and_what_nobody_knows_is_none() -> None:
    refused = PRICED | {"fee": None, "total": None, "enough": None, "reverts": True, "revert_reason": "not here"}
    with gateway([ok(PRICED), ok(refused)]) as server:
        toolbox = toolbox_of(server)
        assert toolbox.quote("0x2", "5 wei") == Cost(5, 21_000, 21_005, 30_000, True, False, None)
        assert toolbox.quote("0x2", "5 wei") == Cost(5, None, None, 30_000, None, True, "not here")
    assert (server.calls[0].tool, server.calls[0].arguments) == ("wallet.quote", {"to": "0x2", "amount": "5 wei"})


def test_compute_is_started_watched_and_stopped() -> None:
    running = {"instance": "i-1", "state": "running", "exit_code": None, "output": ""}
    with gateway([ok({"instance": "i-1"}), ok(running), ok({**running, "exit_code": 3}), ok({})]) as server:
        toolbox = toolbox_of(server)
        assert toolbox.start_compute("img", ["a"], 5, job_input="{}") == "i-1"
        assert toolbox.compute_status("i-1") == Job("i-1", "running", None, "")
        assert toolbox.compute_status("i-1").exit_code == 3
        toolbox.stop_compute("i-1")
    assert server.calls[0].arguments == {"image": "img", "command": ["a"], "minutes": 5, "input": "{}"}


def test_a_child_is_asked_for_with_its_mandate() -> None:
    with gateway([ok({"run": "run_1", "state": "started"}), ok({"run": "run_2", "state": "started"})]) as server:
        toolbox = toolbox_of(server)
        assert toolbox.spawn("img", ["a"], "[agent]") == "run_1"
        assert toolbox.spawn("img", ("a", "b"), "[agent]", child_input="x") == "run_2"
    assert server.calls[0].arguments == {"image": "img", "command": ["a"], "mandate": "[agent]"}
    assert server.calls[1].arguments == {"image": "img", "command": ["a", "b"], "mandate": "[agent]", "input": "x"}


def test_what_became_of_the_children_is_told() -> None:
    told = {"run": "run_2", "agent": "child", "state": "over", "exit_code": 3, "reason": "exited", "spent": ["1 ETH"]}
    live: dict[str, object] = {**told, "run": "run_3", "state": "live", "exit_code": None, "reason": None, "spent": []}
    with gateway([ok({"children": [told, live]})]) as server:
        first, second = toolbox_of(server).children()
    assert first == Child("run_2", "child", "over", 3, "exited", ("1 ETH",))
    assert second == Child("run_3", "child", "live", None, None, ())
    assert (server.calls[0].tool, server.calls[0].arguments) == ("agent.children", {})


@pytest.mark.parametrize(("use", "result"), STRANGE)
def test_an_allowed_call_with_a_strange_answer_may_have_been_done(
    use: Callable[[Toolbox], object], result: dict[str, object]
) -> None:
    with gateway([ok(result, "d-5")]) as server, pytest.raises(EffectUnknown) as caught:
        use(toolbox_of(server))
    assert caught.value.decision_id == "d-5"
