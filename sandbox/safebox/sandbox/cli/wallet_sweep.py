"""`safebox wallet sweep`: take back what a run's wallet holds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from safebox.firewall.errors import FirewallError
from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.orders import NAME_LENGTH, AsJson
from safebox.sandbox.cli.words import clean, money


def wallet_sweep(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or the end of it.")], as_json: AsJson = False
) -> None:
    """Take back all that a run's wallet holds, earned or granted, tokens of its mandate first.

    Also of a run that has ended, if its last sweep failed. To a live one safebox wallet fund gives it back. It is an
    action like any other: policy judges it and the ledger records it. The fee stays behind.
    """
    move("sweep", run, as_json=as_json)


def move(op: str, named: str, *, as_json: bool, **fields: Any) -> None:
    """Have money moved, and say what came of it.

    Raises:
        FirewallError: if it was refused, or is not known to be done.
    """
    from safebox.sandbox.cli.state import connect, full_name, live_runs

    with connect() as client:
        run = named
        if not (named.startswith("run_") and len(named) == NAME_LENGTH):
            run = full_name(named, _known(op, [str(row.get("run")) for row in live_runs(client)]))
        found = client.request(op, run=run, **fields)
    if as_json:
        print_json({"run": run, **found})
    if found["status"] not in ("done", "nothing"):
        raise _undone(op, run, found)
    if not as_json:
        say(_told(op, run, found))


def _known(op: str, live: list[str]) -> list[str]:
    """The runs that can be meant: the live ones, and for a sweep also those that ended and left something behind."""
    from safebox.firewall.store.moves import read_leases
    from safebox.sandbox.cli.state import ledger_path

    return live if op != "sweep" else [*live, *(run for run in read_leases(ledger_path()) if run not in live)]


def _told(op: str, run: str, found: dict[str, Any]) -> str:
    if found["status"] == "nothing" or (op == "sweep" and found["transaction"] is None):
        return f"{run} holds nothing to take"
    how = f"in transaction {clean(found['transaction'])}"
    return f"gave {money(found['amount'])} to {run} {how}" if op == "fund" else f"swept {run} {how}"


def _undone(op: str, run: str, found: dict[str, Any]) -> FirewallError:
    known = {
        "held": (f"it waits for people as {found['decision']}", f"safebox approvals show {found['decision']}"),
        "unknown": ("it is not known yet whether it was done", f"safebox wallet history --run {run} tells"),
    }
    why, remedy = known.get(found["status"], (str(found["message"]), "safebox audit tail --tool wallet tells more"))
    return FirewallError(f"the {op} of {run}: {why}", remedy=remedy, code=found["code"] or None)
