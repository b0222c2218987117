"""The commands about runs, on a run that is really there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.cli.program import Done, Program
from tests.real_parts import require

MANDATE = """
[agent]
name = "sleeper"
command = ["python", "-c", "import time; print('awake', flush=True); time.sleep(60)"]
purpose = "Sleep until somebody comes."
task = "Sleep."
expires = "5m"
"""
START_SECONDS = 180
"""The first run of a state folder copies and compiles the base image: a minute of a cold disk."""


@pytest.fixture
def engine() -> str:
    require("bwrap")
    return "bwrap"


@pytest.fixture
def run(safebox: Program, home: Path, engine: str) -> Iterator[subprocess.Popen[str]]:
    folder = home.parent / "sleeper"
    folder.mkdir()
    (folder / "safebox.toml").write_text(MANDATE)
    words = [sys.executable, "-m", "safebox.sandbox.cli", "run", str(folder), "--engine", engine, "--json"]
    environment = {**os.environ, "SAFEBOX_HOME": str(home)}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def until(look: Callable[[], Done], good: Callable[[Done], bool]) -> Done:
    end = time.monotonic() + START_SECONDS
    while not good(done := look()) and time.monotonic() < end:
        time.sleep(0.2)
    assert good(done), done
    return done


@pytest.mark.bwrap
def test_a_live_run_is_listed_its_log_followed_and_it_is_killed(
    safebox: Program, run: subprocess.Popen[str], home: Path
) -> None:
    listed = until(lambda: safebox("ps", "--json"), lambda done: '"state": "live"' in done.out)
    name = str(json.loads(listed.out)["run"])
    assert name in safebox("ps").out
    until(lambda: safebox("logs", name[-6:]), lambda done: done.out == "awake\n")

    follower = subprocess.Popen(
        [sys.executable, "-m", "safebox.sandbox.cli", "logs", "-f", name],
        env={**os.environ, "SAFEBOX_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    killed = safebox("kill", name[-6:])
    assert (killed.status, killed.out) == (0, f"stopped {name}\n")
    out, _ = run.communicate(timeout=START_SECONDS)
    happened = [json.loads(line) for line in out.splitlines()]
    assert happened[0]["event"] == "header"
    assert happened[-1]["event"] == "closing"
    assert run.returncode == 137
    assert follower.communicate(timeout=START_SECONDS)[0] == "awake\n"

    assert "killed" in safebox("ps", "--all").out
    assert safebox("kill", "--all").status in (0, 5)
    assert safebox("audit", "verify").status == 0
