"""`safebox audit tail`: what agents asked for and what was decided."""

from __future__ import annotations

import enum
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from safebox.firewall.store.reader import last_record, read_events
from safebox.sandbox.cli.console import is_rich, print_json, say
from safebox.sandbox.cli.words import fields

POLL_SECONDS: Final = 0.2
"""How often the ledger is looked at: reading on costs one indexed query."""


LOOK_BACK: Final = 1_000
"""Records read at first; four times as many each time they don't have enough of what is wanted."""

Wanted = Callable[[dict[str, Any]], bool]


class Verdict(enum.StrEnum):
    """The verdicts one can ask for."""

    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"


def audit_tail(
    number: Annotated[int, typer.Option("-n", metavar="N", min=0, help="How many of the last events.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now.")] = False,
    run: Annotated[str, typer.Option(metavar="RUN", help="Only this run: its name, or the end of it.")] = "",
    tool: Annotated[str, typer.Option(metavar="TOOL", help="Only this tool, or a family of them: wallet.")] = "",
    verdict: Annotated[Verdict | None, typer.Option(help="Only decisions with this verdict.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records, a JSON object a line.")] = False,
    ledger: Annotated[Path | None, typer.Option(metavar="FILE", help="Another ledger than this machine's.")] = None,
) -> None:
    """Show the last events of the ledger: decisions, outcomes, starts and ends of runs."""
    from safebox.sandbox.cli.state import ledger_path

    path = ledger_path(ledger)
    wanted = _filter(run, tool, verdict)
    after, shown = _last(path, number, wanted)
    for seq, event in shown:
        _show(seq, event, as_json=as_json, with_run=not run)
    if number and not shown and sys.stderr.isatty():
        sys.stderr.write("nothing recorded so far is like that\n" if after else "nothing is recorded yet\n")
    while follow:
        sys.stdout.flush()
        time.sleep(POLL_SECONDS)
        start = after
        for after, event in read_events(path, after=start):
            if wanted(event):
                _show(after, event, as_json=as_json, with_run=not run)


def _last(path: Path, number: int, wanted: Wanted) -> tuple[int, list[tuple[int, dict[str, Any]]]]:
    """The number of the last record, and the last events that are wanted; looks back only as far as needed."""
    last = last_record(path)
    back = max(number, LOOK_BACK)
    while True:
        after = max(0, last - back)
        events = ((seq, event) for seq, event in read_events(path, after=after) if seq <= last)
        found = deque((pair for pair in events if wanted(pair[1])), maxlen=number)
        if len(found) == number or after == 0:
            return last, list(found)
        back *= 4


def _filter(run: str, tool: str, verdict: Verdict | None) -> Wanted:
    def wanted(event: dict[str, Any]) -> bool:
        name = str(event.get("tool", ""))
        return (
            str(event.get("run", "")).lower().endswith(run.lower())
            and (not tool or name == tool or name.startswith(f"{tool.rstrip('.')}."))
            and (verdict is None or fields(event.get("answer")).get("verdict") == verdict)
        )

    return wanted


def _show(seq: int, event: dict[str, Any], *, as_json: bool, with_run: bool) -> None:
    from safebox.sandbox.cli.display import terminal_width
    from safebox.sandbox.cli.event_lines import plain_line, terminal_lines

    if as_json:
        print_json({"record": seq, **event})
    elif is_rich():
        say(terminal_lines(event, width=terminal_width(), with_run=with_run))
    else:
        say(plain_line(event, with_run=True))
