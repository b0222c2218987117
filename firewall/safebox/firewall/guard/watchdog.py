"""Ends this process when it computes too long, by timers of the kernel, which need no interpreter lock.

The policy engine holds the interpreter's lock while it evaluates: no thread and no task of this process could stop it.
So two timers of the kernel count the processor time that the process takes, and the signal they send ends it, after
`faulthandler`'s handler, which is C and takes no lock, has written where every thread was.

- around each evaluation: `EVALUATION_SECONDS`, armed and disarmed with one system call each;
- for everything else the loop does: `LOOP_SECONDS`, wound up again at each beat of the loop.

Processor time, not real time: a machine under load, a process that was stopped (SIGSTOP) or frozen, and a slow disk end
no firewall. Children inherit neither timers nor handlers.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from safebox.firewall.guard.mark import Mark

EVALUATION_SECONDS: Final = 1.0
"""Ten thousand times an ordinary evaluation. The pack takes 0.04 s over the largest input."""
SLOW_SECONDS: Final = 0.05
"""From here on an evaluation is put to its run's account."""
LOOP_SECONDS: Final = 15.0
"""Between two beats. The largest payloads keep the detectors busy for a few seconds."""
BEAT_SECONDS: Final = 1.0
EVALUATION_SIGNAL: Final = signal.SIGPROF
LOOP_SIGNAL: Final = signal.SIGVTALRM


class Evaluation:
    """A context in which this process may compute for `EVALUATION_SECONDS`; tells `slow` how long it did, if long.

    One for all evaluations: they never overlap, because an evaluation gives up neither the loop nor the lock.
    """

    def __init__(self) -> None:
        self.slow: Callable[[float], None] = lambda _seconds: None

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, EVALUATION_SECONDS)

    def __exit__(self, *_: object) -> None:
        left = signal.setitimer(signal.ITIMER_PROF, 0)[0]
        if left < EVALUATION_SECONDS - SLOW_SECONDS:
            self.slow(EVALUATION_SECONDS - left)


class Watchdog:
    """Guards one firewall process; only one is in a process.

    Args:
        home: the state folder, where the mark is left.

    Raises:
        FirewallError: if the mark can't be kept there.
    """

    def __init__(self, home: Path) -> None:
        self.mark = Mark.open(home)
        self.evaluation = Evaluation()
        faulthandler.enable(self.mark.handle, all_threads=True)
        for number in (EVALUATION_SIGNAL, LOOP_SIGNAL):
            signal.signal(number, signal.SIG_DFL)
            faulthandler.register(number, self.mark.handle, all_threads=True, chain=True)

    def beat(self) -> None:
        """Say that the loop goes round."""
        signal.setitimer(signal.ITIMER_VIRTUAL, LOOP_SECONDS)

    def close(self) -> None:
        """Let go of the timers, and leave nothing behind."""
        for timer in (signal.ITIMER_PROF, signal.ITIMER_VIRTUAL):
            signal.setitimer(timer, 0)
        for number in (EVALUATION_SIGNAL, LOOP_SIGNAL):
            faulthandler.unregister(number)
        faulthandler.disable()
        with contextlib.suppress(OSError):
            self.mark.close()
