"""Names and texts that models see."""

from __future__ import annotations

import json
from typing import cast

import pytest

from safebox.agents import Client, Tool
from safebox.agents.functions import (
    Arguments,
    LocalFunction,
    answer_function,
    function_name,
    tools_by_function,
)
from tests.unit.agents.gateway_double import GatewayDouble, error, gateway, ok

SEND = Tool("email.send", "Send one mail.", {"type": "object"})


def ask(server: GatewayDouble, name: str, arguments: str, *local: LocalFunction) -> dict[str, object]:
    client = Client(server.url, attempts=1)
    answer = answer_function(client, tools_by_function([SEND]), {item.name: item for item in local}, name, arguments)
    document = cast("dict[str, object]", json.loads(answer.text))
    return {**document, "ok": answer.ok}


def test_dots_become_double_underscores() -> None:
    assert function_name("email.send") == "email__send"
    assert tools_by_function([SEND]) == {"email__send": SEND}


def test_two_tools_that_would_look_the_same_are_refused() -> None:
    with pytest.raises(ValueError, match="email__send"):
        tools_by_function([SEND, Tool("email__send", "", {})])


def test_a_result_is_plain_json_for_the_model() -> None:
    with gateway([ok({"name": "ü"})]) as server:
        assert ask(server, "email__send", '{"to": []}') == {"name": "ü", "ok": True}
    assert server.calls[0].tool == "email.send"


def test_a_denial_tells_the_model_the_code_and_what_to_do() -> None:
    with gateway([error(403, "email.recipient_not_listed", "Not listed.", decision_id="d-4")]) as server:
        document = ask(server, "email__send", "{}")
    assert document["verdict"] == "denied"
    assert document["code"] == "email.recipient_not_listed"
    assert document["decision_id"] == "d-4"
    assert "Do not repeat" in str(document["advice"])
    assert not document["ok"]


@pytest.mark.parametrize("arguments", ["{broken", "[]", "7", "null", "[" * 100_000])
def test_arguments_a_model_got_wrong_come_back_as_text_and_are_not_sent(arguments: str) -> None:
    with gateway([ok({})]) as server:
        document = ask(server, "email__send", arguments)
    assert document["code"] == "client.bad_arguments"
    assert server.calls == []


def test_no_arguments_at_all_are_an_empty_object() -> None:
    with gateway([ok({})]) as server:
        assert ask(server, "email__send", "")["ok"]
    assert server.calls[0].arguments == {}


@pytest.mark.parametrize("name", ["email.send", "email__Send", "made_up"])
def test_a_tool_a_model_made_up_is_named_as_unknown_and_not_sent(name: str) -> None:
    with gateway([ok({})]) as server:
        document = ask(server, name, "{}")
    assert document["code"] == "request.unknown_tool"
    assert "email__send" in str(document["message"])
    assert server.calls == []


def test_a_local_function_never_reaches_the_firewall() -> None:
    def add(arguments: Arguments) -> object:
        return {"sum": arguments["a"]}

    with gateway([ok({})]) as server:
        document = ask(server, "add", '{"a": 2}', LocalFunction("add", "", {}, add))
    assert document == {"sum": 2, "ok": True}
    assert server.calls == []
