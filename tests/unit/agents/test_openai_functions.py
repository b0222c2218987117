"""The OpenAI helper, with the real SDK against a double that plays both model and gateway."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

import pytest
from openai import OpenAI, PermissionDeniedError
from openai.types.chat import ChatCompletionMessageCustomToolCall, ChatCompletionMessageFunctionToolCall
from openai.types.chat.chat_completion_message_custom_tool_call import Custom
from openai.types.chat.chat_completion_message_function_tool_call import Function

from safebox.agents import Client
from safebox.agents.functions import LocalFunction
from safebox.agents.openai import Conversation, FunctionTools, run_conversation
from tests.unit.agents.gateway_double import Call, GatewayDouble, Reply, error, gateway, ok

CHAT = "/v1/chat/completions"


def completion(message: dict[str, object]) -> Reply:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    return Reply(200, {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})


def wants(name: str, arguments: str, call_id: str = "call_0_0") -> dict[str, object]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@contextmanager
def model_and_gateway(turns: list[Reply], answers: list[Reply]) -> Generator[GatewayDouble]:
    def script(call: Call) -> Reply:
        return turns.pop(0) if call.path == CHAT else answers.pop(0)

    with gateway(script) as server:
        yield server


def converse(server: GatewayDouble, *, max_turns: int = 5) -> Conversation:
    with OpenAI(base_url=f"{server.url}/v1", api_key="placeholder", max_retries=0) as openai:
        tools = FunctionTools(Client(server.url, attempts=1))
        return run_conversation(openai, "m", [{"role": "user", "content": "Go."}], tools, max_turns=max_turns)


def test_the_model_calls_tools_until_it_only_talks() -> None:
    turns = [
        completion(
            {
                "content": "",
                "tool_calls": [wants("email__list", ""), wants("wallet__balance", "{}", "call_0_1")],
            }
        ),
        completion({"content": "Done."}),
    ]
    with model_and_gateway(turns, [ok({"messages": []}), error(403, "main.no_rule_allows")]) as server:
        talk = converse(server)
    assert (talk.text, talk.finished) == ("Done.", True)
    assert [message["role"] for message in talk.messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]
    assert [call.tool for call in server.calls if call.key and call.path != CHAT] == [
        "email.list",
        "wallet.balance",
    ]
    second = next(call.arguments for call in reversed(server.calls) if call.path == CHAT)
    answers = cast("list[dict[str, str]]", second["messages"])[-2:]
    assert [answer["tool_call_id"] for answer in answers] == ["call_0_0", "call_0_1"]
    assert json.loads(answers[1]["content"])["code"] == "main.no_rule_allows"


def test_every_inference_says_how_many_tokens_it_wants_at_most() -> None:
    with model_and_gateway([completion({"content": "Hi."})], []) as server:
        converse(server)
    request = server.calls[-1].arguments
    assert isinstance(request["max_completion_tokens"], int)
    offered = cast("list[dict[str, dict[str, object]]]", request["tools"])
    assert "wallet__transfer" in [tool["function"]["name"] for tool in offered]


def test_a_conversation_ends_at_its_turn_limit() -> None:
    turns = [completion({"content": "Again.", "tool_calls": [wants("email__list", "{}")]}) for _ in range(9)]
    with model_and_gateway(turns, [ok({})] * 9) as server:
        talk = converse(server, max_turns=3)
    assert not talk.finished
    assert len([call for call in server.calls if call.path == CHAT]) == 3


def test_an_upstream_that_answers_nothing_ends_the_conversation() -> None:
    nothing = Reply(200, {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": []})
    with model_and_gateway([nothing], []) as server:
        talk = converse(server)
    assert not talk.finished


def test_a_denied_inference_is_the_sdk_s_own_exception() -> None:
    with (
        model_and_gateway([error(403, "inference.over_budget")], []) as server,
        pytest.raises(PermissionDeniedError) as caught,
    ):
        converse(server)
    assert caught.value.code == "inference.over_budget"


def test_what_the_model_got_wrong_is_answered_and_not_raised() -> None:
    with gateway() as server:
        tools = FunctionTools(Client(server.url, attempts=1))
        broken = ChatCompletionMessageFunctionToolCall(
            id="a", type="function", function=Function(name="email__send", arguments="{broken")
        )
        custom = ChatCompletionMessageCustomToolCall(id="b", type="custom", custom=Custom(name="x", input="y"))
        messages = [tools.dispatch(broken), tools.dispatch(custom)]
    assert [message["tool_call_id"] for message in messages] == ["a", "b"]
    assert all("client.bad_arguments" in str(message["content"]) for message in messages)


def test_functions_of_the_agent_s_own_are_offered_beside_the_tools() -> None:
    local = LocalFunction("read_notes", "Read the notes.", {"type": "object"}, lambda _: {"notes": "n"})
    with gateway() as server:
        tools = FunctionTools(Client(server.url), local=[local])
        call = ChatCompletionMessageFunctionToolCall(
            id="a", type="function", function=Function(name="read_notes", arguments="{}")
        )
        assert tools.dispatch(call)["content"] == '{"notes":"n"}'
    assert {"read_notes", "email__send"} <= {
        tool["function"]["name"] for tool in tools.definitions if tool["type"] == "function"
    }


def test_a_local_function_can_t_take_a_tool_s_name() -> None:
    local = LocalFunction("email.send", "", {}, lambda _: None)
    with gateway() as server, pytest.raises(ValueError, match="email__send"):
        FunctionTools(Client(server.url), local=[local])
