"""The scripted model as unmodified OpenAI clients see it; it runs in a process of its own."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from safebox.firewall.standins.child import StandIn, StandInError

DEFAULT = """
[[step]]
say = "I will look for it."
call = [ { tool = "email_list", arguments = { n = 1 } }, { tool = "wallet_balance" } ]

[[step]]
say = "Done: {{results.1.json.balance}}"
"""
BROKEN = '[[step]]\nsay = "a long enough text to be cut while it is streamed"\nbreak_after = 2\n'
BUSY = '[[step]]\nerror = { status = 503, message = "overloaded" }\n'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[StandIn]:
    (tmp_path / "default.toml").write_text(DEFAULT)
    (tmp_path / "broken.toml").write_text(BROKEN)
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "playbook.toml").write_text(BUSY)
    async with await StandIn.start("model", "--playbooks", tmp_path) as child:
        yield child


def _client(server: StandIn) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0)


async def test_the_openai_client_gets_tool_calls_and_then_the_end(server: StandIn) -> None:
    messages: list[Any] = [{"role": "user", "content": "go"}]
    async with _client(server) as client:
        first = await client.chat.completions.create(model="scripted", messages=messages)
        choice = first.choices[0]
        assert choice.finish_reason == "tool_calls"
        assert first.model == "scripted (playbook, not an LLM)"
        assert first.system_fingerprint == "not-an-llm"
        messages.append(choice.message.model_dump())
        for call, result in zip(choice.message.tool_calls or [], ("{}", '{"balance":"12"}'), strict=True):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        second = await client.chat.completions.create(model="scripted", messages=messages)
    assert second.choices[0].message.content == "Done: 12"
    assert second.choices[0].finish_reason == "stop"
    assert second.usage is not None
    assert second.usage.completion_tokens == 2


async def test_the_stream_adds_up_to_the_same_answer_with_usage(server: StandIn) -> None:
    text, arguments, usage = "", {0: "", 1: ""}, None
    messages: list[Any] = [{"role": "user", "content": "go"}]
    async with _client(server) as client:
        whole = await client.chat.completions.create(model="scripted", messages=messages)
        stream = await client.chat.completions.create(
            model="scripted", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                for call in choice.delta.tool_calls or []:
                    arguments[call.index] += (call.function and call.function.arguments) or ""
    assert text == whole.choices[0].message.content
    assert arguments == {0: '{"n":1}', 1: "{}"}
    assert usage == whole.usage


async def test_the_langchain_model_class_works_unmodified(server: StandIn) -> None:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="scripted", base_url=server.url, api_key=lambda: "none", max_retries=0)
    answer = await model.ainvoke("go")
    await model.root_async_client.close()
    assert [call["name"] for call in answer.tool_calls] == ["email_list", "wallet_balance"]


async def test_the_system_prompt_chooses_the_playbook_and_errors_are_http_errors(server: StandIn) -> None:
    messages: list[Any] = [{"role": "system", "content": "Be good. [playbook: agent]"}]
    async with _client(server) as client:
        with pytest.raises(openai.InternalServerError, match="overloaded"):
            await client.chat.completions.create(model="scripted", messages=messages)
        with pytest.raises(openai.NotFoundError, match="agent, broken, default"):
            await client.chat.completions.create(model="scripted:other", messages=messages)
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="scripted:../secret", messages=messages)
        with pytest.raises(openai.NotFoundError, match="no LLM"):
            await client.chat.completions.create(model="gpt-5", messages=messages)
        assert [model.id async for model in client.models.list()][:2] == ["scripted", "scripted:agent"]


async def test_a_playbook_can_break_the_stream(server: StandIn) -> None:
    body = {"model": "scripted:broken", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    async with aiohttp.ClientSession() as session:
        answer = await session.post(f"{server.url}/chat/completions", json=body)
        assert answer.headers["X-Safebox-Standin"] == "model (scripted playbook, not an LLM)"
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_stand_in_that_can_not_start_says_so() -> None:
    with pytest.raises(StandInError):
        await StandIn.start("model", "--no-such-option")
