"""The supervisor, in processes of its own: it starts again what ended by itself, and nothing that was told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.live import until
from tests.real_parts import ROOT

START = """
import os, signal, sys, time
from pathlib import Path
from safebox.firewall import supervisor as module
from safebox.firewall.errors import FirewallError
module.PAUSE_SECONDS = 0.01
"""
PROGRAM = """
try:
    ready = module.Supervisor().watch()
except FirewallError as error:
    print(error.cause, flush=True)
    sys.exit(5)
if isinstance(ready, int):
    sys.exit(ready)
log = Path(sys.argv[1])
number = len(log.read_text().split()) if log.exists() else 0
with log.open("a") as file:
    file.write(f"{os.getpid()}\\n")
def end(number):
    os.kill(os.getpid(), number)
    time.sleep(60)
"""


class Supervised:
    def __init__(self, log: Path, work: str, **constants: float) -> None:
        self.log = log
        changed = "".join(f"module.{name} = {value}\n" for name, value in constants.items())
        self.process = subprocess.Popen(
            [sys.executable, "-c", START + changed + PROGRAM + work, str(log)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def pids(self) -> list[int]:
        return [int(line) for line in self.log.read_text().split()] if self.log.exists() else []

    def end(self) -> tuple[int, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out + err


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "log"
    yield path
    for line in path.read_text().split() if path.exists() else ():
        with suppress(ProcessLookupError):
            os.kill(int(line), signal.SIGKILL)


def gone(pid: int) -> bool:
    with suppress(ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z" if Path(f"/proc/{pid}").exists() else True
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGPROF, signal.SIGVTALRM])
def test_what_ended_by_a_signal_is_started_again(log: Path, number: signal.Signals) -> None:
    supervised = Supervised(log, f"ready()\nend({int(number)}) if number < 2 else None\n")
    status, said = supervised.end()
    assert status == 0, said
    assert len(supervised.pids) == 3
    assert said.count("starting it again") == 2
    assert number.name in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_it_is_told_it_tells_on_and_ends_with_the_same_status(log: Path, number: signal.Signals) -> None:
    work = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nready()\ntry:\n  time.sleep(60)\n"
    work += "except KeyboardInterrupt:\n  sys.exit(130)\n"
    supervised = Supervised(log, work)
    until(lambda: supervised.pids, "it doesn't start")
    time.sleep(0.2)
    supervised.process.send_signal(number)
    status, said = supervised.end()
    assert status == (0 if number is signal.SIGTERM else 130), said
    assert len(supervised.pids) == 1


def test_told_to_end_while_it_waits_to_start_it_again_it_ends(log: Path) -> None:
    supervised = Supervised(log, "ready()\nsys.exit(5)\n", PAUSE_SECONDS=60, PAUSE_MAX=60)
    assert supervised.process.stderr is not None
    assert "starting it again" in supervised.process.stderr.readline()
    supervised.process.send_signal(signal.SIGTERM)
    status, _ = supervised.end()
    assert status == 128 + signal.SIGTERM


def test_a_firewall_that_says_why_it_cannot_start_is_believed_the_first_time(log: Path) -> None:
    supervised = Supervised(log, "print('wrong', flush=True)\nsys.exit(3)\n")
    assert supervised.end() == (3, "wrong\n")
    assert len(supervised.pids) == 1


def test_one_that_was_up_before_is_tried_again_before_it_is_given_up(log: Path) -> None:
    supervised = Supervised(log, "ready() if number == 0 else None\nsys.exit(5)\n")
    status, said = supervised.end()
    assert status == 5
    assert len(supervised.pids) == 9
    assert "the firewall ended 9 times soon after its start, at last with status 5" in said


def test_ends_by_the_watchdog_are_given_more_patience_but_not_for_ever(log: Path) -> None:
    supervised = Supervised(log, "ready()\nend(signal.SIGPROF)\n")
    status, said = supervised.end()
    assert status == 5
    assert len(supervised.pids) == 61
    assert "at last by its watchdog (SIGPROF)" in said


def test_one_that_lasted_is_not_held_against_it(log: Path) -> None:
    supervised = Supervised(log, "ready()\nend(signal.SIGKILL) if number < 20 else None\n", QUICK_SECONDS=0)
    status, said = supervised.end()
    assert status == 0, said
    assert len(supervised.pids) == 21


def test_no_firewall_outlives_its_supervisor(log: Path) -> None:
    supervised = Supervised(log, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nready()\nwhile True: pass\n")
    until(lambda: supervised.pids, "it doesn't start")
    supervised.process.kill()
    supervised.process.wait()
    (pid,) = supervised.pids
    until(lambda: gone(pid), "it lives on", 5)
    supervised.end()


def test_the_child_has_no_signal_blocked(log: Path) -> None:
    supervised = Supervised(log, "print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))\n")
    assert supervised.end() == (0, "set()\n")
