"""What the doctor looks at. Each check tries the real thing; none changes anything that stays."""

from __future__ import annotations

import enum
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from safebox.firewall.errors import SafeboxError
from safebox.firewall.settings import state_folder

DISK_BYTES_MIN: Final = 1 << 30
"""A ledger of a million records and two images fit in this."""
PROGRAM_SECONDS: Final = 10
OLDEST_PYTHON: Final = (3, 11)


class State(enum.StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """What a check found, and what to do about it."""

    name: str
    state: State
    found: str
    remedy: str = ""


Result = tuple[State, str, str]


def diagnose(name: str, check: Callable[[], Result]) -> Finding:
    """Make one check; one that can't be made has failed."""
    try:
        return Finding(name, *check())
    except SafeboxError as error:
        return Finding(name, State.FAIL, error.cause, error.remedy)
    except (OSError, subprocess.SubprocessError, ImportError) as error:
        return Finding(name, State.FAIL, f"{type(error).__name__}: {error}", "see what it says")


def _python() -> Result:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return State.FAIL, found, "install Python 3.11 or newer"
    return State.OK, found, ""


def _engine() -> Result:
    from safebox.sandbox.engines import choose_engine

    return State.OK, f"{choose_engine().name} is used", ""


def _docker() -> Result:
    from safebox.sandbox.engines.docker import DockerEngine

    reason = DockerEngine().available()
    if reason is not None:
        return State.WARN, reason, "start Docker (sudo systemctl start docker), or use bubblewrap"
    return State.OK, "answers, on this kernel", ""


def _bwrap() -> Result:
    from safebox.sandbox.engines.bwrap import BwrapEngine

    reason = BwrapEngine().available()
    if reason is not None:
        return State.WARN, reason, "sudo apt-get install bubblewrap, or use Docker"
    return State.OK, "works", ""


def _user_namespaces() -> Result:
    if os.geteuid() == 0:
        return State.OK, "not needed: this is root", ""
    done = subprocess.run(["unshare", "-Ur", "true"], capture_output=True, timeout=PROGRAM_SECONDS, check=False)
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip() or "the kernel refuses them"
        return State.WARN, why, "sudo sysctl kernel.unprivileged_userns_clone=1, or use Docker"
    return State.OK, "allowed", ""


def _cgroup() -> Result:
    from safebox.sandbox.groups import make_group
    from safebox.sandbox.spec import Limits

    group = make_group(f"doctor-{os.getpid()}", Limits())
    if group is None:
        return State.WARN, "not writable", "bubblewrap falls back to rlimits; Docker does not need it"
    group.remove()
    return State.OK, f"writable (version {2 if group.v2 else 1})", ""


def _seccomp() -> Result:
    from safebox.sandbox.seccomp import bpf_filter

    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    if not actions.exists() or "kill_process" not in actions.read_text(encoding="utf-8"):
        return State.FAIL, "this kernel can't filter system calls", "use a kernel with CONFIG_SECCOMP_FILTER"
    return State.OK, f"filter of {len(bpf_filter()):,} bytes", ""


def _image() -> Result:
    from safebox.sandbox.engines import choose_engine
    from safebox.sandbox.image import BASE_IMAGE

    digest = choose_engine().image_digest(BASE_IMAGE)
    if digest is None:
        return State.WARN, f"{BASE_IMAGE} is not built", "safebox image build (the first run does it, too)"
    return State.OK, f"{BASE_IMAGE} {digest[:19]}", ""


def _policies() -> Result:
    from safebox.firewall.engines.bundle import load_bundle, pack_folder
    from safebox.firewall.engines.validate import validate

    bundle = load_bundle([pack_folder()])
    problem = validate(bundle)
    if problem is not None:
        return State.FAIL, problem, "safebox policy check"
    return State.OK, f"{len(bundle.modules)} modules, {bundle.digest[:19]}", ""


def _state_folder() -> Result:
    folder = state_folder()
    if not folder.exists():
        return State.OK, f"{folder} will be made by the first run", ""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if folder.stat().st_uid != os.geteuid():
        return State.FAIL, f"{folder} belongs to somebody else", "set SAFEBOX_HOME to a folder of your own"
    if mode & 0o077:
        return State.FAIL, f"{folder} is open to others (mode {mode:04o})", f"chmod 700 {folder}"
    return State.OK, str(folder), ""


def _keystore() -> Result:
    from safebox.firewall.keyfile import passphrase_path

    path = state_folder() / "keystore" / "owner.json"
    if not path.exists():
        return State.OK, "none yet: the first run makes the owner's key", ""
    passphrase = passphrase_path(state_folder())
    for file in (path, passphrase):
        if not file.exists():
            return State.FAIL, f"{file} is missing", "restore it from a backup: without it the owner's key is lost"
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            return State.FAIL, f"{file} can be read by others", f"chmod 600 {file}"
    return State.OK, "the owner's key is private", ""


def _firewall() -> Result:
    from safebox.firewall.control.wire import ControlError
    from safebox.sandbox.cli.state import connect

    if not (state_folder() / "control.sock").exists():
        return State.OK, "none runs; `safebox run` starts one", ""
    try:
        with connect() as client:
            client.request("status")
    except ControlError as error:
        return State.WARN, error.cause, "the next safebox run starts one"
    return State.OK, "answers", ""


def _disk() -> Result:
    folder = state_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / (1 << 30):.1f} GiB free at {folder}"
    if free < DISK_BYTES_MIN:
        return State.FAIL, found, "make room: with a full disk every action is refused"
    return State.OK, found, ""


def _optional(program: str, what_for: str) -> Callable[[], Result]:
    def check() -> Result:
        path = shutil.which(program)
        return State.OK, path or f"not installed; optional, {what_for}", ""

    return check


CHECKS: Final[dict[str, Callable[[], Result]]] = {
    "python": _python,
    "sandbox engine": _engine,
    "docker": _docker,
    "bubblewrap": _bwrap,
    "user namespaces": _user_namespaces,
    "control groups": _cgroup,
    "system call filter": _seccomp,
    "base image": _image,
    "policies": _policies,
    "state folder": _state_folder,
    "keystore": _keystore,
    "firewall": _firewall,
    "disk": _disk,
    "opa": _optional("opa", "to judge with an OPA server"),
    "prometheus": _optional("prometheus", "to watch metrics and alerts"),
}
"""Every check, in the order in which they are told."""
