"""What `policy eval` and `policy explain` are asked about: a file, standard input, or a recorded decision."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.words import clean

if TYPE_CHECKING:
    from safebox.firewall.core.decision import Answer
    from safebox.firewall.policytools.recorded import Recorded

Named = Annotated[
    str,
    typer.Argument(metavar="INPUT", help="A decision's or action's name, or the end of it; a file; - reads an input."),
]
LedgerOption = Annotated[
    Path | None, typer.Option("--ledger", metavar="FILE", help="Another ledger or state folder than this machine's.")
]


class Asked(NamedTuple):
    """A whole policy input, and the decision it is out of, if it is one's."""

    document: bytes
    recorded: Recorded | None


def read_question(named: str, ledger: Path | None) -> Asked:
    """The policy input that is meant.

    Raises:
        ConfigError: if there is none of this name, or it is no policy input.
    """
    if named != "-" and not Path(named).is_file() and "/" not in named and not named.endswith(".json"):
        return _recorded(named, ledger)
    document = _read(named)
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{named} is no JSON: {error}", remedy=_REMEDY) from error
    if not isinstance(value, dict):
        raise ConfigError(f"{named} is no policy input", remedy=_REMEDY)
    return Asked(document, None)


_REMEDY = "a policy input has action, run, mandate and facts; policies/schemas/input.json describes it"


def _recorded(named: str, ledger: Path | None) -> Asked:
    from safebox.firewall.policytools.recorded import find_recorded
    from safebox.sandbox.cli.state import ledger_path

    found = find_recorded(ledger_path(ledger), named)
    if not found.judged:
        reason = "; ".join(f"{each.code}: {each.message}" for each in found.answer.reasons)
        raise ConfigError(
            f"policy was not asked about {found.decision}, something had failed: {reason}",
            remedy="safebox audit tail --json shows the record",
            code="config.not_judged",
        )
    return Asked(found.document, found)


def _read(named: str) -> bytes:
    from safebox.firewall.engines.embedded import INPUT_BYTES_MAX

    try:
        if named == "-":
            document = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
        else:
            with Path(named).open("rb") as file:
                document = file.read(INPUT_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{named} can't be read: {error.strerror}", remedy="name another file") from error
    if len(document) > INPUT_BYTES_MAX:
        raise ConfigError(f"{named} is larger than any policy input", remedy="name another file")
    return document


def said(answer: Answer | None, why: str = "") -> str:
    """An answer in one line: the verdict and its codes."""
    if answer is None:
        return f"no answer ({clean(why)})"
    codes = ", ".join(clean(reason.code) for reason in answer.reasons)
    return f"{answer.verdict} ({codes})" if codes else str(answer.verdict.value)


def change(before: Answer | None, after: Answer | None, why: str = "") -> str:
    """Two answers in one line: both, or what was added and taken away where the verdict is the same."""
    if before is None or after is None or before.verdict != after.verdict:
        return f"{said(before)} → {said(after, why)}"
    old, new = ([reason.code for reason in answer.reasons] for answer in (before, after))
    moved = [f"+ {clean(code)}" for code in new if code not in old]
    moved += [f"- {clean(code)}" for code in old if code not in new]
    return f"{after.verdict.value}: {', '.join(moved) or 'the same codes, other words or obligations'}"
