"""Every movement of money a ledger tells of, and which wallets it says are leased, read without a firewall.

Read as it streams by: what is kept is a row for each movement that is shown, however large the ledger is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from safebox.firewall.core.mandate import ACCOUNT_TOTAL
from safebox.firewall.core.money import token_of
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.store.reader import read_events

WALLET: Final = "wallet."
INCOME: Final = "income"
UNDER_WAY: Final = "under way"
"""Allowed, and its outcome isn't written yet."""
_WORDS: Final = {"wallet.fund": "funding", "wallet.sweep": "sweep", "wallet.transfer": "transfer"}
_MARKS: Final = (b'"tool":"wallet.', b'"event":"received"')
"""A record without one of these is about no money; what has one by chance is looked at and passed over."""
_LEASE_MARKS: Final = (
    b'"event":"run_started"',
    b'"event":"run_ended"',
    b'"tool":"wallet.fund"',
    b'"tool":"wallet.sweep"',
)

Row = dict[str, Any]


def read_moves(path: Path, *, most: int | None, run: str = "") -> list[Row]:
    """The newest movements, oldest first: fundings, transfers, sweeps, what else wallets signed, and income.

    Args:
        path: the ledger.
        most: how many; None is all.
        run: only of runs whose name ends so.

    Raises:
        ConfigError: if there is no ledger, or it isn't one.
    """
    rows: OrderedDict[str, Row] = OrderedDict()
    for record, event in read_events(path, marks=_MARKS):
        if not str(event.get("run", "")).lower().endswith(run.lower()):
            continue
        _take(rows, record, event)
        while most is not None and len(rows) > most:
            rows.popitem(last=False)
    return list(rows.values())


def _take(rows: OrderedDict[str, Row], record: int, event: Mapping[str, Any]) -> None:
    match event.get("event"):
        case "received":
            amount = _fields(event.get("amount"))
            rows[f"{record}"] = _row(record, event, INCOME, amount or None, status="done")
        case "decided" if _moves(event) and _fields(event.get("answer")).get("verdict") == "allow":
            rows[str(event.get("action_id"))] = _decided(record, event)
        case "settled" if str(event.get("action_id")) in rows:
            _settle(rows[str(event["action_id"])], event)
        case _:
            pass


def _moves(event: Mapping[str, Any]) -> bool:
    tool = TOOLS.get(str(event.get("tool")))
    return tool is not None and tool.name.startswith(WALLET) and not tool.reads_only


def _decided(record: int, event: Mapping[str, Any]) -> Row:
    args, plan = _fields(_fields(event.get("action")).get("args")), _fields(event.get("plan"))
    tool = str(event["tool"])
    amount = _fields(args.get("amount")) or _fields(plan.get("value")) or None
    row = _row(record, event, _WORDS.get(tool, tool.removeprefix(WALLET).replace("_", " ")), amount, status=UNDER_WAY)
    return row | {"tool": tool, "by": event.get("caller"), "from": plan.get("sender"), "to": args.get("to")}


def _row(record: int, event: Mapping[str, Any], what: str, amount: Any, *, status: str) -> Row:
    return {
        "record": record,
        "at_ns": event.get("at_ns"),
        "run": event.get("run"),
        "what": what,
        "tool": None,
        "by": None,
        "amount": amount,
        "fee": None,
        "from": None,
        "to": None,
        "status": status,
        "transaction": None,
        "block": None,
        "detail": "",
    }


def _settle(row: Row, event: Mapping[str, Any]) -> None:
    result = _fields(event.get("result"))
    row["status"] = event.get("status")
    row["transaction"] = result.get("transaction_hash")
    row["block"] = result.get("block_number")
    row["detail"] = event.get("detail") or ""
    row["fee"] = _fee(row, event)


def _fee(row: Row, event: Mapping[str, Any]) -> dict[str, str] | None:
    """What the network took beside the amount; None where that isn't known."""
    taken = [
        _fields(_fields(charge).get("amount"))
        for charge in event.get("charges") or ()
        if _fields(charge).get("rail") != ACCOUNT_TOTAL
    ]
    moved = _fields(row["amount"])
    token = token_of(str(moved.get("asset"))) is not None
    native = [each for each in taken if not token or each.get("asset") != moved.get("asset")]
    if (
        event.get("status") == "unknown"
        or len(native) != 1
        or not (token or native[0].get("asset") == moved.get("asset"))
    ):
        return None
    with_it = event.get("status") == "done" and not token
    paid = int(str(native[0].get("units", "0"))) - (int(str(moved["units"])) if with_it else 0)
    return {"asset": str(native[0]["asset"]), "units": str(paid)} if paid >= 0 else None


def read_leases(path: Path) -> dict[str, Row]:
    """The wallets of all runs there were, by run: `state` is live or ended, `holds` whether money may be in it.

    Raises:
        ConfigError: if there is no ledger, or it isn't one.
    """
    leases: dict[str, Row] = {}
    asked: dict[str, str] = {}
    for _, event in read_events(path, marks=_LEASE_MARKS):
        run = str(event.get("run"))
        if event.get("event") == "run_started":
            _lease(leases, run, event)
        elif run in leases and event.get("event") == "run_ended":
            leases[run]["state"] = "ended"
        elif run in leases:
            _follow(leases[run], asked, event)
    return leases


def _lease(leases: dict[str, Row], run: str, event: Mapping[str, Any]) -> None:
    view, wallet = _fields(event.get("run_view")), _fields(_fields(event.get("mandate")).get("wallet"))
    if not view.get("address") or not wallet:
        return
    budget = _fields(wallet.get("budget"))
    leases[run] = {
        "run": run,
        "agent": view.get("agent"),
        "address": view["address"],
        "state": "live",
        "asset": budget.get("asset"),
        "granted": str(int(str(budget.get("units", "0")))),
        "balance": None,
        "holds": False,
    }


def _follow(lease: Row, asked: dict[str, str], event: Mapping[str, Any]) -> None:
    """A funding fills a wallet as soon as it may have; only a whole sweep that is done empties it."""
    action, tool = str(event.get("action_id")), event.get("tool")
    if event.get("event") == "decided" and _fields(event.get("answer")).get("verdict") == "allow":
        if tool == "wallet.fund":
            lease["holds"] = True
        elif tool == "wallet.sweep" and _fields(_fields(event.get("action")).get("args")).get("amount") is None:
            asked[action] = str(tool)
    elif event.get("event") == "settled" and event.get("status") == "done" and asked.pop(action, None):
        lease["holds"] = False


def _fields(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
