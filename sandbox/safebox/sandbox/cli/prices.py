"""`safebox prices`: what assets cost."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from safebox.sandbox.cli.console import print_json, print_table, say


def prices(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Show the prices totals are counted at: each asset's source, age and state."""
    from safebox.sandbox.cli.state import connect

    with connect() as client:
        rows = list(client.request("prices").get("prices", ()))
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        print_table(("ASSET", "USD", "AGE", "STATE", "SOURCE", "PROBLEM"), [_cells(row) for row in rows])
    else:
        say("There are no prices. (safebox serve --prices FILE)")


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    age = "-" if row["age_s"] is None else f"{row['age_s']} s"
    return row["asset"], row["usd"] or "-", age, row["state"], row["source"], row["problem"] or "-"
