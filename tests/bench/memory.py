"""The memory of a whole firewall, `safebox serve`: with a hundred live runs, and how it grows with what they do.

The runs have no sandboxes; their listeners are this process's, handed over as a launcher does. What is measured is the
firewall's own process: stand-ins, sandboxes and the load are others.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from safebox.firewall.control.client import ControlClient
from safebox.firewall.control.wire import ControlError
from safebox.firewall.gateways.limits import PORTS
from tests.bench.firewall import listener
from tests.bench.load import NUMBER, drive
from tests.bench.report import Report
from tests.bench.served import resident
from tests.real_parts import ROOT, with_bytecode

RUNS: Final = 100
AGENT: Final = ROOT / "agents" / "examples" / "treasurer"
REQUEST: Final = (
    b"POST /v1/tools/email.list HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    b"Idempotency-Key: " + NUMBER + b"\r\n\r\n{}"
)
"""As safebox's own client asks: each call under a key of its own."""
WARM: Final = 10_000
"""A hundred for each run: more than it keeps the answers of."""
ACTIONS: Final = 50_000
"""After the warm-up; `BENCH_ACTIONS=1000000` measures the whole million, which takes a quarter of an hour."""
SLICE_SECONDS: Final = 5.0
START_SECONDS: Final = 60.0
BIN: Final = Path(sys.executable).parent


def measure(report: Report) -> None:
    """Measure `rss_mb` and `rss_drift`."""
    with tempfile.TemporaryDirectory(prefix="sb-") as home, _firewall(Path(home)) as control, ExitStack() as stack:
        pid = int(control.request("status")["pid"])
        ports = [_run(control, stack) for _ in range(RUNS)]
        _act(ports, WARM)
        before = _settled(pid)
        report.ratio("rss_mb", before)
        wanted = int(os.environ.get("BENCH_ACTIONS", ACTIONS))
        done = _act(ports, wanted)
        after = _settled(pid)
    report.ratio("rss_drift", after / before)
    report.figure("rss_drift_actions", done, "actions")
    report.figure("rss_per_action", (after - before) * 1e6 / done, "B")
    if done < 1_000_000:
        per_million = before + (after - before) * 1_000_000 / done
        report.figure("rss_after_1m_if_so_on", per_million, "MB")


@contextmanager
def _firewall(home: Path) -> Generator[ControlClient]:
    environment = {**with_bytecode(), "SAFEBOX_HOME": str(home)}
    environment.pop("OPENAI_API_KEY", None)
    process = subprocess.Popen(
        [str(BIN / "safebox"), "serve", "--warm", "0"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with _connected(home / "control.sock", process) as control:
            yield control
    finally:
        process.terminate()
        process.wait(60)


def _connected(path: Path, process: subprocess.Popen[bytes]) -> ControlClient:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            return ControlClient(path)
        except ControlError:
            time.sleep(0.1)
    raise RuntimeError("the firewall did not start")


def _run(control: ControlClient, stack: ExitStack) -> int:
    """Start a run and hand over its listeners; returns the port where its tools answer."""
    text = (AGENT / "safebox.toml").read_text(encoding="utf-8")
    started = control.request("start", mandate=text, source="bench", folder=str(AGENT), engine="none")
    listeners: list[socket.socket] = [stack.enter_context(listener()) for _ in PORTS]
    control.attach(str(started["run"]), listeners)
    return int(listeners[list(PORTS).index("tools")].getsockname()[1])


def _act(ports: list[int], wanted: int) -> int:
    """Have all runs act at once, each by one connection, until they have done so many things together."""
    done = 0
    while done < wanted:
        load = drive(ports, REQUEST, connections=len(ports), seconds=SLICE_SECONDS)
        if set(load.statuses) != {"200"}:
            raise RuntimeError(f"the measured calls were answered {load.statuses}")
        done += load.count
    return done


def _settled(pid: int) -> float:
    """What the process holds when nothing is asked: the median of a second, in MB."""
    found: list[float] = []
    for _ in range(10):
        time.sleep(0.1)
        found.append(resident(pid))
    return statistics.median(found)


if __name__ == "__main__":
    _report = Report()
    measure(_report)
    _report.print()
