"""Finds out in a child process whether a bundle may come into force.

A policy can end the process that loads it (a rule that depends on itself overflows the stack) or never come to an end.
So the candidate is parsed, checked, compiled and asked first in a child with limits, and only a child that says so in
the end lets it pass. What it compiled it hands over: just that was tried, and compiling takes longer than the rest.

`python -m safebox.firewall.engines.validate` reads a `_Question` from standard input and writes a `Finding`.
"""

from __future__ import annotations

import gc
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from safebox.firewall.engines.bundle import BUNDLE_BYTES_MAX, Bundle, Layer, decode_bundle, load_bundle
from safebox.firewall.errors import PolicyUnavailable

if TYPE_CHECKING:
    from safebox.firewall.engines.machine import Program
    from safebox.firewall.engines.syntax import Source

SECONDS_MAX: Final = 10
"""Real time. A pack takes 0.2 s, one with a thousand rules 1 s; the rest is for a machine under load."""
CPU_SECONDS_MAX: Final = 3
MEMORY_MAX: Final = 1_073_741_824
"""Address space; the interpreter itself needs about a tenth."""
PROBLEM_MAX: Final = 500
"""Characters of a problem: a sentence or two."""
_OUTPUT_MAX: Final = 4 * BUNDLE_BYTES_MAX
"""The pack's program is a third of its text."""


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the child says: the digest it looked at, and what is wrong with it, or it as a program."""

    digest: str
    problem: str | None
    program: bytes | None


class _Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the child is asked: the bundle, and what is known of its layers."""

    bundle: msgspec.Raw
    layers: tuple[Layer, ...]


class Checked(NamedTuple):
    """A bundle as it was looked at, what keeps it from coming into force (nothing: it may), and it as a program."""

    bundle: Bundle
    problem: str | None
    program: bytes | None = None


def check(folders: Sequence[Path]) -> Checked:
    """Load the bundle in these folders and validate it.

    Raises:
        PolicyUnavailable: if there is none to load.
    """
    return check_bundle(load_bundle(folders))


def validate(bundle: Bundle) -> str | None:
    """Say what keeps a bundle from coming into force, or nothing. See `check_bundle`."""
    return check_bundle(bundle).problem


def check_bundle(bundle: Bundle) -> Checked:
    """Look at a bundle in a child process.

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
        return Checked(bundle, f"checking the policy took longer than {SECONDS_MAX} s")
    except OSError as error:
        return Checked(bundle, f"the policy can't be checked: {error}")
    return _read_finding(child, bundle)


def _read_finding(child: subprocess.CompletedProcess[bytes], bundle: Bundle) -> Checked:
    if child.returncode == -signal.SIGXCPU:
        return Checked(bundle, f"checking the policy takes more than {CPU_SECONDS_MAX} s of computing")
    if child.returncode < 0:
        return Checked(bundle, f"the policy ends the process that loads it (signal {-child.returncode})")
    try:
        finding = msgspec.json.decode(child.stdout[:_OUTPUT_MAX], type=Finding)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Checked(bundle, f"checking the policy failed with status {child.returncode}")
    if finding.digest != bundle.digest:
        return Checked(bundle, "the check looked at another bundle")
    if finding.problem is None and finding.program is None:
        return Checked(bundle, "the check compiled nothing")
    return Checked(bundle, finding.problem, finding.program)


def examine(bundle: Bundle) -> str | None:
    """Say what is wrong with a bundle, in this process: call it only where it may end the process."""
    found = _examined(bundle)
    return found if isinstance(found, str) else None


def _examined(bundle: Bundle) -> str | Program:
    """What is wrong with a bundle; nothing: it compiled."""
    from safebox.firewall.engines.embedded import EmbeddedEngine, compile_bundle
    from safebox.firewall.engines.probes import probe
    from safebox.firewall.engines.syntax import parse_module

    try:
        sources = [parse_module(module) for module in bundle.modules]
        if (problem := _wrong(sources, bundle)) is not None:
            return problem
        program = compile_bundle(bundle, sources)
        return probe(EmbeddedEngine(bundle, program=program)) or program
    except PolicyUnavailable as error:
        return error.cause
    except RecursionError:
        return "the policy is nested too deeply"


def _wrong(sources: Sequence[Source], bundle: Bundle) -> str | None:
    """What the text of a bundle has that it may not have."""
    from safebox.firewall.engines.builtins import refused_calls
    from safebox.firewall.engines.disputed import disputed
    from safebox.firewall.engines.recursion import find_cycle
    from safebox.firewall.engines.siterules import describe, unrelaxed

    names = {".".join((*source.package, rule.name)) for source in sources for rule in source.rules}
    for source in sources:
        refused = [(reference.line, why) for reference, why in refused_calls(source, names)]
        for line, why in [*refused, *disputed(source)]:
            return f"{source.module.name}:{line}: {why}"
    if cycle := find_cycle(sources):
        return f"rules depend on themselves: {' -> '.join(cycle)}"
    for found in unrelaxed(sources, bundle.layers):
        return describe(found, bundle.layers)
    return None


def main() -> None:
    """Examine the bundle on standard input, under limits, and write the finding."""
    for kind, limit in (
        (resource.RLIMIT_CPU, CPU_SECONDS_MAX),
        (resource.RLIMIT_AS, MEMORY_MAX),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(kind, (limit, limit + 1))
    gc.disable()  # it ends before there is any to speak of, and looking for it takes a fifth of its time
    from safebox.firewall.engines.machine import dump_program  # takes address space by the gigabyte, if there is any

    question = msgspec.json.decode(sys.stdin.buffer.read(2 * BUNDLE_BYTES_MAX), type=_Question)
    bundle = msgspec.structs.replace(decode_bundle(bytes(question.bundle)), layers=question.layers)
    found = _examined(bundle)
    if isinstance(found, str):
        finding = Finding(bundle.digest, found[:PROBLEM_MAX], None)
    else:
        finding = Finding(bundle.digest, None, dump_program(found))
    sys.stdout.buffer.write(msgspec.json.encode(finding))


if __name__ == "__main__":
    main()
