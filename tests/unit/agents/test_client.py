"""The client against a real HTTP server that speaks the gateway's wire format."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from safebox.agents import (
    BadRequest,
    Client,
    Denied,
    EffectFailed,
    EffectUnknown,
    Held,
    Limited,
    Reason,
    ToolError,
    Unavailable,
)
from tests.unit.agents.gateway_double import GatewayDouble, Reply, error, gateway, ok

LOST = Reply(connection="reset")


def client_of(
    server: GatewayDouble, *, pauses: list[float] | None = None, attempts: int = 3, timeout: float = 5
) -> Client:
    waited = [] if pauses is None else pauses
    return Client(server.url, attempts=attempts, sleep=waited.append, timeout=timeout)


def test_a_call_sends_the_arguments_and_returns_the_result_with_its_decision() -> None:
    with gateway([ok({"balance": "5"}, "d-7")]) as server:
        answer = client_of(server).call("wallet.balance", {"unused": [1, "ü"]})
    assert answer.result == {"balance": "5"}
    assert answer.decision_id == "d-7"
    call = server.calls[0]
    assert (call.method, call.tool) == ("POST", "wallet.balance")
    assert call.arguments == {"unused": [1, "ü"]}


def test_the_tools_are_listed_with_their_schemas() -> None:
    with gateway() as server:
        tools = {tool.name: tool for tool in client_of(server).tools()}
    assert tools["email.read"].description == "Read one mail."
    assert tools["email.read"].parameters["required"] == ["id"]
    assert server.calls[0].key is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (202, Held),
        (400, BadRequest),
        (403, Denied),
        (404, BadRequest),
        (409, BadRequest),
        (413, BadRequest),
        (429, Limited),
        (500, EffectUnknown),
        (502, EffectFailed),
        (503, Unavailable),
        (504, EffectUnknown),
        (302, EffectUnknown),
        (418, EffectUnknown),
    ],
)
def test_each_status_is_its_own_exception_with_the_code_and_the_decision(status: int, kind: type[ToolError]) -> None:
    reply = error(status, "transfer.payee_not_listed", "Not listed.", retry_after=2.5, decision_id="d-9")
    with gateway([reply] * 3) as server, pytest.raises(ToolError) as caught:
        client_of(server).call("wallet.transfer", {})
    raised = caught.value
    assert type(raised) is kind
    assert raised.code == "transfer.payee_not_listed"
    assert raised.message == "Not listed."
    assert raised.reasons == (Reason("transfer.payee_not_listed", "Not listed."),)
    assert raised.decision_id == "d-9"
    assert raised.retry_after == 2.5
    assert raised.idempotency_key == server.calls[0].key
    assert raised.document()["verdict"] == kind.verdict


@pytest.mark.parametrize("status", [202, 400, 403, 404, 409, 413, 502, 504])
def test_a_decided_call_is_never_sent_twice(status: int) -> None:
    with gateway([error(status, "a.b")] * 3) as server, pytest.raises(ToolError):
        client_of(server).call("wallet.transfer", {})
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    "first",
    [error(429, "rate.email_per_hour"), error(503, "firewall.overloaded"), LOST, Reply(connection="closed")],
)
def test_a_call_is_sent_again_under_the_same_key_until_it_is_decided(first: Reply) -> None:
    pauses: list[float] = []
    with gateway([first, first, ok({"done": True})]) as server:
        answer = client_of(server, pauses=pauses).call("email.send", {"to": ["a@b.example"]})
    assert answer.result == {"done": True}
    assert len({call.key for call in server.calls}) == 1
    assert len({call.body for call in server.calls}) == 1
    assert len(server.calls) == 3
    assert pauses[0] < pauses[1]


def test_every_call_has_a_key_of_its_own() -> None:
    with gateway([ok({}), ok({})]) as server:
        client = client_of(server)
        client.call("wallet.balance")
        client.call("wallet.balance")
    keys = [call.key for call in server.calls]
    assert all(keys)
    assert len(set(keys)) == 2


def test_a_caller_can_ask_again_for_an_earlier_call() -> None:
    with gateway([error(202, "main.hold"), ok({})]) as server:
        client = client_of(server)
        with pytest.raises(Held) as held:
            client.call("email.send")
        client.call("email.send", idempotency_key=held.value.idempotency_key)
    assert server.calls[0].key == server.calls[1].key


def test_a_caller_can_look_what_became_of_a_held_call() -> None:
    with gateway([error(202, "main.hold", decision_id="d-9"), error(202, "main.hold"), ok({"paid": True})]) as server:
        client = client_of(server)
        with pytest.raises(Held) as held:
            client.call("wallet.transfer")
        with pytest.raises(Held):
            client.decision(str(held.value.decision_id))
        assert client.decision("d-9/../x").result == {"paid": True}
    assert [call.path for call in server.calls[1:]] == ["/v1/decisions/d-9", "/v1/decisions/d-9%2F..%2Fx"]
    assert [call.key for call in server.calls[1:]] == [None, None]


def test_it_waits_as_long_as_the_gateway_says() -> None:
    pauses: list[float] = []
    replies = [error(429, "a.b", retry_after=3), error(429, "a.b", header="4"), ok({})]
    with gateway(replies) as server:
        client_of(server, pauses=pauses).call("email.send")
    assert pauses == [3.0, 4.0]


def test_told_to_wait_long_it_leaves_the_waiting_to_the_caller() -> None:
    pauses: list[float] = []
    with (
        gateway([error(429, "rate.email_per_hour", retry_after=1800)]) as server,
        pytest.raises(Limited) as caught,
    ):
        client_of(server, pauses=pauses).call("email.send")
    assert caught.value.retry_after == 1800
    assert pauses == []


@pytest.mark.parametrize("header", ["-1", "soon", "٣", "1e9", "nan"])
def test_a_strange_retry_after_is_no_number(header: str) -> None:
    reply = Reply(
        403,
        {"error": {"code": "a.b", "retry_after": None}},
        {"Retry-After": header.encode().decode("latin-1")},
    )
    with gateway([reply]) as server, pytest.raises(Denied) as caught:
        client_of(server).call("email.send")
    assert caught.value.retry_after is None


def test_a_gateway_that_is_never_reached_means_nothing_was_done() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refuses
        client = Client(f"http://127.0.0.1:{unused.getsockname()[1]}", attempts=2, sleep=lambda _: None)
        with pytest.raises(Unavailable) as caught:
            client.call("wallet.transfer")
    assert caught.value.code == "client.unreachable"


def test_a_lost_answer_means_nobody_knows() -> None:
    with gateway([LOST] * 3) as server, pytest.raises(EffectUnknown) as caught:
        client_of(server).call("wallet.transfer")
    assert caught.value.code == "client.answer_lost"
    assert caught.value.idempotency_key == server.calls[0].key


def test_a_lost_answer_followed_by_unavailable_is_not_called_nothing_done() -> None:
    replies = [LOST, error(503, "firewall.ledger_unavailable"), error(503, "firewall.ledger_unavailable")]
    with gateway(replies) as server, pytest.raises(EffectUnknown, match="ledger_unavailable"):
        client_of(server).call("wallet.transfer")


def test_a_lost_answer_followed_by_a_denial_of_the_same_key_is_a_denial() -> None:
    with gateway([LOST, error(403, "a.b")]) as server, pytest.raises(Denied):
        client_of(server).call("wallet.transfer")


def test_after_a_timeout_nothing_is_sent_again() -> None:
    with gateway([Reply(connection="stalled"), ok({})]) as server:
        with pytest.raises(EffectUnknown) as caught:
            client_of(server, timeout=0.1).call("wallet.transfer")
        server.release.set()
    assert caught.value.code == "client.answer_lost"
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
        None,
        [],
        {},
        {"result": {}},
        {"result": [], "decision_id": "d"},
        {"result": {}, "decision_id": 5},
    ],
)
def test_an_allow_in_another_shape_is_no_result(body: object) -> None:
    with gateway([Reply(200, body)]) as server, pytest.raises(EffectUnknown) as caught:
        client_of(server).call("wallet.transfer")
    assert caught.value.code == "client.malformed_answer"


@pytest.mark.parametrize("body", [b"", b"no", None, [], {"error": "x"}, {"error": {"code": 7}}])
def test_a_refusal_in_another_shape_is_still_a_refusal(body: object) -> None:
    with gateway([Reply(403, body)]) as server, pytest.raises(Denied) as caught:
        client_of(server).call("wallet.transfer")
    assert caught.value.code == "client.malformed_answer"


def test_odd_parts_of_a_refusal_are_left_out() -> None:
    body = {"error": {"code": "a.b", "reasons": [7, {"code": "c.d"}], "retry_after": True, "decision_id": []}}
    with gateway([Reply(403, body)]) as server, pytest.raises(Denied) as caught:
        client_of(server).call("wallet.transfer")
    assert caught.value.reasons == (Reason("c.d", ""),)
    assert caught.value.retry_after is None
    assert caught.value.decision_id is None


def test_a_huge_answer_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safebox.agents.client.MAX_ANSWER_BYTES", 10)
    with gateway([ok({"text": "x" * 100})]) as server, pytest.raises(EffectUnknown):
        client_of(server).call("email.read")


def test_a_redirect_is_not_followed() -> None:
    with gateway() as elsewhere:
        moved = Reply(302, {}, {"Location": f"{elsewhere.url}/v1/tools"})
        with gateway([moved]) as server, pytest.raises(EffectUnknown):
            client_of(server).call("wallet.transfer")
    assert elsewhere.calls == []


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with gateway() as proxy, gateway([ok({})]) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        client_of(server).call("wallet.balance")
    assert proxy.calls == []


@pytest.mark.parametrize("arguments", [{"a": float("nan")}, {"a": object()}, {"a": b"bytes"}])
def test_arguments_that_are_not_json_never_leave(arguments: dict[str, object]) -> None:
    with gateway([ok({})]) as server, pytest.raises(BadRequest) as caught:
        client_of(server).call("wallet.transfer", arguments)
    assert caught.value.code == "client.bad_arguments"
    assert server.calls == []


def test_a_strange_tool_name_stays_one_path_segment() -> None:
    with gateway([error(404, "request.unknown_tool")]) as server, pytest.raises(BadRequest):
        client_of(server).call("../x?y#z/ü")
    assert server.calls[0].path == "/v1/tools/..%2Fx%3Fy%23z%2F%C3%BC"


@pytest.mark.parametrize("listing", [[], {"tools": {}}, {"tools": [7]}, {"tools": [{"name": "x"}]}])
def test_a_list_of_tools_in_another_shape_is_refused(listing: object) -> None:
    with gateway(listing=Reply(200, listing)) as server, pytest.raises(Unavailable) as caught:
        client_of(server).tools()
    assert caught.value.code == "client.malformed_answer"


def test_a_refused_list_of_tools_is_an_exception() -> None:
    refused = error(403, "firewall.run_not_live")
    with gateway(listing=refused) as server, pytest.raises(Denied, match="run_not_live"):
        client_of(server).tools()


def test_a_lost_list_of_tools_did_nothing() -> None:
    with gateway(listing=LOST) as server, pytest.raises(Unavailable):
        client_of(server).tools()


@pytest.mark.parametrize("url", ["https://gateway.example", "file:///etc/passwd", "127.0.0.1:8700", "http://"])
def test_only_plain_http_is_a_gateway(url: str) -> None:
    with pytest.raises(ValueError, match="plain http"):
        Client(url)


def test_the_address_comes_from_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFEBOX_URL", "http://127.0.0.1:9999/")
    assert Client().url == "http://127.0.0.1:9999"
    monkeypatch.delenv("SAFEBOX_URL")
    assert Client().url == "http://127.0.0.1:8700"


def test_importing_the_package_loads_no_framework() -> None:
    code = (
        "import sys, safebox.agents, safebox.agents.openai; "
        "print(sorted({'openai', 'langchain', 'langchain_core', 'pydantic', 'web3'} & sys.modules.keys()))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "[]"
