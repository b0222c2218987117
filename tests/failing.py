"""What the services in processes of their own have in common: how they answer over HTTP, and how they fail."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final

WAYS: Final = ("slow", "drip", "endless", "status", "redirect", "hangs up")
"""Of failing, whatever was asked; `Failing.wrong` has more."""


class Failing(BaseHTTPRequestHandler):
    """One request.

    Attributes:
        slow_seconds: how long it takes where it is slow.
        wrong: answers of no shape, by name.
        trouble: what it says with status 500.
    """

    slow_seconds: ClassVar[float]
    wrong: ClassVar[Mapping[str, bytes]]
    trouble: ClassVar[dict[str, Any]]

    def do_POST(self) -> None:
        self.asked(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def asked(self, document: dict[str, Any]) -> None:
        """Answer a POST of this document."""
        raise NotImplementedError

    def say(self, status: int, document: dict[str, Any]) -> None:
        """Answer with JSON."""
        self.answer(status, json.dumps(document).encode())

    def answer(self, status: int, content: bytes) -> None:
        """Answer with these bytes."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def fail(self, how: str) -> None:
        """Fail in one of `WAYS`, or of `wrong`."""
        match how:
            case "slow":
                time.sleep(self.slow_seconds)
            case "drip" | "endless":
                self._go_on(how)
            case "status":
                self.say(500, self.trouble)
            case "redirect":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:9/")
                self.end_headers()
            case "hangs up":
                self.connection.close()
            case _:
                self.answer(200, self.wrong[how])

    def _go_on(self, how: str) -> None:
        """A byte now and then, or all there is, until nobody listens any more."""
        content, pause = (b"HTTP/1.1 200 OK\r\n", 0.05) if how == "drip" else (b"HTTP/1.1 200 OK\r\n\r\n", 0.0)
        self.wfile.write(content)
        while True:
            self.wfile.write(b"a" if pause else b" " * 65_536)
            time.sleep(pause)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of it."""


class Patient(ThreadingHTTPServer):
    """A server that minds nobody who hangs up early."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """It is no news."""
