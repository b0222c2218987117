"""`safebox thaw`: let frozen wallets pay again."""

from __future__ import annotations

from typing import Annotated

import typer

from safebox.sandbox.cli.orders import AsJson, Named, give


def thaw(
    run: Named = "",
    every: Annotated[bool, typer.Option("--all", help="Thaw every wallet.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a run use its wallet again."""
    give("thaw", run, every=every, as_json=as_json, done="thawed")
