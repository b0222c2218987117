"""Smuggled, pipelined and malformed requests: each is one call or no call, and nothing after a fault is read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from safebox.firewall.core.reply import Reply
from safebox.firewall.gateways.limits import FIELDS_MAX, HEAD_BYTES_MAX, PIPELINE_MAX
from tests.twin_desk import Served, TwinDesk, done, raw, serving

POST = b"POST /v1/tools/email.list HTTP/1.1\r\nHost: x\r\n"
CALL = POST + b"Content-Length: 2\r\n\r\n{}"
LAST = POST + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"
INNER = b"POST /v1/tools/email.send HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(TwinDesk()) as server:
        yield server


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


AMBIGUOUS: dict[str, bytes] = {
    "length and coding": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "coding and length": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 120\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    + INNER,
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 120\r\n\r\n{}" + INNER,
    "two lengths that agree": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + INNER,
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}" + INNER,
    "a signed length": POST + b"Content-Length: +2\r\n\r\n{}" + INNER,
    "a negative length": POST + b"Content-Length: -2\r\n\r\n{}" + INNER,
    "a hexadecimal length": POST + b"Content-Length: 0x2\r\n\r\n{}" + INNER,
    "an endless length": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}" + INNER,
    "an empty length": POST + b"Content-Length:\r\n\r\n{}" + INNER,
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + INNER,
    "a coding after chunked": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + INNER,
    "a coding before chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + INNER,
    "two codings": POST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    + INNER,
    "a coding in HTTP/1.0": POST.replace(b"1.1", b"1.0")
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    + INNER,
    "a space before the colon": POST + b"Content-Length : 2\r\n\r\n{}" + INNER,
    "a folded header": POST + b"X: a\r\n Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + INNER,
    "a null in a header": POST + b"X: a\x00b\r\nContent-Length: 2\r\n\r\n{}" + INNER,
    "a carriage return in a header": POST + b"X: a\rContent-Length: 2\r\n\r\n{}" + INNER,
    "a chunk size that lies": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n" + INNER,
    "a chunk size that is no number": POST + b"Transfer-Encoding: chunked\r\n\r\n2x\r\n{}\r\n0\r\n\r\n" + INNER,
    "trailers": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nIdempotency-Key: a\r\n\r\n" + INNER,
    "another protocol": POST
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}"
    + INNER,
    "a websocket": b"GET /v1/tools HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + INNER,
    "a tunnel": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + INNER,
    "no HTTP": b"EHLO me\r\n" + INNER,
    "an unknown version": POST.replace(b"1.1", b"1.9") + b"Content-Length: 2\r\n\r\n{}" + INNER,
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_a_request_that_could_be_read_in_two_ways_is_never_a_call_and_ends_the_connection(
    served: Served, name: str
) -> None:
    answer = await raw(served.port("tools"), AMBIGUOUS[name])
    assert statuses(answer) == [400]
    assert b'"code":"request.invalid"' in answer
    assert served.desk.calls == []


async def test_requests_sent_ahead_are_answered_one_by_one_in_order(served: Served) -> None:
    running = 0

    async def answer(*_: Any) -> Reply:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.001)
        running -= 1
        return done(n=len(served.desk.calls))

    served.desk.answer = answer
    told = await raw(served.port("tools"), CALL * 9 + LAST)
    assert statuses(told) == [200] * 10
    assert [told.index(b'{"n":%d}' % n) for n in range(1, 11)] == sorted(
        told.index(b'{"n":%d}' % n) for n in range(1, 11)
    )


async def test_only_so_many_requests_may_be_sent_ahead(served: Served) -> None:
    told = await raw(served.port("tools"), CALL * 1000)
    assert statuses(told) == [200] * (PIPELINE_MAX + 1) + [400]
    assert len(served.desk.calls) == PIPELINE_MAX + 1


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_what_was_asked_before_the_fault_is_answered_and_nothing_after_it(served: Served, name: str) -> None:
    told = await raw(served.port("tools"), CALL + AMBIGUOUS[name])
    assert statuses(told) == [200, 400]
    assert [call.tool for call in served.desk.calls] == ["email.list"]


@pytest.mark.parametrize(
    "head",
    [
        POST + b"".join(b"X-%d: 1\r\n" % number for number in range(FIELDS_MAX + 1)) + b"\r\n",
        POST + b"X: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n",
        POST + b"X: " + b"a" * 10_000_000,
        POST + b"a" * 10_000_000,
        b"GET /" + b"a" * HEAD_BYTES_MAX + b" HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 10_000_000,
    ],
)
async def test_a_flood_of_headers_is_cut_off(served: Served, head: bytes) -> None:
    answer = await raw(served.port("tools"), head)
    assert statuses(answer) in ([431], [])  # a client still sending when the connection closes may miss the answer
    assert served.requests("tools", 431) + served.requests("tools", 400) == 1
    assert served.desk.calls == []


async def test_ordinary_requests_pass_through_the_same_door(served: Served) -> None:
    chunked = POST + b"Connection: close\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n"
    lower = b"POST /v1/tools/email.list HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}"
    expect = POST + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
    for request, expected in ((chunked, [200]), (lower, [200]), (expect, [100, 200]), (b"\r\n" + LAST, [200])):
        assert statuses(await raw(served.port("tools"), request)) == expected
    assert len(served.desk.calls) == 4
