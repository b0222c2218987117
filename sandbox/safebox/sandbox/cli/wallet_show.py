"""`safebox wallet show`: the owner's wallet, and those lent to runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.console import print_json, print_table, say
from safebox.sandbox.cli.orders import AsJson
from safebox.sandbox.cli.words import clean, money

UNKNOWN = "not known"
NO_FIREWALL = "no firewall is up, and only one asks the chain: balances are not known"
HEADINGS = ("RUN", "AGENT", "STATE", "GRANTED", "BALANCE", "ADDRESS")


def wallet_show(
    every: Annotated[bool, typer.Option("--all", "-a", help="Also the wallets of runs that ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the owner's address and balance, and each wallet that a run was lent: whose, how much, and what is left."""
    found = _asked(every=every) or _recorded(every=every)
    if as_json:
        print_json(found)
    else:
        _print(found, every=every)


def _asked(*, every: bool) -> dict[str, Any] | None:
    """What a firewall says; None if none is up."""
    from safebox.firewall.control.wire import ControlError
    from safebox.firewall.settings import state_folder
    from safebox.sandbox.cli.state import connect

    if not (state_folder() / "control.sock").exists():
        return None
    try:
        client = connect()
    except ControlError:
        return None  # a socket without a firewall behind it
    with client:
        return {"firewall": True, **client.request("wallets", all=every)}


def _recorded(*, every: bool) -> dict[str, Any]:
    """What the key file and the ledger say by themselves."""
    from safebox.firewall.store.moves import read_leases
    from safebox.sandbox.cli.state import ledger_path

    path = ledger_path()
    leases = list(read_leases(path).values()) if path.exists() else []
    for lease in leases:
        lease["state"] = "lost" if lease["state"] == "live" else lease["state"]
    shown = [lease for lease in leases if every or lease["state"] == "lost" or lease["holds"]]
    owner, problem = _owner()
    return {
        "firewall": False,
        "owner": owner,
        "balance": None,
        "wallets": shown,
        "left_out": 0,
        "problem": NO_FIREWALL if problem is None else problem,
    }


def _owner() -> tuple[str | None, str | None]:
    """The owner's address, or why it isn't known. Never makes a key."""
    from safebox.firewall.settings import state_folder
    from safebox.firewall.signer.holders import owner_address

    try:
        return owner_address(state_folder()), None
    except ConfigError as error:
        return None, f"{error.cause} ({error.remedy})"


def _print(found: dict[str, Any], *, every: bool) -> None:
    say(f"owner    {clean(found['owner'] or UNKNOWN)}")
    say(f"balance  {_amount(found['balance'], 'ETH')}")
    rows = [_cells(each) for each in found["wallets"]]
    say()
    if rows:
        print_table(HEADINGS, rows)
    else:
        say("No run was lent a wallet." if every else "No live run has a wallet. (--all shows those that ended.)")
    if found["left_out"]:
        say(f"{found['left_out']} older ones are not shown.", style="yellow")
    if found["problem"] is not None:
        say(f"Balances are not all known: {clean(found['problem'])}", style="yellow")


def _cells(wallet: dict[str, Any]) -> tuple[object, ...]:
    asset = wallet["asset"]
    balance = _amount(wallet["balance"], asset)
    return (
        wallet["run"],
        wallet["agent"],
        wallet["state"],
        _amount(wallet["granted"], asset),
        balance if wallet["balance"] is not None or wallet.get("holds", True) else f"{balance}, swept",
        wallet["address"],
    )


def _amount(units: Any, asset: str) -> str:
    return UNKNOWN if units is None else money({"asset": asset, "units": units})
