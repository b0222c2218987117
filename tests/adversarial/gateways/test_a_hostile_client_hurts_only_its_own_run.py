"""Slow, idle, greedy and endless clients of one run: bounded, and other runs are answered meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import pytest
import uvloop

from safebox.firewall.core.action import Call
from safebox.firewall.core.reply import Reply
from safebox.firewall.gateways.limits import (
    CALLS_MAX,
    CONNECTIONS_MAX,
    DISCARD_BYTES_MAX,
    HELD_BYTES_MAX,
    QUEUE_MAX,
    TOOLS_BODY_MAX,
    VALUES_MAX,
    Limits,
)
from safebox.firewall.ports import Deliver
from tests.twin_desk import Served, again_and_again, done, raw, serving, two_runs

IMPATIENT = Limits(head=0.3, body=0.3, idle=0.6, write=0.3, watch=0.02)
POST = b"POST /v1/tools/email.list HTTP/1.1\r\nHost: x\r\n"
CALL = POST + b"Content-Length: 2\r\n\r\n{}"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(two_runs()) as server:
        yield server


@pytest.fixture
async def impatient() -> AsyncIterator[Served]:
    async with serving(two_runs(), limits=IMPATIENT) as server:
        yield server


@contextlib.asynccontextmanager
async def neighbour(served: Served) -> AsyncGenerator[list[float]]:
    """Call a tool in the other run over and over, and say how long each call took; none may fail."""
    url = served.url("tools", "run_2") + "/v1/tools/email.list"
    async with aiohttp.ClientSession() as session:

        async def ask() -> None:
            async with session.post(url, data=b"{}", timeout=aiohttp.ClientTimeout(5)) as answer:
                assert answer.status == 200
                assert (await answer.json())["result"] == {"ok": True}

        async with again_and_again(ask) as took:
            yield took


async def trickle(port: int, start: bytes, piece: bytes) -> bytes:
    """Send a start, then a piece every few milliseconds, for as long as the other side takes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(start)
    answer = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(5):
            while not (reader.at_eof() or writer.is_closing()):
                writer.write(piece)
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    answer += await asyncio.wait_for(reader.read(65536), 0.02)
    writer.close()
    return answer


async def test_the_event_loop_is_the_one_a_firewall_runs_on() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


# --- slow ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"POST /v1/to", b"o"),
        (POST, b"X: y\r\n"),
        (POST + b"X: ", b"y"),
        (POST + b"Content-Length: 1000\r\n\r\n", b" "),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
)
async def test_a_request_that_trickles_in_is_cut_off_with_the_reason(
    impatient: Served, start: bytes, piece: bytes
) -> None:
    async with neighbour(impatient):
        answers = await asyncio.gather(*(trickle(impatient.port("tools"), start, piece) for _ in range(20)))
    assert impatient.requests("tools", 408) == 20
    assert any(answer.startswith(b"HTTP/1.1 408 ") and b"request.too_slow" in answer for answer in answers)
    assert all(call.run == "run_2" for call in impatient.desk.calls)


async def test_an_unused_connection_closes_by_itself(impatient: Served) -> None:
    assert await raw(impatient.port("tools"), b"") == b""
    began = time.monotonic()
    answer = await raw(impatient.port("tools"), CALL)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert time.monotonic() - began > IMPATIENT.idle / 2  # kept open for the next request, not closed at once


async def test_empty_lines_do_not_keep_a_connection_alive(impatient: Served) -> None:
    assert await trickle(impatient.port("tools"), b"", b"\r\n") == b""


@pytest.mark.parametrize("sent", [b"", POST, POST + b"Content-Length: 5\r\n\r\n{}"])
async def test_a_half_open_connection_with_an_unfinished_request_is_cut_at_once(served: Served, sent: bytes) -> None:
    assert await raw(served.port("tools"), sent, half_close=True) == b""
    assert served.desk.calls == []


