"""`safebox audit export`: the ledger's events as JSON lines, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebox.sandbox.cli.console import print_json


def audit_export(
    ledger: Annotated[Path | None, typer.Argument(metavar="LEDGER", help="A ledger file; else this machine's.")] = None,
    after: Annotated[int, typer.Option("--after", metavar="N", min=0, help="Only what comes after record N.")] = 0,
) -> None:
    """Print every event with its record number, one JSON document a line."""
    from safebox.firewall.store.reader import read_events
    from safebox.sandbox.cli.state import ledger_path

    for number, event in read_events(ledger_path(ledger), after=after):
        print_json({"record": number, **event})
