"""What `make check` runs: every check at once, as many as there are cores, then one line each.

Exits with 1 when any of them fails. The output of a check is shown only when it fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.provision import provide_npm, say
from tests.real_parts import BUILD, ROOT, find, in_ci, with_bytecode

LIMIT_SECONDS = 300
"""Ten times what the slowest check takes on two cores with nothing cached."""
BIN = Path(sys.executable).parent
POLICIES = ROOT / "policies"


@dataclass(frozen=True, slots=True)
class Result:
    """How one check ended."""

    name: str
    passed: bool
    seconds: float
    output: str


def _checks() -> dict[str, list[str]]:
    """Name and command of every check, the slowest first."""
    pyright = BUILD / "npm/node_modules/.bin/pyright"
    checks = {
        "pyright": [str(pyright), "--pythonpath", sys.executable],
        "mypy": [f"{BIN}/mypy"],
        "unit tests": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"],
        "policy tests": [f"{BIN}/safebox", "policy", "test"],
        "policy check": [f"{BIN}/safebox", "policy", "check"],
        "layers": [f"{BIN}/lint-imports"],
        "ruff": [f"{BIN}/ruff", "check", "."],
        "format": [f"{BIN}/ruff", "format", "--check", "."],
    }
    return checks | _opa_checks()


def _opa_checks() -> dict[str, list[str]]:
    """The same policies read by OPA's own tools, where they are there."""
    opa = find("opa")
    if not opa.usable:
        say(f"no second opinion on the policies: opa is {opa.wrong}")
        return {}
    policies = str(POLICIES)
    return {
        "opa fmt": [opa.at, "fmt", "--list", "--fail", policies],
        "opa check": [opa.at, "check", "--strict", "--schema", f"{policies}/schemas", policies],
        "opa test": [opa.at, "test", "--timeout", "60s", policies],
    }


def _run(name: str, command: Sequence[str]) -> Result:
    started = time.monotonic()
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])  # .venv's node, for pyright
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**with_bytecode(), "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        passed, output = done.returncode == 0, done.stdout + done.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        passed, output = False, str(error)
    return Result(name, passed, time.monotonic() - started, output)


def main() -> int:
    """Run all checks and print what failed and a summary."""
    if not provide_npm():
        say("pyright could not be installed")
    if in_ci() and not find("opa").usable:
        say("opa is missing, and CI=true")
        return 1
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        jobs = [pool.submit(_run, name, command) for name, command in _checks().items()]
    results = [job.result() for job in jobs]
    for result in results:
        if not result.passed:
            say(f"\n=== {result.name} ===\n{result.output.strip()}")
    say("")
    for result in results:
        say(f"{'ok    ' if result.passed else 'FAILED'} {result.name:<14}{result.seconds:6.1f} s")
    say(f"checked in {time.monotonic() - started:.0f} s")
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
