"""A whole firewall call beside a bare decision by opa-python-client, on an OPA server with the same pack.

The call is received over HTTP, decided, made durable, carried out (to no effect), settled and answered. The decision is
asked for as a program would that judges its own actions: one question, one answer, nothing recorded.
Run as `python -m tests.bench.opa PORT CONNECTIONS SECONDS` with the question on standard input to be that program.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import uvloop
from opa_client.errors import ConnectionsError  # type: ignore[import-untyped]
from opa_client.opa import OpaClient  # type: ignore[import-untyped]
from opa_client.opa_async import AsyncOpaClient  # type: ignore[import-untyped]

from safebox.firewall.core.action import Call
from safebox.firewall.core.decision import Answer
from safebox.firewall.engines.bundle import pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from tests.bench.firewall import MANY, Rig
from tests.bench.load import Load
from tests.bench.report import Report
from tests.bench.served import Served
from tests.real_parts import ROOT, find

ROUNDS: Final = 3
SECONDS: Final = 2.0
START_SECONDS: Final = 30.0
TOOL: Final = "email.list"


def measure(report: Report) -> None:
    """Measure `opa_p50` and `opa_throughput`."""
    opa = find("opa")
    if not opa.usable:
        report.leave_out("opa_p50, opa_throughput", f"opa is {opa.wrong}")
        return
    with tempfile.TemporaryDirectory(prefix="sb-") as folder, _server(opa.at) as port:
        question = asyncio.run(_question(Path(folder)))
        with tempfile.TemporaryDirectory(prefix="sb-") as other, Served(Path(other)) as firewall:
            firewall.load(seconds=0.5)
            one = [(firewall.load(seconds=SECONDS), _asked(port, question, 1)) for _ in range(ROUNDS)]
            many = [
                (firewall.load(connections=MANY, seconds=SECONDS), _asked(port, question, MANY)) for _ in range(ROUNDS)
            ]
    report.ratio("opa_p50", statistics.median(ours.p50 / theirs.p50 for ours, theirs in one))
    report.ratio("opa_throughput", statistics.median(ours.rate / theirs.rate for ours, theirs in many))
    report.figure("opa_decision_p50", statistics.median(theirs.p50 for _, theirs in one) * 1e6, "µs")
    report.figure("opa_decisions_per_s", statistics.median(theirs.rate for _, theirs in many), "1/s")


class _Overheard(EmbeddedEngine):
    """Remembers what it was asked."""

    asked: bytes = b""

    async def decide(self, document: bytes) -> Answer:
        self.asked = document
        return await super().decide(document)


async def _question(folder: Path) -> bytes:
    """The policy input of the call that is measured, as the firewall makes it."""
    rig = Rig(folder, engine=_Overheard)
    await rig.pipeline.handle(Call(run="run_1", tool=TOOL, arguments={}))
    rig.store.close()
    return cast("_Overheard", rig.engine).asked


@contextmanager
def _server(opa: str) -> Generator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [opa, "run", "--server", "--addr", f"127.0.0.1:{port}", "--log-level", "error", "--bundle"]
    process = subprocess.Popen([*command, str(pack_folder())], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    with OpaClient(host="127.0.0.1", port=port) as client:
        while time.monotonic() < until:
            try:
                client.check_connection()
            except ConnectionsError:
                time.sleep(0.05)
            else:
                return
    raise RuntimeError("the OPA server did not start")


def _asked(port: int, question: bytes, connections: int) -> Load:
    """What a program of its own got that asked the server all the time."""
    command = [sys.executable, "-m", "tests.bench.opa", str(port), str(connections), str(SECONDS)]
    done = subprocess.run(command, input=question, cwd=ROOT, capture_output=True, check=True)
    return Load(**json.loads(done.stdout))


async def _ask(port: int, connections: int, seconds: float, document: dict[str, Any]) -> Load:
    times: list[float] = []
    async with AsyncOpaClient(host="127.0.0.1", port=port) as client:
        await _decide(client, document)
        started = time.perf_counter()

        async def work() -> None:
            while (sent := time.perf_counter()) < started + seconds:
                await _decide(client, document)
                times.append(time.perf_counter() - sent)

        await asyncio.gather(*(work() for _ in range(connections)))
        took = time.perf_counter() - started
    times.sort()
    return Load(len(times), took, times[len(times) // 2], times[len(times) * 99 // 100], {"200": len(times)})


async def _decide(client: AsyncOpaClient, document: dict[str, Any]) -> None:
    answer = cast("Any", await client.query_rule(document, "safebox.main", "decision"))  # pyright: ignore[reportUnknownMemberType]
    if answer["result"]["verdict"] != "allow":
        raise RuntimeError(f"OPA answered {answer}")


def main() -> None:
    """Be the program that asks."""
    port, connections, seconds = sys.argv[1:]
    document = json.loads(sys.stdin.buffer.read())
    print(json.dumps(uvloop.run(_ask(int(port), int(connections), float(seconds), document)).__dict__))


if __name__ == "__main__":
    main()
