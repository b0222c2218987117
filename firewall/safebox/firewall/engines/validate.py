"""Finds out in a child process whether a bundle may come into force.

A policy can end the process that loads it (a rule that depends on itself overflows the stack) or never come to an end.
So the candidate is parsed, checked, compiled and asked first in a child with limits, and only a child that says so in
the end lets it pass.

`python -m safebox.firewall.engines.validate` reads a `_Question` from standard input and writes a `Finding`.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from safebox.firewall.engines.bundle import BUNDLE_BYTES_MAX, Bundle, Layer, decode_bundle, load_bundle
from safebox.firewall.errors import PolicyUnavailable

SECONDS_MAX: Final = 10
"""Real time. A pack takes 0.2 s, one with a thousand rules 1 s; the rest is for a machine under load."""
CPU_SECONDS_MAX: Final = 3
MEMORY_MAX: Final = 1_073_741_824
"""Address space; the interpreter itself needs about a tenth."""
_OUTPUT_MAX: Final = 4_096


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the child says: the digest it looked at, and what is wrong with it (nothing: it may come into force)."""

    digest: str
    problem: str | None


class _Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the child is asked: the bundle, and what is known of its layers."""

    bundle: msgspec.Raw
    layers: tuple[Layer, ...]


class Checked(NamedTuple):
    """A bundle as it was looked at, and what keeps it from coming into force (nothing: it may)."""

    bundle: Bundle
    problem: str | None


def check(folders: Sequence[Path]) -> Checked:
    """Load the bundle in these folders and validate it.

    Raises:
        PolicyUnavailable: if there is none to load.
    """
    bundle = load_bundle(folders)
    return Checked(bundle, validate(bundle))


def validate(bundle: Bundle) -> str | None:
    """Say what keeps a bundle from coming into force, or nothing.

    Fails closed: a child that crashes, is too slow, or says anything unexpected is a problem.
    """
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-m", "safebox.firewall.engines.validate"],
            input=msgspec.json.encode(_Question(msgspec.Raw(bundle.encode()), bundle.layers)),
            capture_output=True,
            timeout=SECONDS_MAX,
            check=False,
            env={"LC_ALL": "C.UTF-8"},
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        return f"checking the policy took longer than {SECONDS_MAX} s"
    except OSError as error:
        return f"the policy can't be checked: {error}"
    return _read_finding(child, bundle)


def _read_finding(child: subprocess.CompletedProcess[bytes], bundle: Bundle) -> str | None:
    if child.returncode == -signal.SIGXCPU:
        return f"checking the policy takes more than {CPU_SECONDS_MAX} s of computing"
    if child.returncode < 0:
        return f"the policy ends the process that loads it (signal {-child.returncode})"
    try:
        finding = msgspec.json.decode(child.stdout[:_OUTPUT_MAX], type=Finding)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"checking the policy failed with status {child.returncode}"
    if finding.digest != bundle.digest:
        return "the check looked at another bundle"
    return finding.problem


def examine(bundle: Bundle) -> str | None:
    """Say what is wrong with a bundle, in this process: call it only where it may end the process."""
    from safebox.firewall.engines.builtins import refused_calls
    from safebox.firewall.engines.disputed import disputed
    from safebox.firewall.engines.embedded import EmbeddedEngine
    from safebox.firewall.engines.probes import probe
    from safebox.firewall.engines.recursion import find_cycle
    from safebox.firewall.engines.siterules import describe, unrelaxed
    from safebox.firewall.engines.syntax import parse_module

    try:
        sources = [parse_module(module) for module in bundle.modules]
        names = {".".join((*source.package, rule.name)) for source in sources for rule in source.rules}
        for source in sources:
            refused = [(reference.line, why) for reference, why in refused_calls(source, names)]
            for line, why in [*refused, *disputed(source)]:
                return f"{source.module.name}:{line}: {why}"
        if cycle := find_cycle(sources):
            return f"rules depend on themselves: {' -> '.join(cycle)}"
        for found in unrelaxed(sources, bundle.layers):
            return describe(found, bundle.layers)
        return probe(EmbeddedEngine(bundle))
    except PolicyUnavailable as error:
        return error.cause
    except RecursionError:
        return "the policy is nested too deeply"


def main() -> None:
    """Examine the bundle on standard input, under limits, and write the finding."""
    for kind, limit in (
        (resource.RLIMIT_CPU, CPU_SECONDS_MAX),
        (resource.RLIMIT_AS, MEMORY_MAX),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(kind, (limit, limit + 1))
    question = msgspec.json.decode(sys.stdin.buffer.read(2 * BUNDLE_BYTES_MAX), type=_Question)
    bundle = msgspec.structs.replace(decode_bundle(bytes(question.bundle)), layers=question.layers)
    problem = examine(bundle)
    finding = Finding(bundle.digest, None if problem is None else problem[: _OUTPUT_MAX // 8])
    sys.stdout.buffer.write(msgspec.json.encode(finding))


if __name__ == "__main__":
    main()
