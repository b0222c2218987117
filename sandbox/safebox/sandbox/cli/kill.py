"""`safebox kill`: stop runs at once."""

from __future__ import annotations

from typing import Annotated

import typer

from safebox.sandbox.cli.orders import AsJson, Named, give


def kill(
    run: Named = "",
    every: Annotated[bool, typer.Option("--all", help="Stop every run.")] = False,
    tree: Annotated[bool, typer.Option("--tree", help="End the runs that descend from it, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop a run: after this, no effect of it or of its children starts."""
    give("kill", run, every=every, as_json=as_json, done="stopped", tree=tree)
