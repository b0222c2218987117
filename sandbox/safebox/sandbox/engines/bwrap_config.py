"""What a bubblewrap sandbox looks like: the orders for the keeper and bubblewrap's own arguments.

Pure but for looking which /proc entries exist. Read this file to know exactly what an agent may do there.
"""

import base64
import os
from pathlib import Path
from typing import Any

from safebox.sandbox.image import IMAGE_ENV
from safebox.sandbox.seccomp import bpf_filter
from safebox.sandbox.spec import MIB, SandboxSpec

AGENT_UID = 65534
"""nobody, inside; outside it is a uid that nothing else has (as root), or the user who runs safebox."""
SHM_BYTES = 64 * MIB
"""Shared memory in /dev/shm, as large as Docker makes it."""
LATE_SECONDS = 30
"""The owner ends a run at its limit and says so; the keeper's own clock, later by this, is for an owner that hangs."""

_MASKED = (
    "acpi", "asound", "cmdline", "config.gz", "diskstats", "interrupts", "kallsyms", "kcore", "keys", "key-users",
    "kmsg", "latency_stats", "mdstat", "modules", "partitions", "sched_debug", "scsi", "swaps", "timer_list",
    "timer_stats",
)  # fmt: skip

Json = dict[str, Any]


def arguments(spec: SandboxSpec) -> list[str]:
    """Bubblewrap's arguments; sources are on the keeper's stage."""
    line = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    line += ["--disable-userns", "--uid", str(AGENT_UID), "--gid", str(AGENT_UID), "--hostname", "sandbox"]
    line += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    line += ["--ro-bind", "/tmp/root", "/", "--proc", "/proc"]  # noqa: S108 - the keeper's private stage
    line += [*_masks(), "--remount-ro", "/proc"]
    line += ["--dev", "/dev", "--bind", "/tmp/shm", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
    line += ["--bind", "/tmp/work", "/work", "--bind", "/tmp/tmp", "/tmp"]  # noqa: S108
    if spec.folder is not None:
        line += ["--ro-bind", "/tmp/agent", "/agent"]  # noqa: S108
    if spec.input is not None:
        line += ["--ro-bind", "/tmp/job", "/job"]  # noqa: S108
    for name, value in environment(spec).items():
        line += ["--setenv", name, value]
    return [*line, "--chdir", "/agent" if spec.folder is not None else "/work"]


def environment(spec: SandboxSpec) -> dict[str, str]:
    """The image's variables, the places a program may write to, and over them the spec's own."""
    return IMAGE_ENV | {"HOME": "/work", "TMPDIR": "/work", "USER": "nobody"} | dict(spec.env)


def _masks() -> list[str]:
    line: list[str] = []
    for name in _MASKED:
        path = f"/proc/{name}"
        if os.path.isdir(path):
            line += ["--tmpfs", path, "--remount-ro", path]
        elif os.path.exists(path):
            line += ["--ro-bind", "/dev/null", path]
    return line


def orders(spec: SandboxSpec, tree: Path, bwrap: str, groups: list[str] | None, outside: int | None) -> Json:
    """The keeper's configuration; without control groups, rlimits bound what they can."""
    limits = spec.limits
    size = f"size={limits.work_bytes},nr_inodes={limits.work_inodes}"
    sources = {"root": str(tree)} | ({"agent": str(spec.folder)} if spec.folder is not None else {})
    return {
        "bwrap": bwrap,
        "groups": groups or [],
        "outside": outside,
        "sources": sources,
        "input": None if spec.input is None else base64.b64encode(spec.input).decode(),
        "tmpfs": {
            "work": [f"{size},mode=0700", False],
            "tmp": [f"{size},mode=1777", True],
            "shm": [f"size={SHM_BYTES},nr_inodes=1024,mode=1777", True],
        },
        "ports": list(spec.ports),
        "rlimits": _rlimits(spec, whole=groups is not None),
        "seccomp": base64.b64encode(bpf_filter()).decode(),
        "arguments": arguments(spec),
        "command": list(spec.command),
        "seconds": limits.wall_seconds + (0 if spec.detached else LATE_SECONDS),
        "log_bytes": limits.log_bytes,
        "detached": spec.detached,
        "output": None,
        "state": None,
    }


def _rlimits(spec: SandboxSpec, *, whole: bool) -> dict[str, int]:
    limits = spec.limits
    bounds = {
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 65536,
    }
    if not whole:
        bounds |= {
            "RLIMIT_AS": limits.memory_bytes,
            "RLIMIT_NPROC": limits.pids,
            "RLIMIT_CPU": max(1, int(limits.wall_seconds * limits.cpus)),
        }
    return bounds
