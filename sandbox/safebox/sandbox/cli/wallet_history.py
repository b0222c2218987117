"""`safebox wallet history`: every movement of money, from the ledger."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from safebox.sandbox.cli.console import is_rich, print_json, print_table, say
from safebox.sandbox.cli.words import clean, money, short_address

HEADINGS = ("TIME", "RUN", "WHAT", "AMOUNT", "FEE", "STATUS", "TO", "TRANSACTION")
RUN_END = 6
"""Letters of a run's name that tell it from others, where there is little room."""


def wallet_history(
    number: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many of the newest.")] = 50,
    every: Annotated[bool, typer.Option("--all", "-a", help="All of them.")] = False,
    run: Annotated[str, typer.Option(metavar="RUN", help="Only this run: its name, or the end of it.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    ledger: Annotated[Path | None, typer.Option(metavar="FILE", help="Another ledger than this machine's.")] = None,
) -> None:
    """List fundings, payments, sweeps and income, the newest last: how much, what came of it, in which transaction."""
    from safebox.firewall.store.moves import read_moves
    from safebox.sandbox.cli.state import ledger_path

    path = ledger_path(ledger)
    rows = read_moves(path, most=None if every else number, run=run) if ledger or path.exists() else []
    if as_json:
        for row in rows:
            print_json(row, flush=False)
    elif rows:
        print_table(HEADINGS, [_cells(row) for row in rows])
    else:
        say("No money was moved.")


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    shown = (_terminal if is_rich() else _plain)(row)
    amount = "-" if row["amount"] is None else money(row["amount"])
    fee = "-" if row["fee"] is None else money(row["fee"])
    return shown[0], shown[1], row["what"], amount, fee, row["status"], *shown[2:]


def _plain(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return _time(row, "%Y-%m-%d %H:%M:%S"), clean(row["run"]), clean(row["to"] or "-"), clean(row["transaction"] or "-")


def _terminal(row: dict[str, Any]) -> tuple[str, str, str, str]:
    to, transaction = (short_address(clean(row[name] or "-")) for name in ("to", "transaction"))
    return _time(row, "%m-%d %H:%M"), clean(row["run"])[-RUN_END:], to, transaction


def _time(row: dict[str, Any], form: str) -> str:
    return datetime.fromtimestamp(row["at_ns"] // 10**9).strftime(form) if isinstance(row["at_ns"], int) else "-"
