"""Requests that could be read in two ways, or not at all."""

from __future__ import annotations

from typing import Final

from safebox.firewall.drill.aim import Aim
from safebox.firewall.drill.entry import CRITICAL, HIGH, LOW, MEDIUM, Chapter
from safebox.firewall.drill.stage import Stage
from safebox.firewall.drill.told import Told, mildest, of_http
from safebox.firewall.drill.wire import request

CHAPTER: Final = Chapter("gateways", "E", Aim.no_wallet)
_GATE: Final = "the gateway; no policy is asked"
_PATH: Final = "/v1/tools/wallet.transfer"


def _body(stage: Stage) -> bytes:
    return f'{{"to": "{stage.aim.payee}", "amount": "{stage.aim.small} wei"}}'.encode()


def _head(stage: Stage, *lines: str, start: str = f"POST {_PATH} HTTP/1.1") -> bytes:
    """A request whose head is written out; the body follows as it is."""
    return "\r\n".join([start, "Host: 127.0.0.1", *lines, "", ""]).encode() + _body(stage)


@CHAPTER.harmless("plain", "the same request, written plainly")
async def _(stage: Stage) -> Told:
    return of_http(await stage.wire("tools", request(_PATH, _body(stage))))


@CHAPTER.harmless("chunked", "the same request in chunks")
async def _(stage: Stage) -> Told:
    body = _body(stage)
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:], b""))
    head = f"POST {_PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return of_http(await stage.wire("tools", head + chunks))


@CHAPTER.attack(
    "two_lengths",
    "send two lengths, a length beside chunks, a length that is no number (request smuggling)",
    severity=CRITICAL,
    mend=_GATE,
    neighbour="plain",
)
async def _(stage: Stage) -> Told:
    size = len(_body(stage))
    heads = (
        (f"Content-Length: {size}", "Content-Length: 3"),
        (f"Content-Length: {size}", "Transfer-Encoding: chunked"),
        (f"Content-Length: +{size}",),
        (f"Content-Length: {size}, {size}",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
    )
    told = [of_http(await stage.wire("tools", _head(stage, *lines, "Connection: close"))) for lines in heads]
    return mildest(told)


@CHAPTER.attack(
    "other_protocols", "ask for an upgrade, a tunnel, HTTP/0.9", severity=HIGH, mend=_GATE, neighbour="plain"
)
async def _(stage: Stage) -> Told:
    size = f"Content-Length: {len(_body(stage))}"
    asked = (
        _head(stage, size, "Connection: Upgrade, close", "Upgrade: websocket"),
        _head(stage, size, "Connection: close", start="CONNECT example.net:443 HTTP/1.1"),
        _head(stage, size, "Connection: close", start=f"POST {_PATH} HTTP/9.9"),
        _head(stage, size, "Connection: close", start=f"PUT {_PATH} HTTP/1.1"),
        _head(stage, size, "Connection: close", start=f"GET {_PATH} HTTP/1.1"),
    )
    return mildest([of_http(await stage.wire("tools", each)) for each in asked])


@CHAPTER.attack(
    "json",
    "send JSON that is nested 50,000 deep, no UTF-8, half a surrogate, with something after it, empty",
    severity=MEDIUM,
    mend=_GATE,
    neighbour="plain",
)
async def _(stage: Stage) -> Told:
    body = _body(stage)
    odd = (
        b"[" * 50_000,
        b'{"to":' * 40 + b"1" + b"}" * 40,
        body.replace(b"amount", b"am\xffount"),
        body[:-1] + b', "note": "\\ud800"}',
        body + body,
        body + b"x",
        b"\xef\xbb\xbf" + body,
        body.decode().encode("utf-16"),
        b"",
        b"'" + body + b"'",
    )
    return mildest([await stage.raw("wallet.transfer", each) for each in odd])


@CHAPTER.attack("large", "send 11 MB, 30,000 values, 200 headers", severity=MEDIUM, mend=_GATE, neighbour="plain")
async def _(stage: Stage) -> Told:
    long = {f"X-Field-{number}": "x" for number in range(200)}
    return mildest(
        [
            await stage.raw("wallet.transfer", b'{"to": "' + b"a" * 11_000_000 + b'"}'),
            await stage.raw("wallet.transfer", b"[" + b"1," * 30_000 + b"1]"),
            await stage.raw("wallet.transfer", _body(stage), headers=long),
            await stage.raw("wallet.transfer", _body(stage), headers={"X-Field": "x" * 40_000}),
        ]
    )


@CHAPTER.attack("keys", "send an idempotency key twice, empty, too long, not in ASCII", severity=LOW, mend=_GATE,
                neighbour="plain")  # fmt: skip
async def _(stage: Stage) -> Told:
    size = f"Content-Length: {len(_body(stage))}"
    twice = _head(stage, size, "Connection: close", "Idempotency-Key: a", "Idempotency-Key: b")
    odd = ["", "k" * 256, "k k", "k\u00e9"]
    told = [await stage.raw("wallet.transfer", _body(stage), headers={"Idempotency-Key": key}) for key in odd]
    return mildest([of_http(await stage.wire("tools", twice)), *told])


@CHAPTER.attack(
    "who_asks",
    "claim in headers and arguments to be another run, or the owner",
    severity=CRITICAL,
    mend=_GATE,
    neighbour="plain",
)
async def _(stage: Stage) -> Told:
    claims = {"X-Safebox-Run": "run_owner", "Authorization": "Bearer owner", "X-Caller": "owner", "Host": "owner"}
    sweep = b'{"to": "%b", "amount": null}' % stage.aim.stranger.encode()
    body = _body(stage)[:-1] + b', "caller": "owner", "run": "run_owner"}'
    return mildest(
        [
            await stage.raw("wallet.sweep", sweep, headers=claims),
            await stage.raw("wallet.transfer", body, headers=claims),
        ]
    )