async def test_a_client_that_only_stops_sending_still_has_its_answer(served: Served) -> None:
    answer = await raw(served.port("tools"), CALL, half_close=True)
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_does_not_read_its_answer_is_cut(impatient: Served) -> None:
    ended = asyncio.Event()

    async def answer(call: Call, deliver: Deliver | None) -> Reply:
        if call.tool != "inference.chat":
            return done(ok=True)
        assert deliver is not None
        for _ in range(200):
            await deliver(b"x" * 100_000)
        ended.set()
        return done(usage={})

    impatient.desk.answer = answer
    body = json.dumps({"model": "m", "messages": [{}], "stream": True}).encode()
    with socket.create_connection(("127.0.0.1", impatient.port("inference"))) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        async with neighbour(impatient), asyncio.timeout(5):
            await ended.wait()  # the call itself goes on, and is settled


# --- many ---------------------------------------------------------------------------------------------------------


async def test_ten_thousand_idle_connections_are_bounded_and_a_new_one_still_works(served: Served) -> None:
    opened: list[socket.socket] = []
    most = 0
    async with neighbour(served):
        for number in range(10_000):
            one = socket.socket()
            one.setblocking(False)
            await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", served.port("tools")))
            opened.append(one)
            if number % 50 == 0:
                gate = served.server.gate("run_1")
                most = max(most, len(gate.connections))
            if len(opened) > CONNECTIONS_MAX + 200:
                opened.pop(0).close()
        async with aiohttp.ClientSession() as session, session.get(served.url("tools") + "/healthz") as answer:
            assert answer.status == 200
    for one in opened:
        one.close()
    assert 0 < most <= CONNECTIONS_MAX


async def test_when_every_connection_is_busy_a_further_one_is_told_so(served: Served) -> None:
    go = asyncio.Event()

    async def answer(call: Call, _: Deliver | None) -> Reply:
        if call.run == "run_1":
            await go.wait()
        return done(ok=True)

    served.desk.answer = answer
    busy = [await asyncio.open_connection("127.0.0.1", served.port("tools")) for _ in range(CONNECTIONS_MAX)]
    calls = CALLS_MAX + QUEUE_MAX
    for number, (_, writer) in enumerate(busy):
        writer.write(CALL if number < calls else CALL[:-1])
    await asyncio.sleep(0.2)
    async with neighbour(served):
        refused = await raw(served.port("tools"), CALL)
    go.set()
    statuses = [(await reader.readline())[9:12] for reader, _ in busy[:calls]]
    for _, writer in busy:
        writer.close()
    assert refused.startswith(b"HTTP/1.1 429 ")
    assert b"firewall.overloaded" in refused
    assert statuses == [b"200"] * calls


async def test_calls_beyond_a_runs_share_are_told_to_come_back_and_no_other_run_waits(served: Served) -> None:
    go = asyncio.Event()

    async def answer(call: Call, _: Deliver | None) -> Reply:
        if call.run == "run_1":
            await go.wait()
        return done(ok=True)

    served.desk.answer = answer
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask() -> tuple[int, str | None, Any]:
            async with session.post(served.url("tools") + "/v1/tools/email.list", data=b"{}") as told:
                return told.status, told.headers.get("Retry-After"), await told.json()

        asked = [asyncio.create_task(ask()) for _ in range(CALLS_MAX + QUEUE_MAX + 10)]
        async with neighbour(served):
            refused = [await one for one in itertools.islice(asyncio.as_completed(asked), 10)]
        go.set()
        answers = await asyncio.gather(*asked)
    assert [status for status, _, _ in answers].count(200) == CALLS_MAX + QUEUE_MAX
    assert {(status, wait, told["error"]["code"]) for status, wait, told in refused} == {
        (429, "1", "firewall.overloaded")
    }
    assert sum(call.run == "run_1" for call in served.desk.calls) == CALLS_MAX + QUEUE_MAX


# --- large --------------------------------------------------------------------------------------------------------


