"""A connection to a gateway without a socket: bytes in, through the gateway's own protocol, bytes out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, cast

from safebox.firewall.gateways.protocol import GatewayProtocol

ANSWER_SECONDS: Final = 60
"""Nothing here waits for anything outside; what takes longer is broken."""


class Answered(NamedTuple):
    """One answer of a gateway: its HTTP status (0: none came), its bytes, its JSON (an empty object if it is none)."""

    status: int
    body: bytes
    document: Any


class _Pipe(asyncio.Transport):
    """The client's end of a connection, as the protocol sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = asyncio.Event()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed.set()

    def abort(self) -> None:
        self.closed.set()

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def request(path: str, body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST") -> bytes:
    """One plain request that closes its connection."""
    fields = {"Host": "127.0.0.1", "Connection": "close", "Content-Length": str(len(body)), **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


async def exchange(connect: Callable[[], GatewayProtocol], data: bytes) -> Answered:
    """Send bytes on a connection of their own and wait for its end.

    Raises:
        TimeoutError: if it doesn't come.
    """
    protocol, pipe = connect(), _Pipe()
    protocol.connection_made(pipe)
    protocol.data_received(data)
    async with asyncio.timeout(ANSWER_SECONDS):
        await pipe.closed.wait()
    protocol.connection_lost(None)
    return _read(bytes(pipe.written))


def _read(data: bytes) -> Answered:
    head, _, body = data.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    try:
        document: Any = json.loads(body)
    except ValueError:
        document = {}
    return Answered(status, body, document)


def error_of(document: Any) -> dict[str, Any]:
    """The error of an answer, whichever gateway it came from; empty if there is none."""
    fields = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    error = fields.get("error")
    return cast("dict[str, Any]", error) if isinstance(error, dict) else {}
