"""A live run as `safebox ps` and the control socket show it."""

from __future__ import annotations

from typing import Any

from safebox.firewall.runs import Run


def shown_run(run: Run, *, attached: bool) -> dict[str, Any]:
    """Say who a run is, how it stands, and each line of its budget; `attached`: whether its listeners are served."""
    book, state = run.book, run.state
    lines = [
        {
            "rail": rail,
            "asset": asset,
            "granted": str(line.granted),
            "spent": str(line.spent),
            "reserved": str(line.reserved),
        }
        for (rail, asset), line in book.lines.items()
    ]
    return {
        "run": run.view.id,
        "agent": run.view.agent,
        "parent": None if book.parent is None else book.parent.started.run,
        "address": run.view.address,
        "started_ns": book.started.at_ns,
        "state": "waiting" if state == "live" and not attached else state,
        "why": run.why,
        "open": len(book.open),
        "denied": book.denied_count,
        "quarantined": {asset: str(book.quarantined(asset)) for asset in book.earned},
        "lines": lines,
    }
