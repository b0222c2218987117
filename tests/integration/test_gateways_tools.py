"""The tools gateway over real sockets, asked by plain HTTP clients and by the agents' own client."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from safebox.agents.client import Client
from safebox.agents.errors import Denied, Held, Limited, Unavailable
from safebox.firewall.core.action import KEY_MAX
from safebox.firewall.core.reply import Status
from safebox.firewall.errors import FirewallError
from safebox.firewall.gateways.server import GatewayServer
from safebox.firewall.metrics import Metrics
from tests.twin_desk import Served, TwinDesk, done, listeners, not_done, raw, serving, view


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(TwinDesk()) as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(http: aiohttp.ClientSession, served: Served, name: str, body: Any = None, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    async with http.post(f"{served.url('tools')}/v1/tools/{name}", data=data, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers


async def test_an_allowed_call_has_its_result_and_its_decision(served: Served, http: aiohttp.ClientSession) -> None:
    served.desk.reply = done(messages=[1, 2**200])
    status, document, _ = await post(http, served, "email.list", {}, **{"Idempotency-Key": "k-1"})
    assert status == 200
    assert document == {"result": {"messages": [1, 2**200]}, "decision_id": "dec_1"}
    (call,) = served.desk.calls
    assert (call.run, call.tool, call.arguments, call.key) == ("run_1", "email.list", {}, "k-1")
    assert served.requests("tools", 200) == 1


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (Status.DENIED, "email.recipient_not_listed", 403),
        (Status.HELD, "main.hold", 202),
        (Status.LIMITED, "rate.email_per_hour", 429),
        (Status.INVALID, "request.invalid", 400),
        (Status.INVALID, "request.unknown_tool", 404),
        (Status.INVALID, "request.idempotency_conflict", 409),
        (Status.INVALID, "request.too_large", 413),
        (Status.FAILED, "firewall.effect_failed", 502),
        (Status.UNKNOWN, "firewall.effect_unknown", 504),
        (Status.UNAVAILABLE, "firewall.policy_unavailable", 503),
    ],
)
async def test_every_way_a_call_ends_has_its_http_status_and_one_shape(
    served: Served, http: aiohttp.ClientSession, status: Status, code: str, expected: int
) -> None:
    served.desk.reply = not_done(status, code, retry_after_s=7 if status is Status.LIMITED else None)
    found, document, headers = await post(http, served, "email.send")
    assert found == expected
    wait = {Status.LIMITED: 7, Status.UNAVAILABLE: 1}.get(status)
    assert document == {
        "error": {
            "code": code,
            "message": "the reason",
            "reasons": [{"code": code, "message": "the reason"}],
            "decision_id": "dec_1",
            "retry_after": wait,
        }
    }
    assert headers.get("Retry-After") == (None if wait is None else str(wait))


async def test_what_became_of_a_held_call_can_be_read(served: Served, http: aiohttp.ClientSession) -> None:
    served.desk.held = {"dec_1": not_done(Status.HELD, "main.hold", retry_after_s=5), "dec_2": done(paid=True)}
    expected = {"dec_1": (202, "main.hold"), "dec_2": (200, None), "dec_3": (404, "request.unknown_decision")}
    for decision, (status, code) in expected.items():
        async with http.get(f"{served.url('tools')}/v1/decisions/{decision}") as answer:
            document = await answer.json()
            assert (answer.status, document.get("error", {}).get("code")) == (status, code)
            assert answer.headers.get("Retry-After") == ("5" if status == 202 else None)
    async with http.post(f"{served.url('tools')}/v1/decisions/dec_1", data=b"{}") as answer:
        assert answer.status == 405
    assert served.desk.calls == []


async def test_only_tools_the_mandate_has_a_section_for_are_listed() -> None:
    desk = TwinDesk(views={"all": view("all"), "poor": view("poor", mail=None, wallet=None, inference=None)})
    async with serving(desk) as served:
        everything = await asyncio.to_thread(Client(served.url("tools", "all")).tools)
        few = await asyncio.to_thread(Client(served.url("tools", "poor")).tools)
    assert [tool.name for tool in everything] == [
        "email.send", "email.list", "email.read", "wallet.transfer", "wallet.balance", "wallet.quote",
        "compute.start", "compute.status", "compute.stop",
    ]  # fmt: skip
    assert [tool.name for tool in few] == ["compute.start", "compute.status", "compute.stop"]
    send = everything[0]
    assert send.parameters["required"] == ["to", "subject", "body"]
    assert "$ref" not in json.dumps(send.parameters)


async def test_the_agents_client_raises_what_the_gateway_says(served: Served) -> None:
    client = Client(served.url("tools"), attempts=1)
    for status, kind in (
        (Status.DENIED, Denied),
        (Status.HELD, Held),
        (Status.LIMITED, Limited),
        (Status.UNAVAILABLE, Unavailable),
    ):
        served.desk.reply = not_done(status, "a.code", retry_after_s=3 if status is Status.LIMITED else None)
        with pytest.raises(kind) as caught:
            await asyncio.to_thread(client.call, "email.send", {})
        assert caught.value.decision_id == "dec_1"
        assert caught.value.code == "a.code"


async def test_python_without_any_library_can_call_a_tool(served: Served) -> None:
    def ask() -> bytes:
        request = urllib.request.Request(f"{served.url('tools')}/v1/tools/email.list", data=b"{}")  # noqa: S310
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return bytes(answer.read())

    assert json.loads(await asyncio.to_thread(ask))["decision_id"] == "dec_1"


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a":1,"a":2}', b'{"a":1.5}', b'{"a":NaN}', b'"\xff"', b"[" * 40 + b"]" * 40]
)
async def test_a_body_with_no_or_two_meanings_is_refused_before_it_is_a_call(
    served: Served, http: aiohttp.ClientSession, body: bytes
) -> None:
    status, document, _ = await post(http, served, "email.send", body)
    assert (status, document["error"]["code"]) == (400, "request.invalid")
    assert served.desk.calls == []


@pytest.mark.parametrize("key", ["", "x" * (KEY_MAX + 1), "two words", "ü"])
async def test_a_strange_idempotency_key_is_refused(served: Served, key: str) -> None:
    head = "POST /v1/tools/email.list HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
    answer = await raw(served.port("tools"), f"{head}Idempotency-Key: {key}\r\n\r\n{{}}".encode())
    assert b" 400 " in answer.split(b"\r\n", 1)[0]
    assert served.desk.calls == []


async def test_two_idempotency_keys_are_no_key(served: Served) -> None:
    head = b"POST /v1/tools/email.list HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
    answer = await raw(served.port("tools"), head + b"Idempotency-Key: a\r\nidempotency-key: b\r\n\r\n{}")
    assert b" 400 " in answer.split(b"\r\n", 1)[0]
    assert served.desk.calls == []


async def test_other_paths_and_methods_get_the_same_error_shape(served: Served, http: aiohttp.ClientSession) -> None:
    for method, path, expected in (
        ("GET", "/", 404),
        ("GET", "/v1/tools/email.send", 405),
        ("DELETE", "/v1/tools", 405),
        ("GET", "/v1/tools/../../etc/passwd", 404),
        ("POST", "/metrics", 404),
    ):
        async with http.request(method, served.url("tools") + path) as answer:
            assert answer.status == expected
            assert set((await answer.json())["error"]) == {"code", "message", "reasons", "decision_id", "retry_after"}
    assert served.desk.calls == []


async def test_inference_is_not_offered_as_a_tool(served: Served, http: aiohttp.ClientSession) -> None:
    status, document, _ = await post(http, served, "inference.chat", {"model": "scripted"})
    assert (status, document["error"]["code"]) == (404, "request.unknown_tool")
    assert served.desk.calls == []


async def test_who_asks_is_the_listener_whatever_the_request_says() -> None:
    desk = TwinDesk(views={"run_1": view("run_1"), "run_2": view("run_2")})
    async with serving(desk) as served, aiohttp.ClientSession() as http:
        headers = {"Host": "run_1", "X-Safebox-Run": "run_1", "X-Forwarded-For": "run_1", "Authorization": "run_1"}
        url = f"{served.url('tools', 'run_2')}/v1/tools/email.list?run=run_1"
        async with http.post(url, data=b'{"run":"run_1"}', headers=headers) as answer:
            assert answer.status == 200
    assert [call.run for call in desk.calls] == ["run_2"]


async def test_the_gateway_says_it_is_alive(served: Served, http: aiohttp.ClientSession) -> None:
    async with http.get(served.url("tools") + "/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_a_firewall_bug_shows_no_traceback(served: Served, http: aiohttp.ClientSession) -> None:
    async def fail(*_: Any) -> Any:
        raise RuntimeError("secret detail")

    served.desk.answer = fail
    async with http.post(f"{served.url('tools')}/v1/tools/email.list", data=b"{}") as answer:
        text = await answer.text()
        assert answer.status == 504
    assert "secret" not in text
    assert json.loads(text)["error"]["code"] == "firewall.effect_unknown"


async def test_what_is_known_of_an_unknown_end_is_told(served: Served, http: aiohttp.ClientSession) -> None:
    unknown = not_done(Status.UNKNOWN, "firewall.effect_unknown")
    served.desk.reply = msgspec.structs.replace(unknown, result={"transaction_hash": "0x12"})
    found, document, _ = await post(http, served, "wallet.transfer")
    assert (found, document["error"]["known"]) == (504, {"transaction_hash": "0x12"})
    assert "result" not in document


async def test_a_run_that_has_ended_is_told_so(served: Served, http: aiohttp.ClientSession) -> None:
    class Ended(FirewallError):
        default_code = "firewall.run_not_live"

    def no_view(run: str) -> Any:
        raise Ended("there is no such run here")

    served.desk.view = no_view  # type: ignore[method-assign]
    async with http.get(served.url("tools") + "/v1/tools") as answer:
        assert answer.status == 503
        assert (await answer.json())["error"]["code"] == "firewall.run_not_live"


async def test_listeners_that_were_kept_can_be_attached_again(http: aiohttp.ClientSession) -> None:
    desk, metrics = TwinDesk(), Metrics()
    kept = listeners()
    url = f"http://127.0.0.1:{kept['tools'].getsockname()[1]}/healthz"
    for _ in range(2):  # a firewall, and the one that is started after it ended
        server = GatewayServer(desk, metrics)
        for _ in range(2):  # the second time without having been detached
            await server.attach("run_1", [one.dup() for one in kept.values()])
            async with http.get(url, headers={"Connection": "close"}) as answer:
                assert answer.status == 200
        await server.close()
    for one in kept.values():
        one.close()
    with pytest.raises(ValueError, match="2 listeners for 3 gateways"):
        await GatewayServer(desk, metrics).attach("run_1", list(kept.values())[:2])
