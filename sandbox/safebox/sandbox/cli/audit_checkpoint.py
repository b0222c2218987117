"""`safebox audit checkpoint`: the newest signed checkpoint, to be kept where the ledger's writer can't reach it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from safebox.firewall.errors import ConfigError


def audit_checkpoint(
    ledger: Annotated[Path | None, typer.Argument(metavar="LEDGER", help="A ledger file; else this machine's.")] = None,
) -> None:
    """Print the newest checkpoint; `audit verify --checkpoint FILE` holds a later ledger against it."""
    from safebox.firewall.store.reader import last_checkpoint
    from safebox.sandbox.cli.state import ledger_path

    note = last_checkpoint(ledger_path(ledger))
    if note is None:
        raise ConfigError("the ledger has no checkpoint yet", remedy="run an agent first")
    sys.stdout.write(note)
