"""`safebox doctor`: whether this machine has what safebox needs, and what to do where not."""

from __future__ import annotations

from typing import Annotated

import typer

from safebox.sandbox.cli.console import is_rich, print_json, print_table, say
from safebox.sandbox.cli.exit import CHECK_FAILED


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Check each part safebox runs on. `fail` must be put right, `warn` weakens or limits something."""
    from safebox.sandbox.cli.checks import CHECKS, State, diagnose

    found = [diagnose(name, check) for name, check in CHECKS.items()]
    failed = any(finding.state is State.FAIL for finding in found)
    if as_json:
        rows = [{"name": f.name, "state": f.state, "found": f.found, "remedy": f.remedy} for f in found]
        print_json({"ok": not failed, "checks": rows, "not_isolated": _not_isolated()})
    else:
        print_table(("CHECK", "STATE", "FOUND"), [(f.name, f.state, f.found) for f in found])
        _print_remedies([(f.name, f.state, f.remedy) for f in found if f.remedy])
        _print_shared(_not_isolated())
        say()
        say(
            "Something must be put right first." if failed else "Agents can run here.",
            style="red" if failed else "green",
        )
    if failed:
        raise typer.Exit(CHECK_FAILED)


def _not_isolated() -> list[str]:
    from safebox.sandbox.engines import choose_engine
    from safebox.sandbox.errors import SandboxError

    try:
        return list(choose_engine().not_isolated())
    except SandboxError:
        return []  # the checks have said why there is no engine


def _print_shared(sentences: list[str]) -> None:
    if sentences:
        say("\nWhat a sandbox here does not isolate" + ("" if is_rich() else ":"), style="bold")
    for sentence in sentences:
        say(f"  {sentence}")


def _print_remedies(rows: list[tuple[str, str, str]]) -> None:
    if rows:
        say("\nWhat to do" if is_rich() else "\nWhat to do:", style="bold")
    for name, _, remedy in rows:
        say(f"  {name}: {remedy}")
