"""`safebox approvals list`: what waits for people."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from safebox.sandbox.cli.console import print_json, print_table, say
from safebox.sandbox.cli.words import clean, summary

NOBODY = "Nobody can approve: there is no group with a key in approvers.toml. safebox approvals keygen makes a key."


def approvals_list(
    every: Annotated[bool, typer.Option("--all", "-a", help="Also what is over.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """List the actions that wait for people's approval, or for their silence."""
    from safebox.firewall.settings import state_folder
    from safebox.sandbox.cli.state import connect

    if not (state_folder() / "control.sock").exists():
        if not as_json:
            say("Nothing waits: no firewall is up.")
        return
    with connect() as client:
        found = client.request("approvals", all=every)
    if as_json:
        for hold in found["holds"]:
            print_json(hold)
        return
    _print(found, every=every)


def _print(found: dict[str, Any], *, every: bool) -> None:
    from safebox.sandbox.cli.hold_words import missing, until

    rows = [
        (hold["hold"], hold["agent"], summary(hold["asked"]), missing(hold), until(hold)) for hold in found["holds"]
    ]
    if rows:
        print_table(("HOLD", "AGENT", "WHAT", "STATE", "UNTIL"), rows)
    else:
        say("There are no holds." if every else "Nothing waits. (--all shows what is over.)")
    if found["problem"] is not None:
        say(f"Nobody can approve: {clean(found['problem'])}", style="bold red")
    elif not any(found["groups"].values()):
        say(NOBODY, style="yellow")
