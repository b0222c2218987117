"""A client that asks at a steady rate, from a process of its own, and says how long each answer took.

Run as `python -m tests.bench.pace HOST PORT PER_SECOND SECONDS` with the request's bytes on standard input; prints one
JSON object: {"times": [s, …], "statuses": {"200": n}}. A question is due at its time: an answer that comes late does
not make the next wait for it unseen, its delay counts from when it was due.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass

from tests.real_parts import ROOT


@dataclass(frozen=True)
class Paced:
    """What a steady client met; times in seconds."""

    times: list[float]
    statuses: dict[str, int]

    def quantile(self, share: float) -> float:
        """The time that this share of the answers took at most."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _answer(connection: socket.socket) -> str:
    """Read one answer; returns its status."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return head[9:12].decode()


def _ask(host: str, port: int, per_second: float, seconds: float, request: bytes) -> Paced:
    times: list[float] = []
    statuses: Counter[str] = Counter()
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        for number in range(int(seconds * per_second)):
            due = began + number / per_second
            time.sleep(max(0.0, due - time.perf_counter()))
            asked = max(due, min(time.perf_counter(), due + 1 / per_second))
            connection.sendall(request)
            statuses[_answer(connection)] += 1
            times.append(time.perf_counter() - asked)
    return Paced(times, dict(statuses))


def ask_steadily(port: int, request: bytes, *, per_second: float, seconds: float) -> Paced:
    """Ask a server on this host's loopback from another process, and say what came of it."""
    command = [sys.executable, "-m", "tests.bench.pace", "127.0.0.1", str(port), str(per_second), str(seconds)]
    done = subprocess.run(command, input=request, cwd=ROOT, capture_output=True, check=True)
    return Paced(**json.loads(done.stdout))


def main() -> None:
    """Be the steady client."""
    host, port, per_second, seconds = sys.argv[1:]
    paced = _ask(host, int(port), float(per_second), float(seconds), sys.stdin.buffer.read())
    print(json.dumps(paced.__dict__))


if __name__ == "__main__":
    main()
