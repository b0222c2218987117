"""Starting: `safebox run -- true` beside `docker run`, and `safebox --help` beside a bare interpreter."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safebox.firewall.control.client import ControlClient
from safebox.firewall.control.wire import ControlError
from tests.bench.firewall import MANDATE
from tests.bench.report import Report
from tests.real_parts import find

ROUNDS = 9
HELP_ROUNDS = 21
REFILL_SECONDS = 1.5
"""Before each command of the warm measure: the pool makes the next sandbox half a second after it gave one away."""
BIN = Path(sys.executable).parent


def _seconds(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    took = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return took


def _in_turn(rounds: int, first: Callable[[], float], second: Callable[[], float]) -> list[tuple[float, float]]:
    first()
    second()
    return [(first(), second()) for _ in range(rounds)]


def measure_help(report: Report) -> None:
    """Measure `help`."""
    command, bare = [str(BIN / "safebox"), "--help"], [sys.executable, "-c", ""]
    pairs = _in_turn(HELP_ROUNDS, lambda: _seconds(command), lambda: _seconds(bare))
    report.ratio("help", statistics.median(ours / theirs for ours, theirs in pairs))
    report.figure("help_ms", statistics.median(ours for ours, _ in pairs) * 1000, "ms")


def measure_run(report: Report) -> None:
    """Measure `run_cold` and `run_warm`: a run under a firewall that is up, without and with a sandbox made ahead."""
    docker = find("docker")
    for name, ahead, pause in (("run_cold", 0, 0.0), ("run_warm", 1, REFILL_SECONDS)):
        if not docker.usable:
            report.leave_out(name, f"docker is {docker.wrong}")
            continue
        pairs = _runs(ahead, pause)
        report.ratio(name, statistics.median(ours / theirs for ours, theirs in pairs))
        report.figure(f"{name}_ms", statistics.median(ours for ours, _ in pairs) * 1000, "ms")
        report.figure(f"{name}_docker_ms", statistics.median(theirs for _, theirs in pairs) * 1000, "ms")


def _runs(ahead: int, pause: float) -> list[tuple[float, float]]:
    """Times of `safebox run` under a firewall that keeps so many sandboxes ready, and of `docker run`, in turn."""
    with (
        tempfile.TemporaryDirectory(prefix="sb-") as state,
        tempfile.TemporaryDirectory(prefix="sb-") as folder,
        tempfile.TemporaryDirectory(prefix="sb-") as bytecode,
    ):
        Path(folder).chmod(0o755)  # the agent has another uid
        (Path(folder) / "safebox.toml").write_text(MANDATE.replace('inbox = "inbox"\n', ""), encoding="utf-8")
        environment = {**os.environ, "SAFEBOX_HOME": state, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
        safebox = str(BIN / "safebox")
        serving = subprocess.Popen(
            [safebox, "serve", "--engine", "docker", "--warm", str(ahead)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(Path(state) / "control.sock")
            run = [safebox, "run", folder, "--engine", "docker", "--", "true"]
            bare = ["docker", "run", "--rm", "--network", "none", "safebox/base", "true"]
            return _in_turn(ROUNDS, lambda: _after(pause, run, environment), lambda: _after(pause, bare))
        finally:
            serving.terminate()
            serving.wait(60)


def _after(pause: float, command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """Wait until nothing is made ahead any more, then take the time."""
    time.sleep(pause)
    return _seconds(command, environment)


def _wait(control: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with ControlClient(control) as client:
                client.request("status")
                return
        except ControlError:
            time.sleep(0.05)
    raise RuntimeError("the firewall did not start")
