"""A test double of the tools gateway: a real HTTP server that answers what a test told it to.

It decides nothing; it only speaks the wire format, so that the client is tested against real sockets.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, cast

TOOLS: list[dict[str, object]] = [
    {
        "name": "email.send",
        "description": "Send one mail.",
        "parameters": {
            "type": "object",
            "properties": {
                "to": {"type": "array", "items": {"type": "string"}},
                "subject": {"type": "string"},
                "body": {"type": "string"},
            },
            "required": ["to", "subject", "body"],
            "additionalProperties": False,
        },
    },
    {
        "name": "email.list",
        "description": "List the inbox.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
    {
        "name": "email.read",
        "description": "Read one mail.",
        "parameters": {
            "type": "object",
            "properties": {"id": {"type": "string"}},
            "required": ["id"],
            "additionalProperties": False,
        },
    },
    {
        "name": "wallet.transfer",
        "description": "Send money on chain.",
        "parameters": {
            "type": "object",
            "properties": {
                "to": {"type": "string"},
                "amount": {"type": "string"},
                "nonce": {"type": "integer"},
            },
            "required": ["to", "amount"],
            "additionalProperties": False,
        },
    },
    {
        "name": "wallet.balance",
        "description": "Read the wallet's balance.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
    {
        "name": "compute.start",
        "description": "Lease a container.",
        "parameters": {
            "type": "object",
            "properties": {
                "image": {"type": "string"},
                "command": {"type": "array", "items": {"type": "string"}},
                "minutes": {"type": "integer"},
                "input": {"type": "string"},
                "name": {"type": "string"},
            },
            "required": ["image", "command", "minutes"],
            "additionalProperties": False,
        },
    },
    {
        "name": "compute.status",
        "description": "Look at bought compute.",
        "parameters": {
            "type": "object",
            "properties": {"instance": {"type": "string"}},
            "required": ["instance"],
            "additionalProperties": False,
        },
    },
    {
        "name": "compute.stop",
        "description": "End a lease.",
        "parameters": {
            "type": "object",
            "properties": {"instance": {"type": "string"}},
            "required": ["instance"],
            "additionalProperties": False,
        },
    },
]


@dataclass(frozen=True)
class Reply:
    """What the double answers once; a bytes body goes out as it is."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    connection: Literal["kept", "reset", "closed", "stalled"] = "kept"


@dataclass(frozen=True)
class Call:
    """One request as it arrived."""

    method: str
    path: str
    key: str | None
    body: bytes

    @property
    def tool(self) -> str:
        return self.path.removeprefix("/v1/tools/")

    @property
    def arguments(self) -> dict[str, object]:
        return cast("dict[str, object]", json.loads(self.body))


def ok(result: Mapping[str, object], decision_id: str = "d-1") -> Reply:
    return Reply(200, {"result": dict(result), "decision_id": decision_id})


def error(
    status: int,
    code: str,
    message: str = "No.",
    *,
    retry_after: float | None = None,
    header: str | None = None,
    decision_id: str | None = "d-1",
) -> Reply:
    body = {
        "error": {
            "code": code,
            "message": message,
            "reasons": [{"code": code, "message": message}],
            "decision_id": decision_id,
            "retry_after": retry_after,
        }
    }
    return Reply(status, body, {"Retry-After": header} if header else {})


Script = Callable[[Call], Reply]


class GatewayDouble(ThreadingHTTPServer):
    """Answers each request with the next of its replies, or with what its script says."""

    daemon_threads = True

    def __init__(self, script: Script | Sequence[Reply], listing: Reply | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[Call] = []
        self._listing = listing or Reply(200, {"tools": TOOLS})
        self.release = threading.Event()  # set at the end: a stalled answer waits for it
        self._lock = threading.Lock()
        replies = None if callable(script) else list(script)
        self._script: Script = (
            script if callable(script) else lambda _call: (replies or [error(500, "double.empty")]).pop(0)
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def reply(self, call: Call) -> Reply:
        with self._lock:
            self.calls.append(call)
            if call.path == "/v1/tools" and call.method == "GET":
                return self._listing
            return self._script(call)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        server = cast("GatewayDouble", self.server)
        reply = server.reply(Call(self.command, self.path, self.headers.get("Idempotency-Key"), body))
        self.close_connection = True
        if reply.connection == "kept":
            self._send(reply)
        elif reply.connection == "stalled":
            server.release.wait(10)
        elif reply.connection == "reset":  # closing with a zero linger sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _send(self, reply: Reply) -> None:
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        # Said aloud, or a client with a pool sends its next request into a closing connection.
        for name, value in {"Content-Type": "application/json", "Connection": "close", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def gateway(script: Script | Sequence[Reply] = (), *, listing: Reply | None = None) -> Generator[GatewayDouble]:
    server = GatewayDouble(script, listing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
