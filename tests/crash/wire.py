"""HTTP wires between the firewall and its far sides: they pass on, write down what passes, and may hold a payment."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import msgspec

from tests.crash import moments
from tests.crash.moments import Fate
from tests.crash.trigger import Trigger

SEND = "eth_sendRawTransaction"
LATE_SECONDS = 1.0
"""How long after a kill a payment that was late reaches the chain: the next firewall is starting, or at work again."""
Answer = tuple[int, bytes]


class Carrier(Protocol):
    """What stands between the two ends of a wire."""

    def carry(self, method: str, path: str, body: bytes) -> Answer | None:
        """The answer to a request; None hangs up."""
        ...


def digest_of(request: Any) -> str:
    """What the ledger knows a question to a model by."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(request, order="deterministic")).hexdigest()


def forward(url: str, method: str, body: bytes) -> Answer:
    """Ask the far side."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body or None, headers, method=method)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@dataclass
class ChainWire:
    """Before a chain: kills on the way out or on the way back, and decides what becomes of the payment then."""

    node: str
    trigger: Trigger
    fate: Fate = "passed on"
    sent: int = 0
    late: list[threading.Timer] = field(default_factory=list[threading.Timer])

    def carry(self, method: str, path: str, body: bytes) -> Answer | None:
        """Pass a call on, unless the firewall was killed over it and it is lost or late."""
        sends = json.loads(body)["method"] == SEND
        self.trigger.reached(moments.RECOVERING)
        if sends and self.trigger.reached(moments.SENDING):
            if self.fate == "late":
                self._later(body)
            if self.fate != "passed on":
                return None
        answer = forward(self.node, method, body)
        self.sent += sends
        if sends and self.trigger.reached(moments.SENT):
            return None
        return answer

    def settle(self) -> None:
        """Wait for what is late."""
        for timer in self.late:
            timer.join()

    def _later(self, body: bytes) -> None:
        def deliver() -> None:
            with suppress(OSError):
                forward(self.node, "POST", body)

        self.late.append(threading.Timer(LATE_SECONDS, deliver))
        self.late[-1].start()


@dataclass(frozen=True)
class Asked:
    """One question that reached the model, and what it used of tokens."""

    at_ns: int
    mark: str
    tokens: int


@dataclass
class ModelWire:
    """Before a model: writes down every question."""

    model: str
    trigger: Trigger
    asked: list[Asked] = field(default_factory=list[Asked])

    def carry(self, method: str, path: str, body: bytes) -> Answer | None:
        """Pass a request on."""
        if method == "GET":
            return forward(self.model + path, method, body)
        begun, mark = time.time_ns(), digest_of(json.loads(body))
        self.trigger.reached(moments.ASKING)
        answer = forward(self.model + path, method, body)
        used: dict[str, Any] = json.loads(answer[1]).get("usage", {})
        self.asked.append(Asked(begun, mark, int(used.get("total_tokens", 0))))
        return None if self.trigger.reached(moments.ASKED) else answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The firewall was killed while it waited."""


@contextmanager
def serve(carrier: Carrier) -> Generator[str]:
    """The URL at which a carrier is asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _carry(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = carrier.carry(self.command, self.path, body)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1])

        do_GET = do_POST = _carry  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
