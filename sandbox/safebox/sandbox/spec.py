"""What a sandbox is: the values an engine builds one from, and the refusal of weak ones.

Everything here is a value. A `SandboxSpec` that exists is one an engine may build: limits are never absent, the
folder is never a system folder, and no port needs a privilege. (Named tuples, because importing `dataclasses` takes a
tenth of the time in which a run starts. Type checkers are shown the constructor of the plain tuple below each.)
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from safebox.sandbox.errors import SandboxError

MIB = 1024 * 1024

BASE_IMAGE = "safebox/base"
"""The image that is made here, from this machine's Python."""

MEMORY_BYTES = 1024 * MIB
"""A LangChain agent needs 150 MiB, one with web3 and openai 250: four of that kind fit."""
PIDS = 256
"""Threads count. A Python agent with thread pools uses about 40; a fork bomb reaches this in milliseconds."""
CPUS = 1.0
"""One core: an agent waits for its model most of the time, and a busy loop leaves the rest to everybody else."""
WORK_BYTES = 256 * MIB
"""/work and /tmp live in memory and count towards it, so each stays well below MEMORY_BYTES."""
WORK_INODES = 16_384
"""Files in /work (and as many in /tmp). A checkout of a large project fits; each costs about 1 KiB of kernel memory."""
FILE_BYTES = 128 * MIB
"""The largest single file: half of /work, so one runaway file leaves room for the rest."""
OPEN_FILES = 1024
"""Descriptors of one process: select() breaks above this, and no agent needs more."""
LOG_BYTES = 16 * MIB
"""Output kept of one run: hours of chatty logs; a print loop reaches it in seconds and ends the run."""
WALL_SECONDS = 3600
"""One hour, the span a person still watches. A mandate that needs longer says so."""

LOWEST_PORT = 1024
"""Ports below need a privilege inside the sandbox, and nothing there has one."""
MOST_PORTS = 16
"""More than all gateways together; bounds what one message of the handover carries."""
MOST_ENV_BYTES = 128 * 1024
"""The kernel's own limit for one string (MAX_ARG_STRLEN), here for the whole environment."""
MOST_INPUT_BYTES = 16 * MIB
"""What a bought container may be given to read: it is held in memory on the way."""
MOST_FOLDER_ENTRIES = 50_000
"""Entries looked at in the agent's folder before it is refused as no agent's folder (a home, a disk)."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]{0,254}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SYSTEM_FOLDERS = ("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/proc", "/root")
_SYSTEM_TREES = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/var/run", "/var/lib/docker")


def _refuse(cause: str, remedy: str) -> SandboxError:
    return SandboxError(cause, remedy, "sandbox.spec_refused")


class _Limits(NamedTuple):
    memory_bytes: int = MEMORY_BYTES
    pids: int = PIDS
    cpus: float = CPUS
    work_bytes: int = WORK_BYTES
    work_inodes: int = WORK_INODES
    file_bytes: int = FILE_BYTES
    open_files: int = OPEN_FILES
    log_bytes: int = LOG_BYTES
    wall_seconds: int = WALL_SECONDS


class Limits(_Limits):
    """What one sandbox may use at most. Bytes, counts, cores and seconds; none of them can be switched off.

    Raises:
        SandboxError: a limit is no number, or one that can't be meant.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        def __new__(cls, *values: Any, **named: Any) -> Self:
            """Refuse what can't be meant."""
            limits = super().__new__(cls, *values, **named)
            for name, value in limits._asdict().items():
                _check_limit(name, value)
            return limits


_BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "memory_bytes": (16 * MIB, 1024 * 1024 * MIB),
        "pids": (4, 32_768),
        "cpus": (0.05, 1024),
        "work_bytes": (MIB, 1024 * 1024 * MIB),
        "work_inodes": (64, 16_777_216),
        "file_bytes": (64 * 1024, 1024 * 1024 * MIB),
        "open_files": (32, 1_048_576),
        "log_bytes": (4096, 1024 * 1024 * MIB),
        "wall_seconds": (1, 366 * 86_400),
    }
)
"""The least with which a process starts at all, and more than any machine has: outside is a slip, not a wish."""


def _check_limit(name: str, value: object) -> None:
    low, high = _BOUNDS[name]
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole or (name == "cpus" and isinstance(value, float))):
        raise _refuse(f"the limit {name} is not a number: {value!r}", "give a whole number")
    assert isinstance(value, (int, float))  # noqa: S101 - narrows the type for the checker
    if not low <= value <= high:
        raise _refuse(f"the limit {name} is {value}", f"give a number from {low} to {high}")


DEFAULT_LIMITS = Limits()


class _SandboxSpec(NamedTuple):
    run_id: str
    image: str
    command: tuple[str, ...]
    folder: Path | None = None
    env: Mapping[str, str] = MappingProxyType({})
    limits: Limits = DEFAULT_LIMITS
    ports: tuple[int, ...] = ()
    labels: Mapping[str, str] = MappingProxyType({})
    input: bytes | None = None
    detached: bool = False


