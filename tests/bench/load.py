"""A load of plain HTTP/1.1 over keep-alive connections, from a process of its own.

Run as `python -m tests.bench.load HOST PORT[,PORT…] CONNECTIONS SECONDS` with the request's bytes on standard input;
prints one JSON object: {"count": answers, "seconds": s, "p50": s, "p99": s, "statuses": {"200": n}}. Where the request
says `{number}`, each one says another, never used before.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import uvloop

from tests.real_parts import ROOT

NUMBER = b"{number}"
"""Stands for an idempotency key."""


@dataclass(frozen=True)
class Load:
    """What a load came to; times in seconds."""

    count: int
    seconds: float
    p50: float
    p99: float
    statuses: dict[str, int]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / self.seconds


class _Client(asyncio.Protocol):
    """One connection: asks, waits for the answer, asks again until the time is over."""

    def __init__(self, request: bytes, until: float, times: list[float], statuses: Counter[str]) -> None:
        self._request, self._until, self._times, self._statuses = request, until, times, statuses
        self._buffer = b""
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        request = self._request
        if NUMBER in request:
            request = request.replace(NUMBER, secrets.token_hex(16).encode())
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        now = time.perf_counter()
        self._times.append(now - self._sent)
        self._statuses[head[9:12].decode()] += 1
        self._buffer = b""
        if now < self._until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def _run(host: str, ports: Sequence[int], connections: int, seconds: float, request: bytes) -> Load:
    times: list[float] = []
    statuses: Counter[str] = Counter()
    loop, started = asyncio.get_running_loop(), time.perf_counter()
    make = partial(_Client, request, started + seconds, times, statuses)
    turns = itertools.islice(itertools.cycle(ports), connections)
    clients = [(await loop.create_connection(make, host, port))[1] for port in turns]
    await asyncio.gather(*(client.over for client in clients))
    took = time.perf_counter() - started
    times.sort()
    return Load(len(times), took, times[len(times) // 2], times[len(times) * 99 // 100], dict(statuses))


def drive(port: int | Sequence[int], request: bytes, *, connections: int, seconds: float) -> Load:
    """Load a server on this host's loopback from another process, its ports in turn, and say what came of it."""
    ports = ",".join(map(str, [port] if isinstance(port, int) else port))
    command = [sys.executable, "-m", "tests.bench.load", "127.0.0.1", ports, str(connections), str(seconds)]
    done = subprocess.run(command, input=request, cwd=ROOT, capture_output=True, check=True)
    return Load(**json.loads(done.stdout))


def main() -> None:
    """Be the process of the load."""
    host, ports, connections, seconds = sys.argv[1:]
    load = uvloop.run(
        _run(host, [int(port) for port in ports.split(",")], int(connections), float(seconds), sys.stdin.buffer.read())
    )
    print(json.dumps(load.__dict__))


if __name__ == "__main__":
    main()
