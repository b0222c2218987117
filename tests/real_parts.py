"""The real parts the tests run against: where each one is, or why it is missing.

Rule 1: a test that needs one calls `require(NAME)`; it never stands a double in its place.
Rule 2: a part that is missing is a visible skip on a laptop and a failure where CI=true.
Rule 3: a part that is there but does not work is always a failure: nobody should believe it was tested.

Only the standard library is imported here, because provisioning runs before anything is installed.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
ANSWER_SECONDS = 10
"""A program that prints its version or an engine that is asked for a ping answers in well under a second."""

OPA_VERSION = "1.20.2"
"""1.20.0 panics comparing 0.0 with a non-integer, and before 1.19 arithmetic above 2^64 is rounded."""
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Part:
    """One real part: what it is for, where it is (`at`, empty when missing) and what is wrong with it."""

    name: str
    purpose: str
    at: str = ""
    version: str = ""
    wrong: str = ""
    broken: bool = False

    @property
    def usable(self) -> bool:
        """Whether a test can run against it."""
        return bool(self.at) and not self.wrong


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask_engine(address: str, path: str) -> Any:
    """The Docker engine's answer to GET `path`. Raises OSError when nothing usable answers at `address`."""
    scheme, _, rest = address.partition("://")
    if scheme == "unix":
        connection: http.client.HTTPConnection = _UnixConnection(rest)
    else:
        host, _, port = rest.partition(":")
        connection = http.client.HTTPConnection(host, int(port or 2375), timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"what answers is no Docker engine: {error}") from error
    finally:
        connection.close()


def _docker() -> Part:
    """An engine that answers; a `docker` command alone proves nothing."""
    purpose = "sandboxes and bought compute"
    address = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        return Part("docker", purpose, at=address, version=ask_engine(address, "/version")["Version"])
    except OSError as error:
        chosen = "DOCKER_HOST" in os.environ
        return Part("docker", purpose, wrong=f"no engine answers at {address}: {error}", broken=chosen)


