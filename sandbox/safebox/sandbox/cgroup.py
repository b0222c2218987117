"""What the kernel counted for one sandbox: forks refused and processes killed for memory, on cgroup v1 and v2."""

from pathlib import Path
from typing import NamedTuple

MOUNT = Path("/sys/fs/cgroup")


def is_v2() -> bool:
    """Whether the host has the unified hierarchy only."""
    return (MOUNT / "cgroup.controllers").exists()


class Counters(NamedTuple):
    """The files of one sandbox's control groups; a file that can't be read counts nothing."""

    pids: Path | None
    memory: Path | None

    def forks_refused(self) -> int:
        """How often the process limit refused a fork."""
        return _read(self.pids, "pids.events", "max")

    def memory_kills(self) -> int:
        """How many processes the kernel ended because memory ran out."""
        return _read(self.memory, "memory.events" if is_v2() else "memory.oom_control", "oom_kill")


def counters_of(pid: int) -> Counters:
    """The counters of the control groups that a process on this host is in."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return Counters(None, None)
    places: dict[str, Path] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for each in controllers.split(","):
            places[each] = MOUNT / each / path.lstrip("/")
    if is_v2():
        unified = MOUNT / next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")
        return Counters(unified, unified)
    return Counters(places.get("pids"), places.get("memory"))


def _read(folder: Path | None, name: str, key: str) -> int:
    if folder is None:
        return 0
    try:
        text = (folder / name).read_text(encoding="ascii")
    except OSError:
        return 0
    return next(
        (int(value) for word, _, value in (line.partition(" ") for line in text.splitlines()) if word == key), 0
    )
