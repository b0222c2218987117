"""Keeps a firewall up: a small parent process that starts it again whenever it ends without having been told to.

Rule 1: the parent imports nothing, opens nothing and has one thread. It only waits for signals.
Rule 2: what the parent is told (SIGTERM, SIGINT, SIGHUP) it tells the firewall, whose end is then the end.
Rule 3: the firewall dies with its parent (the kernel sees to that), so none is ever left without.
Rule 4: what a restart can't mend isn't restarted: a firewall that says why it can't start is believed the first time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from safebox.firewall.errors import FirewallError

QUICK_SECONDS: Final = 30.0
"""A firewall that ends sooner than this was not worth starting; two in a row wait longer in between."""
FAILURES_MAX: Final = 8
"""Quick ends in a row until this gives up: with the pauses between them, half a minute after the first."""
STALLS_MAX: Final = 60
"""The same for ends by the watchdog. Each has a culprit, and a run has three: twenty hostile runs at once."""
PAUSE_SECONDS: Final = 0.2
PAUSE_MAX: Final = 10.0
WATCHDOG: Final = (signal.SIGPROF, signal.SIGVTALRM)
_TOLD: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_HEARD: Final = {*_TOLD, signal.SIGCHLD}
_SET_PDEATHSIG: Final = 1


class Child(NamedTuple):
    """A firewall that was started: its process, what it says when it is ready, when it was started."""

    pid: int
    ready: int
    started: float


class Ready:
    """In the firewall's process: says once that it answers."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __call__(self) -> None:
        """Tell the supervisor."""
        os.write(self._handle, b"!")
        os.close(self._handle)


class Supervisor:
    """Starts firewalls one after the other. Use it once, in a process with one thread."""

    def __init__(self) -> None:
        self._told = 0
        self._was_ready = False
        self._failures = 0
        self._stalls = 0

    def watch(self) -> Ready | int:
        """Go on as the firewall, or come back in the parent with its exit status when all is over.

        Returns:
            in the firewall's process: what to call when it is ready; in the parent: the exit status.

        Raises:
            FirewallError: in the parent, when it gives up.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        while True:
            child = _fork()
            if isinstance(child, Ready):
                return child
            status = self._wait(child)
            pause = self._judge(child, status)
            if pause is None:
                return status if status >= 0 else 128 - status
            self._rest(pause)
            if self._told:
                return 128 + self._told

    def _wait(self, child: Child) -> int:
        """Wait for the firewall's end, passing on what this process is told; its status, or the signal as -N."""
        while True:
            number = signal.sigwait(_HEARD)
            if number != signal.SIGCHLD:
                self._told = self._told or number
                os.kill(child.pid, number)
                continue
            ended = dict(_reaped())
            if child.pid in ended:
                return os.waitstatus_to_exitcode(ended[child.pid])

    def _judge(self, child: Child, status: int) -> float | None:
        """How long to wait before the next start; None if there is to be none.

        Raises:
            FirewallError: if it ended too often.
        """
        self._was_ready = _heard(child.ready) or self._was_ready
        if self._told or status == 0 or (status > 0 and not self._was_ready):
            return None
        if time.monotonic() - child.started > QUICK_SECONDS:
            self._failures = self._stalls = 0
        stalled = -status in WATCHDOG
        self._stalls += stalled
        self._failures += not stalled
        how = _how(status)
        if self._failures > FAILURES_MAX or self._stalls > STALLS_MAX:
            raise FirewallError(
                f"the firewall ended {self._failures + self._stalls} times soon after its start, at last {how}",
                remedy="what it said is above; safebox doctor and safebox audit verify look for causes",
            )
        _say(f"the firewall ended {how}; starting it again")
        return 0.0 if stalled else min(PAUSE_MAX, PAUSE_SECONDS * 2 ** (self._failures - 1))

    def _rest(self, seconds: float) -> None:
        found = signal.sigtimedwait(_TOLD, seconds)
        if found is not None:
            self._told = found.si_signo


def _fork() -> Child | Ready:
    said, says = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(says)
        return Child(pid, said, time.monotonic())
    os.close(said)
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before it could take this one along
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
    return Ready(says)


def _reaped() -> Iterator[tuple[int, int]]:
    """Every child that has ended, adopted ones too: in a container this may be process 1."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


def _heard(ready: int) -> bool:
    try:
        return bool(os.read(ready, 1))
    except BlockingIOError:
        return False
    finally:
        os.close(ready)


def _how(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    number = signal.Signals(-status)
    return f"by its watchdog ({number.name})" if number in WATCHDOG else f"by {number.name}"


def _say(text: str) -> None:
    sys.stderr.write(f"safebox: {text}\n")
    sys.stderr.flush()
