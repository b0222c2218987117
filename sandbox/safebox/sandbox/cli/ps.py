"""`safebox ps`: which runs there are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from safebox.sandbox.cli.console import print_json, print_table, say
from safebox.sandbox.cli.words import fields, line_granted, line_spent


def ps(
    all_runs: Annotated[bool, typer.Option("--all", "-a", help="Also those that ended, from the ledger.")] = False,
    tree: Annotated[bool, typer.Option("--tree", help="Children below the run that started them.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """List the runs that are live."""
    rows = _with_ended(live()) if all_runs else live()
    depths = dict.fromkeys((row["run"] for row in rows), 0)
    if tree:
        depths, rows = _as_tree(rows)
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        print_table(
            ("RUN", "AGENT", "STATE", "STARTED", "DENIED", "SPENT"), [_cells(row, depths[row["run"]]) for row in rows]
        )
    else:
        say("There are no runs." if all_runs else "No run is live. (--all shows those that ended.)")


def live() -> list[dict[str, Any]]:
    """The runs a firewall holds; none if there is no firewall."""
    from safebox.firewall.control.wire import ControlError
    from safebox.firewall.settings import state_folder
    from safebox.sandbox.cli.state import connect, live_runs

    if not (state_folder() / "control.sock").exists():
        return []
    try:
        client = connect()
    except ControlError:
        return []  # a socket without a firewall behind it: a run lives only in a firewall
    with client:
        return live_runs(client)


def _with_ended(living: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from safebox.firewall.store.reader import read_events
    from safebox.sandbox.cli.state import ledger_path

    if not ledger_path().exists():
        return living
    rows: dict[str, dict[str, Any]] = {}
    for _, event in read_events(ledger_path()):
        if event.get("event") == "run_started":
            view = fields(event.get("run_view"))
            rows[event["run"]] = {
                "run": event["run"],
                "agent": view.get("agent"),
                "parent": view.get("parent"),
                "state": "lost",
                "started_ns": event["at_ns"],
            }
        elif event.get("event") == "run_ended" and event.get("run") in rows:
            rows[event["run"]]["state"] = event.get("reason") or "ended"
    rows.update({row["run"]: row for row in living})
    return list(rows.values())


def _as_tree(rows: list[dict[str, Any]]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """How deep each run is below another that is listed, and the runs with children after their parents."""
    below: dict[str | None, list[dict[str, Any]]] = {}
    listed = {row["run"] for row in rows}
    for row in rows:
        parent = row.get("parent")
        below.setdefault(parent if parent in listed else None, []).append(row)
    depths: dict[str, int] = {}
    ordered: list[dict[str, Any]] = []
    waiting = [(row, 0) for row in reversed(below.get(None, []))]
    while waiting:
        row, depth = waiting.pop()
        depths[row["run"]] = depth
        ordered.append(row)
        waiting += [(child, depth + 1) for child in reversed(below.get(row["run"], []))]
    return depths, ordered


def _cells(row: dict[str, Any], depth: int) -> tuple[object, ...]:
    from safebox.sandbox.cli.event_lines import day_and_time

    spent = ", ".join(
        f"{line_spent(line)} of {line_granted(line)}" for line in row.get("lines", ()) if int(line["spent"])
    )
    started = day_and_time(row["started_ns"])
    return (
        "  " * (depth - 1) + "└ " * bool(depth) + row["run"],
        row.get("agent"),
        row.get("state"),
        started,
        row.get("denied", "-"),
        spent or ("nothing" if "lines" in row else "-"),
    )
