"""What the two containers of a sandbox look like, in the Docker Engine API's own terms.

Pure: a spec in, JSON out. Read this file to know exactly what an agent's container may do.
"""

import functools
import time
from pathlib import Path
from typing import Any

from safebox.sandbox.owner import owner_mark
from safebox.sandbox.spec import MIB, Limits, SandboxSpec

Json = dict[str, Any]

AGENT_UID = 65534
"""nobody: owns no file of any image."""
HOLDER_UID = 65533
"""Another nobody, so that the agent can neither signal the holder nor look into its files through /proc."""

RUN = "safebox.run"
ROLE = "safebox.role"
OWNER = "safebox.owner"
UNTIL = "safebox.until"
"""Label of a detached sandbox: seconds since 1970 after which anybody may remove it."""
LABEL = "safebox.label."

HOLDER_MEMORY = 64 * MIB
"""A Python with only sockets needs 10 MiB; the rest is for the container runtime's own start."""
HOLDER_PIDS = 32
"""One process; the container runtime's start needs a dozen threads for a moment."""
SHM_BYTES = 64 * MIB
"""Shared memory in /dev/shm, Docker's own default; it counts towards the memory limit."""
KEPT_OUTPUT = "1m"
"""What the engine keeps of the output on disk, twice: enough for the last 64 KiB, whatever was written."""
SOCKET_FOLDER = "/run/owner"
HOSTS = Path(__file__).parent / "hosts"
"""Gives `localhost` its meaning in any image, for Docker writes no /etc/hosts where it makes no network."""

_MASKED = [
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/proc/interrupts", "/proc/kallsyms", "/proc/modules",
    "/proc/config.gz", "/proc/diskstats", "/proc/partitions", "/proc/mdstat", "/proc/swaps", "/proc/cmdline",
    "/sys/firmware", "/sys/kernel", "/sys/devices/virtual/powercap", "/sys/class/dmi", "/sys/devices/virtual/dmi",
    "/sys/fs",
]  # fmt: skip
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


@functools.cache
def holder_source() -> str:
    """The holder's program, handed to the image's Python on its command line: nothing has to be mounted for it."""
    return (Path(__file__).parent / "holder.py").read_text(encoding="utf-8")


@functools.cache
def seccomp_profile() -> str:
    """What `seccomp.docker_profile()` says, from the file it is kept in; a test compares the two."""
    return (Path(__file__).parents[1] / "seccomp.json").read_text(encoding="ascii")


def labels_of(spec: SandboxSpec) -> dict[str, str]:
    """What both containers of a sandbox carry."""
    labels = {LABEL + key: value for key, value in spec.labels.items()} | own_labels(spec.run_id)
    if spec.detached:
        labels[UNTIL] = str(int(time.time()) + spec.limits.wall_seconds)
    return labels


def own_labels(run: str) -> dict[str, str]:
    """What says whose a container is."""
    return {RUN: run, OWNER: owner_mark()}


def _hardened(memory: int, pids: int, cpus: float, files: int, file_bytes: int) -> Json:
    """What holds for both containers."""
    return {
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", "seccomp=" + seccomp_profile()],
        "Memory": memory,
        "MemorySwap": memory,
        "PidsLimit": pids,
        "NanoCpus": int(cpus * 1_000_000_000),
        "Ulimits": [
            {"Name": "nofile", "Soft": files, "Hard": files},
            {"Name": "fsize", "Soft": file_bytes, "Hard": file_bytes},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "memlock", "Soft": 65536, "Hard": 65536},
        ],
        "IpcMode": "private",
        "ShmSize": SHM_BYTES,
        "MaskedPaths": _MASKED,
        "ReadonlyPaths": _READ_ONLY,
        "LogConfig": {"Type": "local", "Config": {"max-size": KEPT_OUTPUT, "max-file": "2", "compress": "false"}},
        "RestartPolicy": {"Name": "no"},
        "Privileged": False,
        "PublishAllPorts": False,
        "AutoRemove": False,
    }


def holder_config(
    image: str, labels: dict[str, str], ports: tuple[int, ...], seconds: int, socket_folder: Path | None
) -> Json:
    """The container that owns the network and process namespaces; `socket_folder` is on the host.

    `NetworkDisabled` keeps Docker's own network code out: the kernel's new namespace with nothing but `lo` stays as it
    is. That halves the start, and there is one program less that could add something to it.
    """
    path = "" if socket_folder is None else SOCKET_FOLDER + "/owner"
    program = ["python3", "-I", "-S", "-c", holder_source(), path, str(seconds), *map(str, ports)]
    host = _hardened(HOLDER_MEMORY, HOLDER_PIDS, 1.0, 64, MIB) | {
        "NetworkMode": "none",
        "Mounts": [] if socket_folder is None else [_mount(socket_folder, SOCKET_FOLDER)],
        "AutoRemove": True,
    }
    return {
        "Image": image,
        "Entrypoint": program[:1],
        "Cmd": program[1:],
        "User": f"{HOLDER_UID}:{HOLDER_UID}",
        "Hostname": "sandbox",
        "NetworkDisabled": True,
        "WorkingDir": "/",
        "Labels": labels | {ROLE: "holder"},
        "HostConfig": host,
    }


LATE_SECONDS = 30
"""The owner ends a run at its limit and says so; the holder's own clock, later by this, is for an owner that hangs."""


def agent_config(spec: SandboxSpec, holder: str, input_file: Path | None) -> Json:
    """The container the agent's command runs in; it joins the holder's namespaces."""
    limits = spec.limits
    mounts = [] if spec.detached else [_mount(HOSTS, "/etc/hosts")]
    if spec.folder is not None:
        mounts.append(_mount(spec.folder, "/agent"))
    if input_file is not None:
        mounts.append(_mount(input_file, "/job/input"))
    host = _hardened(limits.memory_bytes, limits.pids, limits.cpus, limits.open_files, limits.file_bytes) | {
        "NetworkMode": f"container:{holder}",
        "PidMode": f"container:{holder}",
        "Mounts": mounts,
        "Tmpfs": {"/work": _tmpfs(limits, "exec,mode=0700"), "/tmp": _tmpfs(limits, "noexec,mode=1777")},  # noqa: S108
        "OomScoreAdj": 500,
    }
    return {
        "Image": spec.image,
        "Entrypoint": list(spec.command[:1]),
        "Cmd": list(spec.command[1:]),
        "User": f"{AGENT_UID}:{AGENT_UID}",
        "WorkingDir": "/agent" if spec.folder is not None else "/work",
        "Env": [f"{key}={value}" for key, value in _environment(spec).items()],
        "Labels": labels_of(spec) | {ROLE: "agent"},
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": host,
    }


def _environment(spec: SandboxSpec) -> dict[str, str]:
    """The spec's variables over the places a program may write to."""
    return {"HOME": "/work", "TMPDIR": "/work", "USER": "nobody"} | dict(spec.env)


def _tmpfs(limits: Limits, more: str) -> str:
    owner = f"uid={AGENT_UID},gid={AGENT_UID}"
    return f"rw,nosuid,nodev,size={limits.work_bytes},nr_inodes={limits.work_inodes},{owner},{more}"


def _mount(source: Path, target: str) -> Json:
    return {
        "Type": "bind",
        "Source": str(source),
        "Target": target,
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
    }