class SandboxSpec(_SandboxSpec):
    """Everything an engine needs to make one sandbox.

    `folder` is mounted read-only at /agent, `input` is readable at /job/input, `ports` are the listeners on the
    sandbox's own 127.0.0.1, in the order in which the engine hands them over. A `detached` sandbox isn't tied to
    the life of the process that made it: it ends by its own clock after `limits.wall_seconds`, and has no ports.

    Raises:
        SandboxError: the spec is malformed or would make a weak sandbox.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        def __new__(cls, *values: Any, **named: Any) -> Self:
            """Refuse what is weak, and keep copies of what could be changed later."""
            given = _SandboxSpec(*values, **named)
            _check_spec(given)
            own = {"env": MappingProxyType(dict(given.env)), "labels": MappingProxyType(dict(given.labels))}
            folder = None if given.folder is None else checked_folder(given.folder)
            return super().__new__(cls, **given._asdict() | own | {"folder": folder})


def _check_spec(spec: _SandboxSpec) -> None:
    _check_names(spec)
    _check_command(spec.command)
    _check_env(spec.env)
    _check_ports(spec.ports)
    if spec.detached and spec.ports:
        raise _refuse("a detached sandbox has ports", "nobody would serve them: leave ports empty")
    if spec.input is not None and len(spec.input) > MOST_INPUT_BYTES:
        raise _refuse(f"the input has {len(spec.input)} bytes", f"give at most {MOST_INPUT_BYTES}")


class Exit(NamedTuple):
    """How a sandbox ended: the command's exit code (128 + signal when a signal ended it) and why.

    Only `exited` means the command ended by itself.
    """

    code: int
    reason: "ExitReason"
    detail: str = ""


ExitReason = Literal["exited", "killed", "out_of_memory", "timeout", "pids_limit", "log_limit", "failed_to_start"]


def _check_names(spec: _SandboxSpec) -> None:
    if not _RUN_ID.fullmatch(spec.run_id):
        raise _refuse(f"the run id {spec.run_id!r} is malformed", "use up to 64 letters, digits, '_', '.' and '-'")
    if not _IMAGE.fullmatch(spec.image):
        raise _refuse(f"the image {spec.image!r} is malformed", "name an image like safebox/base")
    for key, value in spec.labels.items():
        if not _LABEL.fullmatch(key) or key.startswith("safebox.") or "\0" in value:
            raise _refuse(f"the label {key!r} is malformed or reserved", "use lower-case names without 'safebox.'")


def _check_command(command: object) -> None:
    if not isinstance(command, tuple) or not command:
        raise _refuse("the command is empty", "say what to run, for example: -- python3 main.py")
    for word in command:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(word, str) or "\0" in word or not _encodes(word):
            raise _refuse("the command has a word that is no text", "give a list of plain words")
    if not command[0]:
        raise _refuse("the command's first word is empty", "name a program")


def _check_env(env: Mapping[str, str]) -> None:
    size = 0
    for name, value in env.items():
        if not _ENV_NAME.fullmatch(name) or "\0" in value or not _encodes(value):
            raise _refuse(f"the environment variable {name!r} is malformed", "use letters, digits and '_'")
        size += len(name) + len(value.encode()) + 2
    if size > MOST_ENV_BYTES:
        raise _refuse(f"the environment has {size} bytes", f"pass at most {MOST_ENV_BYTES}; files go into the folder")


def _check_ports(ports: tuple[int, ...]) -> None:
    if len(set(ports)) != len(ports) or len(ports) > MOST_PORTS:
        raise _refuse(f"the ports {ports} repeat or are too many", f"give at most {MOST_PORTS} different ports")
    for port in ports:
        if isinstance(port, bool) or not LOWEST_PORT <= port <= 65_535:  # noqa: PLR2004 - the highest TCP port
            raise _refuse(f"the port {port} can't be served", f"use ports from {LOWEST_PORT} to 65535")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked_folder(folder: Path) -> Path:
    """The agent's folder with links resolved.

    Raises:
        SandboxError: it is missing, part of the system, somebody's whole home, holds safebox's own state, or
            contains a socket, pipe or device, through which a read-only mount could still be left.
    """
    try:
        real = folder.resolve(strict=True)
    except OSError as error:
        raise _refuse(f"the agent's folder {folder} can't be used: {error.strerror}", "name a folder") from error
    if not real.is_dir():
        raise _refuse(f"the agent's folder {folder} is no folder", "name the folder that holds the agent")
    _check_place(real)
    _check_contents(real)
    return real


def check_readable_by_others(spec: SandboxSpec) -> None:
    """Say before the start what would fail after it: the agent's uid owns nothing in the folder.

    Raises:
        SandboxError: others may not read the folder.
    """
    if spec.folder is not None and spec.folder.stat().st_mode & 0o005 != 0o005:  # noqa: PLR2004 - read and search
        raise _refuse(f"the agent's uid may not read {spec.folder}", f"chmod -R o+rX {spec.folder}")


def _check_place(real: Path) -> None:
    text = str(real)
    home = Path(os.path.expanduser("~")).resolve()
    state = Path(os.environ.get("SAFEBOX_HOME") or home / ".local/state/safebox").resolve()
    system = text in _SYSTEM_FOLDERS or any(real.is_relative_to(tree) for tree in _SYSTEM_TREES)
    if system or home.is_relative_to(real) or state.is_relative_to(real) or real.is_relative_to(state):
        raise _refuse(f"{real} is a system folder, a home, or holds safebox's own state", "use a folder of its own")
    if "," in text or "\n" in text:
        raise _refuse(f"the path {real!s} has a comma or a line break", "rename the folder")


def _check_contents(real: Path) -> None:
    seen = 0
    for place, folders, files in os.walk(real):
        seen += len(folders) + len(files)
        if seen > MOST_FOLDER_ENTRIES:
            raise _refuse(f"{real} has more than {MOST_FOLDER_ENTRIES} entries", "use a folder with only the agent")
        for name in files:
            mode = os.lstat(os.path.join(place, name)).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                raise _refuse(f"{place}/{name} is a socket, pipe or device", "remove it: it could lead outside")
