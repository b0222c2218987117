"""`safebox freeze`: keep runs' money where it is."""

from __future__ import annotations

from typing import Annotated

import typer

from safebox.sandbox.cli.orders import AsJson, Named, give


def freeze(
    run: Named = "",
    every: Annotated[bool, typer.Option("--all", help="Freeze every wallet.")] = False,
    as_json: AsJson = False,
) -> None:
    """Freeze a run's wallet: it pays nobody until `safebox thaw`; all else goes on, and its owner can sweep it."""
    give("freeze", run, every=every, as_json=as_json, done="frozen")
