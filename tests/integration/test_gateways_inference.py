"""The inference gateway as OpenAI's own SDK sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from safebox.firewall.connectors.inference import InferenceConnector
from safebox.firewall.connectors.prices import ModelPrice
from safebox.firewall.core.action import Action, Call
from safebox.firewall.core.arguments import normalise_chat
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.core.tools import Caller
from safebox.firewall.ports import Deliver
from safebox.firewall.standins.child import StandIn
from tests.twin_desk import Served, TwinDesk, done, not_done, serving, view

COMPLETION: dict[str, Any] = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "scripted", "extra": {"kept": 2**70},
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
ASK: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}


def chunk(text: str, *, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return json.dumps(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    ).encode()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(TwinDesk(reply=done(response=COMPLETION))) as server:
        yield server


def sdk(served: Served, *, retries: int = 2) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=served.url("inference") + "/v1", api_key="placeholder", max_retries=retries)


async def chat(client: openai.AsyncOpenAI, **more: Any) -> Any:
    create: Any = client.chat.completions.create
    return await create(**ASK, **more)


async def test_a_completion_comes_back_as_the_provider_wrote_it(served: Served) -> None:
    async with sdk(served) as client:
        answer = await chat(client, temperature=0.5)
    assert answer.choices[0].message.content == "hello"
    assert answer.model_dump()["extra"] == {"kept": 2**70}
    assert answer._request_id == "dec_1"
    (call,) = served.desk.calls
    assert (call.run, call.tool) == ("run_1", "inference.chat")
    assert call.arguments == ASK | {"temperature": 0.5}


async def test_a_stream_is_passed_on_piece_by_piece(served: Served) -> None:
    more = asyncio.Event()

    async def answer(_: Call, deliver: Deliver | None) -> Reply:
        assert deliver is not None
        await deliver(chunk("one "))
        await more.wait()
        await deliver(chunk("two", finish="stop"))
        return done(usage={})

    served.desk.answer = answer
    pieces: list[str] = []
    async with sdk(served) as client:
        async for event in await chat(client, stream=True):
            pieces.append(event.choices[0].delta.content or "")
            more.set()  # the second piece is made only after the first was received
    assert pieces == ["one ", "two"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (Status.DENIED, "inference.model_not_listed", openai.PermissionDeniedError),
        (Status.HELD, "main.hold", openai.PermissionDeniedError),
        (Status.LIMITED, "rate.denials", openai.RateLimitError),
        (Status.INVALID, "request.invalid", openai.BadRequestError),
        (Status.INVALID, "request.idempotency_conflict", openai.ConflictError),
        (Status.FAILED, "firewall.effect_failed", openai.InternalServerError),
        (Status.UNKNOWN, "firewall.effect_unknown", openai.InternalServerError),
    ],
)
async def test_a_refusal_is_raised_with_its_code_and_is_not_asked_again(
    served: Served, status: Status, code: str, kind: type[openai.APIStatusError], stream: bool
) -> None:
    served.desk.reply = not_done(status, code)
    async with sdk(served) as client:
        with pytest.raises(kind) as caught:
            await chat(client, stream=stream)
    assert caught.value.code == code
    body: Any = caught.value.body
    assert body["decision_id"] == "dec_1"
    assert len(served.desk.calls) == 1


async def test_a_firewall_that_cannot_answer_now_is_asked_again(served: Served) -> None:
    answers = iter([not_done(Status.UNAVAILABLE, "firewall.policy_unavailable"), done(response=COMPLETION)])

    async def answer(*_: Any) -> Reply:
        return next(answers)

    served.desk.answer = answer
    async with sdk(served) as client:
        assert (await chat(client)).choices
    assert len(served.desk.calls) == 2


async def test_a_stream_that_breaks_off_is_an_error_not_an_end(served: Served) -> None:
    async def answer(_: Call, deliver: Deliver | None) -> Reply:
        assert deliver is not None
        await deliver(chunk("half"))
        return not_done(Status.UNKNOWN, "firewall.effect_unknown")

    served.desk.answer = answer
    async with sdk(served) as client:
        stream = await chat(client, stream=True)
        with pytest.raises(openai.APIError) as caught:
            async for _ in stream:
                pass
    assert caught.value.code == "firewall.effect_unknown"


async def test_a_line_break_in_a_piece_can_not_forge_an_event(served: Served) -> None:
    async def answer(_: Call, deliver: Deliver | None) -> Reply:
        assert deliver is not None
        await deliver(b'{"a":\n\n"b"}\r\n\r\ndata: [DONE]')
        return done(usage={})

    served.desk.answer = answer
    async with aiohttp.ClientSession() as http:
        url = served.url("inference") + "/v1/chat/completions"
        async with http.post(url, json=ASK | {"stream": True}) as response:
            text = await response.text()
    assert text.split("\n\n") == ['data: {"a":\ndata: \ndata: "b"}\ndata: \ndata: data: [DONE]', "data: [DONE]", ""]


async def test_a_client_that_leaves_loses_the_answer_but_not_the_settlement(served: Served) -> None:
    left, settled = asyncio.Event(), asyncio.Event()

    async def answer(_: Call, deliver: Deliver | None) -> Reply:
        assert deliver is not None
        await deliver(chunk("one"))
        await left.wait()
        for _number in range(100):
            await deliver(chunk("x" * 10_000))
        settled.set()
        return done(usage={})

    served.desk.answer = answer
    async with sdk(served) as client:
        stream = await chat(client, stream=True)
        await stream.__anext__()
        await stream.close()
    left.set()
    async with asyncio.timeout(5):
        await settled.wait()


async def test_a_streamed_answer_asked_for_again_is_a_conflict_not_an_empty_answer(served: Served) -> None:
    served.desk.reply = done(usage={"prompt_tokens": 1, "completion_tokens": 1})
    async with sdk(served) as client:
        with pytest.raises(openai.ConflictError):
            await chat(client, stream=True, extra_headers={"Idempotency-Key": "k"})
        assert [part async for part in await chat(client, stream=True)] == []
    assert [call.key for call in served.desk.calls] == ["k", None]


async def test_only_the_mandates_models_are_there() -> None:
    desk = TwinDesk(views={"run_1": view(), "none": view("none", inference=None)})
    async with serving(desk) as served, sdk(served) as client:
        assert [model.id async for model in client.models.list()] == ["scripted", "scripted:a/b"]
        assert (await client.models.retrieve("scripted:a/b")).id == "scripted:a/b"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("gpt-5")
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="scripted", input="x")
        poor = openai.AsyncOpenAI(base_url=served.url("inference", "none") + "/v1", api_key="x")
        async with poor:
            assert [model.id async for model in poor.models.list()] == []


async def test_the_scripted_model_answers_through_connector_and_gateway(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text('[[step]]\nsay = "a text of some length, in pieces"\nrepeat = true\n')
    async with await StandIn.start("model", "--playbooks", tmp_path) as model:
        connector = InferenceConnector(model.url, {}, default=ModelPrice(1, 1))

        async def answer(call: Call, deliver: Deliver | None) -> Reply:
            action = Action(
                id="act", run=call.run, tool=call.tool, kind="inference", effects=("outward",), caller=Caller.AGENT,
                args=normalise_chat(call.arguments), digest="", key=None, received_ns=0,
            )  # fmt: skip
            plan = (await connector.quote(action, view())).plan
            outcome = await connector.perform(action, view(), plan, deliver)
            return done(**outcome.result)

        async with serving(TwinDesk(answer=answer)) as served, sdk(served) as client:
            whole = await chat(client)
            streamed = await chat(client, stream=True, stream_options={"include_usage": True})
            events = [event async for event in streamed]
        await connector.close()
    text = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
    assert text == whole.choices[0].message.content == "a text of some length, in pieces"
    assert events[-1].usage == whole.usage
