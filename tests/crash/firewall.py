"""The firewall that is killed: a process of its own over one state folder, and how long each start of it took."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from safebox.firewall.control.client import ControlClient
from safebox.firewall.control.wire import ControlError
from tests.live import Home, Started, until

LOOK_SECONDS = 0.005
READY_SECONDS = 60.0
"""A start that takes longer has failed, however slow the machine."""


class Firewall:
    """Starts, asks and kills one firewall after the other."""

    def __init__(self, home: Home, arguments: tuple[str, ...]) -> None:
        self._home, self._arguments = home, arguments
        self._started: Started | None = None
        self._victims: list[int] = []
        self._since = 0.0
        self._after: str | None = None
        self.starts: list[tuple[str, float]] = []

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The one that was started last."""
        assert self._started is not None
        return self._started.process

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def start(self, after: str | None = None) -> None:
        """Start the program and don't wait for it; `after` says what it recovers from, if its time is to be noted."""
        self._since, self._after = time.monotonic(), after
        self._started = self._home.start("serve", *self._arguments)

    def wait_ready(self) -> bool:
        """Wait until it says that it is ready, and note once how long that took; false if it was killed meanwhile."""
        while time.monotonic() < self._since + READY_SECONDS:
            if self._ready():
                if self._after is not None:
                    self.starts.append((self._after, time.monotonic() - self._since))
                    self._after = None
                return True
            if not self.alive:
                assert self.process.returncode == -9, f"a firewall ended by itself\n{self.log()}"
                return False
            time.sleep(LOOK_SECONDS)
        raise AssertionError(f"no firewall was ready within {READY_SECONDS} s\n{self.log()}")

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask for one thing over the control socket."""
        with self._home.client() as client:
            return client.request(op, **fields)

    def striker(self) -> Callable[[], None]:
        """What kills this firewall, and no later one."""
        process, victims = self.process, self._victims

        def strike() -> None:
            victims.extend(_strike(process))

        return strike

    def kill(self) -> None:
        """SIGKILL, if that has not happened yet; wait until nothing of it runs."""
        if self._started is not None:
            self._victims += _strike(self.process)
            self.process.wait()
            until(lambda: not any(map(_runs, self._victims)), "a firewall doesn't die")
            self._victims.clear()

    def log(self) -> str:
        """What it said last."""
        return "" if self._started is None else self._started.err[-3000:]

    def _ready(self) -> bool:
        with suppress(ControlError), ControlClient(self._home.path / "control.sock") as client:
            return bool(client.request("status")["ready"])
        return False


def _strike(process: subprocess.Popen[bytes]) -> list[int]:
    """SIGKILL for a firewall, and at once for its supervisor, which would start another; which firewalls that was."""
    victims: list[int] = []
    with suppress(OSError):
        victims = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.kill()
    return victims


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
