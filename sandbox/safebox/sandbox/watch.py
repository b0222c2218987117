"""Why a sandbox ended: the first cause counts, and the limits that no kernel enforces are enforced here."""

import threading
import time
from collections.abc import Callable

from safebox.sandbox.cgroup import Counters
from safebox.sandbox.spec import Exit, ExitReason, Limits

LOOK_EVERY_SECONDS = 0.1
"""A fork bomb at its limit harms nobody but itself, so a tenth of a second is soon enough to end it."""


class Watch:
    """Ends one sandbox for the first cause that comes up, and remembers that cause."""

    def __init__(self, limits: Limits, stop: Callable[[], None]) -> None:
        """Watch nothing yet; `stop` ends every process of the sandbox and may be called from any thread."""
        self._limits = limits
        self._stop = stop
        self._lock = threading.Lock()
        self._cause: tuple[ExitReason, str] | None = None
        self._output = 0
        self.memory_kills = 0

    def end(self, reason: ExitReason, detail: str) -> None:
        """End the sandbox; only the first call's reason is kept."""
        with self._lock:
            if self._cause is None:
                self._cause = (reason, detail)
        self._stop()

    def pump(self, chunk: bytes, on_output: Callable[[bytes], None]) -> None:
        """Pass output on up to the limit. What is above is read and dropped until `until` ends the run.

        (Ending it from here would wait for itself: an engine ends a run only when its output is read.)
        """
        room = self._limits.log_bytes - self._output
        self._output += len(chunk)
        if room > 0:
            on_output(chunk[:room])

    def until(self, done: threading.Event, counters: Counters) -> None:
        """Look at the clock and the kernel's counters until `done` is set."""
        deadline = time.monotonic() + self._limits.wall_seconds
        while not done.wait(LOOK_EVERY_SECONDS):
            self.memory_kills = max(self.memory_kills, counters.memory_kills())
            if time.monotonic() > deadline:
                self.end("timeout", f"ran longer than {self._limits.wall_seconds} seconds")
            elif self._output > self._limits.log_bytes:
                self.end("log_limit", f"wrote more than {self._limits.log_bytes} bytes of output")
            elif counters.forks_refused():
                self.end("pids_limit", f"wanted more than {self._limits.pids} processes")

    def verdict(self, code: int, *, out_of_memory: bool) -> Exit:
        """The exit as the owner is told it."""
        if self._cause is not None:
            return Exit(code, *self._cause)
        if out_of_memory and code != 0:
            return Exit(code, "out_of_memory", f"used more than {self._limits.memory_bytes} bytes of memory")
        return Exit(code, "exited")