async def test_a_body_that_is_too_large_is_refused_and_its_sender_hears_it(served: Served) -> None:
    def send() -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", served.port("tools"), timeout=10)
        connection.request("POST", "/v1/tools/email.send", body=b" " * (2 * TOOLS_BODY_MAX))
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
        return answer.status, document

    async with neighbour(served):
        status, document = await asyncio.to_thread(send)
    assert (status, document["error"]["code"]) == (413, "request.too_large")
    assert all(call.run == "run_2" for call in served.desk.calls)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: %d\r\n\r\n" % (DISCARD_BYTES_MAX + 1),
        b"Content-Length: 999999999999\r\n\r\n",
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (TOOLS_BODY_MAX + 1),
    ],
)
async def test_a_body_announced_as_far_too_large_is_not_even_read(served: Served, head: bytes) -> None:
    answer = await raw(served.port("tools"), POST + head)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_an_endless_chunked_body_is_cut(served: Served) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port("tools"))
    writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    sent = 0
    with contextlib.suppress(ConnectionError):
        async with neighbour(served):
            while sent < 2 * DISCARD_BYTES_MAX and not reader.at_eof():
                writer.write(chunk)
                await writer.drain()
                sent += len(chunk)
    writer.close()
    assert sent < 2 * DISCARD_BYTES_MAX
    assert served.requests("tools", 413) == 1


async def test_a_run_can_not_fill_memory_with_bodies_it_never_finishes(served: Served) -> None:
    size = TOOLS_BODY_MAX - 1
    clients: list[asyncio.StreamWriter] = []
    for _ in range(HELD_BYTES_MAX // size + 4):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port("tools"))
        writer.write(POST + b"Content-Length: %d\r\n\r\n" % TOOLS_BODY_MAX + b" " * size)
        clients.append(writer)
    async with neighbour(served), asyncio.timeout(10):
        while served.requests("tools", 429) < 4:  # noqa: ASYNC110 - a counter of the server's own
            await asyncio.sleep(0.01)
    gate = served.server.gate("run_1")
    assert gate.held <= HELD_BYTES_MAX
    for writer in clients:
        writer.transport.abort()
    async with asyncio.timeout(5):
        while gate.held:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * (TOOLS_BODY_MAX // 4) + b"[]]",
        b'["' + b'","' * (TOOLS_BODY_MAX // 4) + b'"]',
        b"[" + b"{}," * (VALUES_MAX // 2) + b"{}]",
        b"[" * (TOOLS_BODY_MAX - 1),
        b'{"a":' * (TOOLS_BODY_MAX // 6),
    ],
)
async def test_json_made_to_be_slow_to_read_keeps_nobody_waiting(served: Served, body: bytes) -> None:
    url = served.url("tools") + "/v1/tools/email.send"
    async with aiohttp.ClientSession() as session, neighbour(served) as took:
        for _ in range(3):
            async with session.post(url, data=io.BytesIO(body)) as answer:
                assert answer.status in (400, 413, 200)
    assert max(took) < 2  # unmeasured, one such body takes several seconds of everybody's time


def test_json_nested_without_end_does_not_end_the_process() -> None:
    program = (
        "import asyncio, sys\n"
        "import eth_account  # raises the recursion limit beyond what the stack holds\n"
        "from safebox.firewall.errors import CallerError\n"
        "from safebox.firewall.gateways.body import read_json\n"
        "from safebox.firewall.gateways.gate import Gate\n"
        "async def main():\n"
        "    for body in (b'[' * 8_000_000, b'{\"a\":' * 1_500_000, b'[' * 16_000, b'{\"a\":[' * 2_500):\n"
        "        try:\n"
        "            await read_json(body, Gate())\n"
        "        except CallerError as error:\n"
        "            print(error.code)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.split()) == 4


# --- the end of a run ---------------------------------------------------------------------------------------------


async def test_a_detached_run_has_no_connection_and_no_listener_left_and_its_call_is_still_settled(
    served: Served,
) -> None:
    go = asyncio.Event()

    async def answer(call: Call, _: Deliver | None) -> Reply:
        if call.run == "run_1":
            await go.wait()
        return done(ok=True)

    served.desk.answer = answer
    pending = asyncio.create_task(raw(served.port("tools"), CALL))
    async with asyncio.timeout(5):
        while not served.desk.calls:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await served.server.detach("run_1")
    assert await pending == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", served.port("tools"))
    assert served.desk.finished == 0
    go.set()
    await served.server.close()
    assert served.desk.finished == 1
