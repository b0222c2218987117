"""`safebox audit export`: the ledger's events as JSON lines, for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from safebox.sandbox.cli.console import print_json


def audit_export(
    ledger: Annotated[Path | None, typer.Argument(metavar="LEDGER", help="A ledger file; else this machine's.")] = None,
    after: Annotated[int, typer.Option("--after", metavar="N", min=0, help="Only what comes after record N.")] = 0,
) -> None:
    """Print every event with its record number, one JSON document a line."""
    from safebox.firewall.store.reader import last_record, read_events
    from safebox.sandbox.cli.progress import Progress
    from safebox.sandbox.cli.state import ledger_path

    path = ledger_path(ledger)
    last = last_record(path)
    with Progress("exported", quiet=sys.stdout.isatty()) as progress:
        for number, event in read_events(path, after=after):
            print_json({"record": number, **event}, flush=False)
            progress.show(number - after, last - after)
