"""A real OPA server of a test's own: started, stopped in the middle, killed, started again."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests import real_parts
from tests.live import free_port, halt

START_SECONDS = 30.0
"""It takes a tenth of a second on a quiet machine."""


class Opa:
    """One server, always at the same address: a port of this machine, or a Unix socket in `folder`."""

    def __init__(self, folder: Path | None = None) -> None:
        self._program = real_parts.require("opa")
        self._socket = folder / "opa.sock" if folder else None
        self._port = 0 if folder else free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"unix:{self._socket}" if self._socket else f"http://127.0.0.1:{self._port}"

    def start(self, *files: str) -> None:
        """Start it, with nothing in it or with these files."""
        where = f"unix://{self._socket}" if self._socket else f"127.0.0.1:{self._port}"
        if self._socket:
            self._socket.unlink(missing_ok=True)
        command = [self._program, "run", "--server", "--addr", where, "--log-level", "error", *files]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "OPA ended at its start"
            assert time.monotonic() < end, "OPA does not answer"
            time.sleep(0.02)

    def halt(self) -> None:
        """Have it stand still; SIGCONT lets it go on."""
        assert self._process is not None
        halt(self._process.pid)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; after one that ends it, wait for the end."""
        assert self._process is not None
        self._process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._process.wait()

    def kill(self) -> None:
        """End it at once, wherever it is."""
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGKILL)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """What somebody else does to it. A text is sent as it is, anything else as JSON."""
        data = body if isinstance(body, str) else json.dumps(body)
        connection = self._connection()
        try:
            connection.request(method, f"/v1/{path}", None if body is None else data.encode())
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def _answers(self) -> bool:
        connection = self._connection()
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        if self._socket:
            return _OverSocket(str(self._socket))
        return HTTPConnection("127.0.0.1", self._port, timeout=START_SECONDS)


class _OverSocket(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=START_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@contextmanager
def opa_server(*, unix: bool = False, running: bool = True) -> Generator[Opa]:
    """A server that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:
        server = Opa(Path(folder) if unix else None)
        try:
            if running:
                server.start()
            yield server
        finally:
            server.kill()
