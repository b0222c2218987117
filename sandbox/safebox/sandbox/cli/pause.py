"""`safebox pause`: keep runs from acting for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from safebox.sandbox.cli.orders import AsJson, Named, give


def pause(
    run: Named = "",
    every: Annotated[bool, typer.Option("--all", help="Pause every run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Pause a run and all it started: no effect starts until `safebox resume`, and their programs stand still."""
    give("pause", run, every=every, as_json=as_json, done="paused")
