"""`safebox audit verify`: whether the ledger is as it was written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.words import clean

if TYPE_CHECKING:
    from safebox.firewall.store.verify import VerifyReport


def audit_verify(
    ledger: Annotated[Path | None, typer.Argument(metavar="LEDGER", help="A ledger file; else this machine's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check the hash chain: no record was changed, swapped, or taken out before the last."""
    import msgspec

    from safebox.firewall.store.verify import verify
    from safebox.sandbox.cli.state import ledger_path

    path = ledger_path(ledger)
    show = sys.stderr.isatty() and not as_json
    report = verify(path, _progress if show else None)
    if show:
        sys.stderr.write("\r\x1b[K")
    if as_json:
        print_json({"ledger": str(path), **msgspec.to_builtins(report)})
    else:
        _say(path, report)
    if not report.intact or report.effects_without_allow:
        raise typer.Exit(CHECK_FAILED)


def _progress(checked: int, total: int) -> None:
    sys.stderr.write(f"\rchecked {checked:,} of {total:,} records")
    sys.stderr.flush()


def _say(path: Path, report: VerifyReport) -> None:
    records = f"{report.events:,} record{'' if report.events == 1 else 's'}"
    if report.intact:
        say(f"intact: {records} of {path} are as they were written", style="green")
        say(f"head: {report.head}")
        say("Records cut off at the end can't be seen: compare the head with one you kept.")
    else:
        say(f"NOT INTACT: {clean(report.problem or 'it is damaged')}", style="bold red")
        say(f"ledger: {path}, {records}")
        say("What was recorded before that is sound; keep the file, and look at who could write to it.")
    if report.effects_without_allow:
        say(f"EFFECTS WITHOUT AN ALLOW: {report.effects_without_allow}", style="bold red")
