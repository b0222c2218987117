"""`safebox kill`: stop runs at once."""

from __future__ import annotations

from typing import Annotated

import typer

from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.words import clean

NAME_LENGTH = 30
"""Letters of a whole run name: `run_` and 26."""


def kill(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or the end of it.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Stop every run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Stop a run: after this, no effect of it starts."""
    from safebox.sandbox.cli.state import connect, full_name, live_runs

    if bool(run) == every:
        raise typer.BadParameter("name a run, or say --all")
    with connect() as client:
        name = run
        if run and not (run.startswith("run_") and len(run) == NAME_LENGTH):
            name = full_name(run, [str(row.get("run")) for row in live_runs(client)])
        reply = client.request("kill", run=None if every else name)
    if as_json:
        print_json(reply)
        return
    stopped = [str(each) for each in reply.get("killed", ())]
    for each in stopped:
        say(f"stopped {clean(each)}")
    if not stopped:
        say("no run was live")
