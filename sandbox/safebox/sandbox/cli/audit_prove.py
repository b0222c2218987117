"""`safebox audit prove`: that a record is in the signed ledger, in a form others can check without the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebox.sandbox.cli.console import print_json


def audit_prove(
    identity: Annotated[str, typer.Argument(metavar="ID", help="A decision's, an action's or a run's id.")],
    ledger: Annotated[Path | None, typer.Option("--ledger", metavar="FILE", help="Else this machine's.")] = None,
) -> None:
    """Print a proof for each record with this id, one JSON document a line."""
    import msgspec

    from safebox.firewall.store.proof import prove
    from safebox.sandbox.cli.progress import Progress
    from safebox.sandbox.cli.state import ledger_path

    with Progress("hashed") as progress:
        proofs = prove(ledger_path(ledger), identity, progress.show)
    for proof in proofs:
        print_json(msgspec.to_builtins(proof))
