"""The inference connector against the scripted model and against providers that break."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from safebox.firewall.connectors.inference import InferenceConnector
from safebox.firewall.connectors.prices import ModelPrice
from safebox.firewall.errors import CallerError, ConfigError, EffectError
from safebox.firewall.standins.child import StandIn
from tests.unit.connectors.actions import action, run_it, units, view

PRICES = {"scripted": ModelPrice(input=3, output=7), "scripted:cut": ModelPrice(input=3, output=7)}
CUT = '[[step]]\nsay = "a text that is long enough to be cut"\nbreak_after = 3\n'


@pytest.fixture
async def inference(tmp_path: Path) -> AsyncIterator[InferenceConnector]:
    (tmp_path / "default.json").write_bytes(
        msgspec.json.encode({"step": [{"say": "One two three four five.", "call": [{"tool": "t"}]}]})
    )
    (tmp_path / "cut.toml").write_text(CUT)
    async with await StandIn.start("model", "--playbooks", tmp_path) as child:
        connector = InferenceConnector(child.url, PRICES)
        yield connector
        await connector.close()


def _ask(**more: Any) -> Any:
    body = {"model": "scripted", "max_tokens": 100, "messages": [{"role": "user", "content": "hello €"}], **more}
    return action("inference.chat", body)


async def test_an_answer_is_charged_by_its_usage_and_never_above_the_worst_case(inference: InferenceConnector) -> None:
    quote = await inference.quote(_ask(), view())
    _, outcome = await run_it(inference, _ask(), view())
    answer = outcome.result["response"]
    usage = answer["usage"]
    assert answer["choices"][0]["message"]["content"] == "One two three four five."
    assert units(outcome.charges, "TOKEN") == usage["total_tokens"]
    cost = usage["prompt_tokens"] * 3 + usage["completion_tokens"] * 7
    assert units(outcome.charges, "USD") == -(-cost // 1000)
    assert quote.facts["inference"] == {
        "prompt_bytes": units(quote.charges, "TOKEN") - 100,
        "max_tokens": 100,
        "model_known": True,
    }
    for asset in ("TOKEN", "USD"):
        assert units(outcome.charges, asset) <= units(quote.charges, asset)


@pytest.mark.parametrize("asked_for_usage", [False, True])
async def test_a_stream_passes_event_by_event_and_usage_only_if_it_was_asked_for(
    inference: InferenceConnector, *, asked_for_usage: bool
) -> None:
    events: list[Any] = []

    async def deliver(event: bytes) -> None:
        events.append(msgspec.json.decode(event))

    more = {"stream_options": {"include_usage": True}} if asked_for_usage else {}
    _, outcome = await run_it(inference, _ask(stream=True, **more), view(), deliver)
    texts = [event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"]]
    assert "".join(texts) == "One two three four five."
    assert len(events) > 4
    assert [event["usage"] for event in events if event.get("usage")] == (
        [outcome.result["usage"] | {"total_tokens": units(outcome.charges, "TOKEN")}] if asked_for_usage else []
    )
    _, whole = await run_it(inference, _ask(), view())
    assert outcome.charges == whole.charges


async def test_an_agent_that_stops_listening_is_still_charged_exactly(inference: InferenceConnector) -> None:
    async def deliver(event: bytes) -> None:
        raise ConnectionResetError

    _, outcome = await run_it(inference, _ask(stream=True), view(), deliver)
    _, whole = await run_it(inference, _ask(), view())
    assert (outcome.status, outcome.charges) == ("done", whole.charges)


async def test_a_stream_that_breaks_leaves_the_outcome_unknown(inference: InferenceConnector) -> None:
    async def deliver(event: bytes) -> None:
        pass

    with pytest.raises(EffectError) as caught:
        await run_it(inference, _ask(model="scripted:cut", stream=True), view(), deliver)
    assert caught.value.unknown


async def test_the_providers_refusal_is_a_failure_in_its_own_words(inference: InferenceConnector) -> None:
    _, outcome = await run_it(inference, _ask(model="scripted:none"), view())
    assert (outcome.status, outcome.charges) == ("failed", ())
    assert "HTTP 404" in outcome.detail
    assert "no playbook 'none'" in outcome.detail


async def test_a_model_without_a_price_is_not_known(inference: InferenceConnector) -> None:
    quote = await inference.quote(_ask(model="other"), view())
    assert quote.facts["inference"]["model_known"] is False
    assert units(quote.charges, "USD") == 0


@pytest.mark.parametrize(
    "more",
    [
        {"service_tier": "priority"},
        {"web_search_options": {}},
        {"tools": [{"type": "web_search"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}]},
        {"messages": [{"role": "assistant", "audio": {"id": "x"}}]},
    ],
    ids=["tier", "search", "tool", "image", "audio"],
)
async def test_what_max_tokens_does_not_bound_is_refused(inference: InferenceConnector, more: dict[str, Any]) -> None:
    with pytest.raises(CallerError, match="support"):
        await inference.quote(_ask(**more), view())


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def _provider(handler: Handler, key: str | None = None) -> AsyncGenerator[InferenceConnector]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    connector = InferenceConnector(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", PRICES, key=key)
    try:
        yield connector
    finally:
        await connector.close()
        await runner.cleanup()


async def test_the_key_goes_to_the_provider_and_never_into_an_error() -> None:
    seen: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.Response(status=429, text="too many requests with key sk-secret")

    async with _provider(refuse, key="sk-secret") as connector:
        _, outcome = await run_it(connector, _ask(), view())
    assert seen == ["Bearer sk-secret"]
    assert outcome.status == "failed"
    assert "sk-secret" not in outcome.detail
    assert "429" in outcome.detail


async def test_an_answer_without_usage_is_charged_at_worst() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"choices": []})

    async with _provider(answer) as connector:
        quote = await connector.quote(_ask(), view())
        _, outcome = await run_it(connector, _ask(), view())
    assert (outcome.status, outcome.charges) == ("done", quote.charges)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b'{"choices":' + b"[" * 90_000,
        b'{"usage":{"prompt_tokens":-5,"completion_tokens":1}}',
        b'{"usage":{"prompt_tokens":"1"}}',
        b"[]",
    ],
)
async def test_an_answer_that_is_no_completion_is_unknown(body: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async with _provider(answer) as connector:
        with pytest.raises(EffectError) as caught:
            await run_it(connector, _ask(), view())
    assert caught.value.unknown


async def test_a_redirect_is_not_followed() -> None:
    async def answer(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("http://127.0.0.1:9/v1/chat/completions")

    async with _provider(answer) as connector:
        _, outcome = await run_it(connector, _ask(), view())
    assert outcome.status == "failed"


async def test_a_provider_that_can_not_be_reached_was_certainly_not_asked() -> None:
    connector = InferenceConnector("http://127.0.0.1:9/v1", PRICES)
    with pytest.raises(EffectError) as caught:
        await run_it(connector, _ask(), view())
    assert not caught.value.unknown
    assert not await connector.healthy()
    await connector.close()
    with pytest.raises(ConfigError):
        InferenceConnector("host/v1", PRICES)
