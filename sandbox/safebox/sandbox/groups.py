"""Control groups for engines that bring none of their own: memory, processes and CPU of one sandbox as a whole.

Works where the kernel's files are writable: as root, and on cgroup v2 for a user whose part of the tree is delegated
(systemd does that for desktop sessions). Elsewhere `make_group` returns None and the engine falls back to rlimits.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from safebox.sandbox.cgroup import MOUNT, Counters, is_v2
from safebox.sandbox.spec import Limits

PERIOD_MICROSECONDS = 100_000
"""The kernel's default accounting period for CPU quotas."""
KEEPER_PIDS = 4
"""The keeper, bubblewrap, its process 1 and its child count with the agent's processes."""
_V1_CONTROLLERS = ("memory", "pids", "cpu", "freezer")
_V2_CONTROLLERS = "+memory +pids +cpu"
_EMPTY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Group:
    """One sandbox's control groups: one folder on v2, one per controller on v1."""

    folders: tuple[Path, ...]
    v2: bool

    @property
    def counters(self) -> Counters:
        """Where the kernel counts refused forks and memory kills."""
        return Counters(self._folder("pids"), self._folder("memory"))

    @property
    def procs(self) -> list[str]:
        """The files a process writes `0` to in order to join."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def freeze(self, *, frozen: bool) -> None:
        """Stop every process of the group from running, or let them run on."""
        if self.v2:
            (self.folders[0] / "cgroup.freeze").write_text("1" if frozen else "0")
        else:
            (self._folder("freezer") / "freezer.state").write_text("FROZEN" if frozen else "THAWED")

    def remove(self) -> None:
        """Kill what is left in it and remove it; gone already is fine."""
        with contextlib.suppress(OSError):
            self.freeze(frozen=False)
        end = time.monotonic() + _EMPTY_SECONDS
        while self._kill_all() and time.monotonic() < end:
            time.sleep(0.005)
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _kill_all(self) -> bool:
        pids: set[int] = set()
        for folder in self.folders:
            with contextlib.suppress(OSError):
                pids.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def _folder(self, controller: str) -> Path:
        if self.v2:
            return self.folders[0]
        return next(folder for folder in self.folders if folder.parent.parent.name == controller)


def make_group(name: str, limits: Limits) -> Group | None:
    """Make the control groups of one sandbox and set its limits; None where that isn't allowed."""
    group = _place(name)
    try:
        for folder in group.folders:
            folder.mkdir(parents=True)
        for path, value in _settings(group, limits):
            path.write_text(str(value))
        _forbid_swap(group, limits)
    except (OSError, StopIteration):
        group.remove()
        return None
    return group


def planned_group(name: str) -> Group:
    """Where `make_group` would make the groups of this sandbox, if it may."""
    return _place(name)


def group_at(folders: list[str]) -> Group:
    """The group a state file names."""
    return Group(tuple(Path(each) for each in folders), v2=len(folders) == 1)


def _place(name: str) -> Group:
    if not is_v2():
        return Group(tuple(MOUNT / each / "safebox" / name for each in _V1_CONTROLLERS), v2=False)
    parent = MOUNT / "safebox" if os.geteuid() == 0 else _delegated()
    with contextlib.suppress(OSError):
        parent.mkdir(exist_ok=True)
        for each in (parent.parent, parent):
            if os.geteuid() == 0 or each == parent:
                (each / "cgroup.subtree_control").write_text(_V2_CONTROLLERS)
    return Group((parent / f"safebox-{name}",), v2=True)


def _delegated() -> Path:
    """Beside the group this process is in: below it no group with processes may have controllers."""
    own = Path("/proc/self/cgroup").read_text(encoding="utf-8").strip().rpartition("0::")[2]
    return (MOUNT / own.lstrip("/")).parent


def _settings(group: Group, limits: Limits) -> list[tuple[Path, object]]:
    quota = int(limits.cpus * PERIOD_MICROSECONDS)
    if group.v2:
        folder = group.folders[0]
        return [
            (folder / "memory.max", limits.memory_bytes),
            (folder / "pids.max", limits.pids + KEEPER_PIDS),
            (folder / "cpu.max", f"{quota} {PERIOD_MICROSECONDS}"),
        ]
    memory, pids, cpu, _ = group.folders
    return [
        (memory / "memory.limit_in_bytes", limits.memory_bytes),
        (pids / "pids.max", limits.pids + KEEPER_PIDS),
        (cpu / "cpu.cfs_period_us", PERIOD_MICROSECONDS),
        (cpu / "cpu.cfs_quota_us", quota),
    ]


def _forbid_swap(group: Group, limits: Limits) -> None:
    """Where the kernel accounts for swap at all, allow none; a kernel without that file has none to account for."""
    if group.v2:
        path, value = group.folders[0] / "memory.swap.max", 0
    else:
        path, value = group.folders[0] / "memory.memsw.limit_in_bytes", limits.memory_bytes
    if path.exists():
        path.write_text(str(value))
