"""`safebox mandate check`: what a mandate grants, or everything that is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebox.sandbox.cli.console import is_rich, print_json, say
from safebox.sandbox.cli.words import clean

if TYPE_CHECKING:
    from safebox.firewall.mandate.explain import Explanation


def mandate_check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A safebox.toml, or the folder it is in.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say in plain words what a mandate grants, or name every mistake with its line."""
    import msgspec

    from safebox.firewall.mandate.explain import explain
    from safebox.firewall.mandate.file import MandateErrors, load_file

    try:
        found = explain(load_file(file, now=datetime.now(UTC)))
    except MandateErrors as errors:
        if not as_json:
            raise
        print_json({"ok": False, "problems": msgspec.to_builtins(errors.problems)})
        raise typer.Exit(errors.exit_status) from errors
    if as_json:
        print_json({"ok": True, **msgspec.to_builtins(found)})
    else:
        _print(found)


def _print(found: Explanation) -> None:
    from safebox.firewall.mandate.explain import command_line

    rows = [
        ("agent", f"{found.agent}: {clean(found.purpose.strip())}"),
        ("runs", f"{command_line(found.command)}  in {found.image}"),
        ("until", f"{found.expires}, if started now"),
    ]
    for name, text in rows:
        _item(name, "", text)
    for rail in found.rails:
        say()
        for number, text in enumerate(rail.may):
            _item(rail.name if number == 0 else "", "may", text)
        for number, text in enumerate(rail.may_not):
            _item(rail.name if number == 0 and not rail.may else "", "not", text)
    say("\nWhat is not named above is refused.")


def _item(name: str, kind: str, text: str) -> None:
    if not is_rich():
        say(f"{name:10} {kind:4} {text}".rstrip() if kind else f"{name:10} {text}")
        return
    import textwrap

    from safebox.sandbox.cli.display import terminal_width

    mark = {"may": "\x1b[32m✔ may\x1b[0m  ", "not": "\x1b[31m✘ not\x1b[0m  ", "": ""}[kind]
    indent = 18 if kind else 11
    body = textwrap.fill(
        text, max(60, terminal_width() - 1), initial_indent=" " * indent, subsequent_indent=" " * indent
    )
    say(f"\x1b[1m{name:10}\x1b[0m {mark}{body[indent:]}")
