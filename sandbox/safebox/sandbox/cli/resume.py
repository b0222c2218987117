"""`safebox resume`: let paused runs go on."""

from __future__ import annotations

from typing import Annotated

import typer

from safebox.sandbox.cli.orders import AsJson, Named, give


def resume(
    run: Named = "",
    every: Annotated[bool, typer.Option("--all", help="Resume every paused run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a paused run act again."""
    give("resume", run, every=every, as_json=as_json, done="resumed")