def _bwrap() -> Part:
    """Bubblewrap that may make namespaces here: many machines have the program and forbid its use."""
    part = _program("bwrap", "sandboxes without Docker", ("bwrap",), ("--version",))
    if not part.usable:
        return part
    merged = (word for name in ("bin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}"))
    trial = _run([part.at, "--unshare-all", "--ro-bind", "/usr", "/usr", *merged, "true"])
    if trial.returncode == 0:
        return part
    return Part(part.name, part.purpose, version=part.version, wrong=f"makes no sandbox here: {trial.stderr.strip()}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _program(name: str, purpose: str, places: Sequence[str], ask: Sequence[str]) -> Part:
    """The first of `places` (a path, or a name looked for on the PATH) that exists, asked for its version."""
    at = next((found for each in places if (found := shutil.which(each))), "")
    if not at:
        return Part(name, purpose, wrong="not installed")
    answer = _run([at, *ask])
    version = _VERSION.search(answer.stdout + answer.stderr)
    if answer.returncode or not version:
        return Part(name, purpose, wrong=f"{at} does not work: {answer.stderr.strip()[:200]}", broken=True)
    return Part(name, purpose, at=at, version=version.group())


def _anvil() -> Part:
    machine = _MACHINES.get(platform.machine(), platform.machine())
    packed = BUILD / f"npm/node_modules/@foundry-rs/anvil-linux-{machine}/bin/anvil"
    return _program("anvil", "a real Ethereum node", (str(packed), "anvil"), ("--version",))


def _node() -> Part:
    places = ("node", str(Path(sys.executable).parent / "node"))
    return _program("node", "pyright, and programs in another language", places, ("--version",))


def _solc() -> Part:
    """The compiler is a program for node; starting it takes a second, so its version is what its package says."""
    purpose, folder = "compiles the contracts that tests put on a chain", BUILD / "npm/node_modules/solc"
    if not (folder / "solc.js").exists():
        return Part("solc", purpose, wrong="not installed")
    if not find("node").usable:
        return Part("solc", purpose, wrong=f"there is no node to run it: {find('node').wrong}")
    version = json.loads((folder / "package.json").read_bytes())["version"]
    return Part("solc", purpose, at=str(folder / "solc.js"), version=version)


def _ethers() -> Part:
    """A library for node, which says its version in its package."""
    purpose, folder = "a wallet program in another language", BUILD / "npm/node_modules/ethers"
    if not (folder / "package.json").exists():
        return Part("ethers", purpose, wrong="not installed")
    version = json.loads((folder / "package.json").read_bytes())["version"]
    return Part("ethers", purpose, at=str(folder), version=version)


def _opa_cases() -> Part:
    """What every implementation of Rego is tested with, as it lies in the source of OPA's own Go module."""
    root = os.environ.get("GOMODCACHE") or str(Path(os.environ.get("GOPATH") or Path.home() / "go") / "pkg/mod")
    folder = Path(root, f"github.com/open-policy-agent/opa@v{OPA_VERSION}", "v1/test/cases/testdata/v1")
    purpose = "what OPA itself is tested with"
    if folder.is_dir():
        return Part("opa_cases", purpose, at=str(folder), version=OPA_VERSION)
    return Part("opa_cases", purpose, wrong=f"{folder} is not there")


def _simple(name: str, purpose: str, *places: str, ask: str = "--version") -> Callable[[], Part]:
    return lambda: _program(name, purpose, places, (ask,))


_FINDERS: dict[str, Callable[[], Part]] = {
    "docker": _docker,
    "bwrap": _bwrap,
    "opa": _simple("opa", "a second opinion on every policy", str(BUILD / "bin/opa"), "opa", ask="version"),
    "opa_cases": _opa_cases,
    "prometheus": _simple("prometheus", "scrapes, rules and alerts", "prometheus"),
    "promtool": _simple("promtool", "checks and tests of alert rules", "promtool"),
    "alertmanager": _simple("alertmanager", "delivers alerts", "prometheus-alertmanager", "alertmanager"),
    "amtool": _simple("amtool", "checks of alert routing", "amtool"),
    "anvil": _anvil,
    "node": _node,
    "solc": _solc,
    "ethers": _ethers,
}
NAMES = tuple(_FINDERS)

_used_by: dict[str, set[str]] = {}


@functools.cache
def find(name: str) -> Part:
    """Look for a part, once per process."""
    return _FINDERS[name]()


def look_again() -> None:
    """Forget what was found, after something was installed or started."""
    find.cache_clear()


def in_ci() -> bool:
    """Whether a missing part is a failure (CI=true)."""
    return os.environ.get("CI", "").lower() == "true"


def with_bytecode() -> dict[str, str]:
    """The environment, with Python's caches on: images of containers often turn them off, and every import pays."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def require(name: str) -> str:
    """Path or address of a real part, for a test or a fixture.

    Skips the test, visibly, when the part is missing; fails it under CI=true or when the part is there but broken.
    """
    test = os.environ.get("PYTEST_CURRENT_TEST", "")
    _used_by.setdefault(name, set()).add(Path(test.partition("::")[0]).stem or "collection")
    part = find(name)
    if part.usable:
        return part.at
    go_without(f"real part missing: {name} ({part.purpose}): {part.wrong}", broken=part.broken)


def go_without(message: str, *, broken: bool = False) -> NoReturn:
    """Skip a test, visibly, for what this machine hasn't; fail it under CI=true or if it is there but broken."""
    import pytest

    if broken or in_ci():
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def require_root(what: str) -> None:
    """Go on only as root, which alone may do `what`."""
    if os.geteuid() != 0:
        go_without(f"only root {what}")


def table() -> list[str]:
    """The lines of a table of all parts: which are there, and which test files used them."""
    lines = [f"{'part':<14}{'version':<12}{'used by, or why missing'}"]
    for part in map(find, NAMES):
        users = ", ".join(sorted(_used_by.get(part.name, ()))) or "there, but no test of this run asked for it"
        version = part.version.partition("+")[0] or "-"
        lines.append(f"{part.name:<14}{version:<12}{users if part.usable else 'MISSING: ' + part.wrong}")
    return lines


def used_by() -> dict[str, list[str]]:
    """The test files that asked for each part, in this process."""
    return {name: sorted(files) for name, files in _used_by.items()}


def note_used(users: Mapping[str, Iterable[str]]) -> None:
    """Add what another process of this run used."""
    for name, files in users.items():
        _used_by.setdefault(name, set()).update(files)


def was_asked() -> bool:
    """Whether any test of this run asked for a real part."""
    return bool(_used_by)
