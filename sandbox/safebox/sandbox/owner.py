"""Who made a sandbox, so that leftovers of a dead owner can be told from the work of a live one.

A process id alone is reused; with its start time, the boot and the process namespace it names one process for ever.
"""

import contextlib
import os
import signal
from pathlib import Path

_START_FIELD = 19
"""Field 22 of /proc/PID/stat (proc(5)), counted after the name, which is cut off because it may hold spaces."""


def _start_time(pid: int) -> str | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    after_name = text.rpartition(")")[2].split()
    return None if after_name[0] in {"Z", "X"} else after_name[_START_FIELD]


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _namespace() -> str:
    return os.readlink("/proc/self/ns/pid").removeprefix("pid:[").removesuffix("]")


def owner_mark(pid: int | None = None) -> str:
    """The mark of a process (this one by default): `PID-START-NAMESPACE-BOOT`."""
    pid = os.getpid() if pid is None else pid
    return f"{pid}-{_start_time(pid) or 0}-{_namespace()}-{_boot()}"


def owner_is_dead(mark: str) -> bool:
    """Whether the marked process has certainly ended.

    Fails closed: a mark that can't be judged from here (malformed, another process namespace) counts as alive.
    """
    parts = mark.split("-", 3)
    if len(parts) != 4 or not parts[0].isdigit() or int(parts[0]) <= 0:  # noqa: PLR2004 - the four parts
        return False
    pid, start, namespace, boot = parts
    if boot != _boot():
        return True
    if namespace != _namespace():
        return False
    return _start_time(int(pid)) != start


def end_process(mark: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to exactly the process the mark names; gone already is fine."""
    if not mark or owner_is_dead(mark):
        return
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(int(mark.partition("-")[0]))
        try:
            if not owner_is_dead(mark):
                signal.pidfd_send_signal(pidfd, number)
        finally:
            os.close(pidfd)
