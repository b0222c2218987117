"""`safebox wallet fund`: give a run back what was taken from it."""

from __future__ import annotations

from typing import Annotated

import typer

from safebox.sandbox.cli.orders import AsJson
from safebox.sandbox.cli.wallet_sweep import move


def wallet_fund(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or the end of it.")],
    amount: Annotated[
        list[str] | None, typer.Argument(metavar="[AMOUNT]", help="As 0.5 ETH; else as much as its mandate leaves.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a live run back of what was swept: never more than it may still spend, nor above its wallet's ceiling.

    It is an action like any other: policy judges it and the ledger records it.
    """
    from safebox.firewall.core.money import parse_amount

    asked = parse_amount(" ".join(amount), asset="ETH") if amount else None
    move("fund", run, as_json=as_json, amount=None if asked is None else f"{asked.units} wei")
