"""What `kill`, `pause`, `resume`, `freeze` and `thaw` have in common: which runs are meant, and what came of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.words import clean

NAME_LENGTH = 30
"""Letters of a whole run name: `run_` and 26."""

Named = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or the end of it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def give(order: str, run: str, *, every: bool, as_json: bool, done: str, **fields: Any) -> None:
    """Give an order about one run or all, and say which runs it reached: `done` goes before each name."""
    from safebox.sandbox.cli.state import connect, full_name, live_runs

    if bool(run) == every:
        raise typer.BadParameter("name a run, or say --all")
    with connect() as client:
        name = run
        if run and not (run.startswith("run_") and len(run) == NAME_LENGTH):
            name = full_name(run, [str(row.get("run")) for row in live_runs(client)])
        reply = client.request(order, run=None if every else name, **fields)
    if as_json:
        print_json(reply)
        return
    reached = [str(each) for names in reply.values() for each in names]
    for each in reached:
        say(f"{done} {clean(each)}")
    if not reached:
        say(f"there was no run to {order}")
