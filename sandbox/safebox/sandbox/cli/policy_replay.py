"""`safebox policy replay`: what changed policies would have done to what was recorded."""

from __future__ import annotations

import enum
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.console import is_rich, print_json, print_table, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.policy_check import policy_folders
from safebox.sandbox.cli.words import summary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from safebox.firewall.policytools.comparison import Change, Kind
    from safebox.firewall.policytools.enforced import Price
    from safebox.firewall.policytools.replay import Report


class FailOn(enum.StrEnum):
    """What makes the command end with a failure, beside a candidate that gives no answer."""

    ALLOWED = "allowed"
    CHANGED = "changed"
    NONE = "none"


HEADINGS: Final = ("when", "run", "decision", "what", "before → after")
WIDTH: Final = 100
"""Of prose."""
SHORT: Final = 8
"""The end of a decision's name, by which the other commands find it."""
ENOUGH: Final = 1_000
"""Decisions of fewer say nothing about how many a second there are: starting takes longer than judging."""
WORDS: Final = {
    "newly_allowed": "newly allowed",
    "unanswered": "NO ANSWER",
    "newly_held": "newly held",
    "newly_denied": "newly denied",
    "changed": "otherwise",
}
"""The kinds of changes, as people are told them."""
STYLES: Final = {
    "newly_allowed": "bold red",
    "unanswered": "bold red",
    "newly_held": "yellow",
    "newly_denied": "yellow",
}


def policy_replay(
    candidate: Annotated[
        list[Path], typer.Option("--candidate", metavar="DIR", help="The changed policies; may be repeated.")
    ],
    ledger: Annotated[
        Path | None, typer.Argument(metavar="LEDGER", help="A ledger or a state folder; else this machine's.")
    ] = None,
    baseline: Annotated[
        list[Path] | None,
        typer.Option("--baseline", metavar="DIR", help="Compare with these policies, not with what was recorded."),
    ] = None,
    since: Annotated[str, typer.Option(metavar="WHEN", help="Only since 7d, 12h ago, or since 2026-01-31.")] = "",
    run: Annotated[str, typer.Option(metavar="RUN", help="Only this run: its name, or the end of it.")] = "",
    tool: Annotated[str, typer.Option(metavar="TOOL", help="Only this tool, or a family of them: wallet.")] = "",
    fail_on: Annotated[FailOn, typer.Option("--fail-on", help="What is a failure.")] = FailOn.ALLOWED,
    number: Annotated[int, typer.Option("-n", metavar="N", min=0, help="How many of each kind to show.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, with all of them.")] = False,
) -> None:
    """Decide all that was recorded again, by changed policies: on top of the pack, unless the first is a whole one.

    Ends with status 7 if something is newly allowed, or the changed policies give no answer to something.
    """
    from safebox.firewall.engines.bundle import load_bundle
    from safebox.firewall.policytools.judging import Chosen
    from safebox.firewall.policytools.replay import replay
    from safebox.sandbox.cli.progress import Progress
    from safebox.sandbox.cli.state import ledger_path

    chosen = Chosen(run=run.lower(), tool=tool.rstrip("."), since_ns=_moment(since) if since else 0)
    with Progress("replayed", quiet=as_json) as progress:
        report = replay(
            ledger_path(ledger),
            load_bundle(policy_folders(candidate)),
            baseline=load_bundle(policy_folders(baseline)) if baseline else None,
            chosen=chosen,
            progress=progress.show,
        )
    if as_json:
        print_json(as_document(report))
    else:
        _say(report, number)
    if fails(report.counts, fail_on):
        raise typer.Exit(CHECK_FAILED)


def fails(counts: dict[str, int], fail_on: FailOn) -> bool:
    """Whether these changes are a failure. That a policy has no answer always is."""
    bad = {"unanswered"}
    if fail_on is FailOn.ALLOWED:
        bad |= {"newly_allowed"}
    elif fail_on is FailOn.CHANGED:
        bad |= set(counts)
    return any(counts[kind] for kind in bad)


def _moment(text: str) -> int:
    """Nanoseconds since the epoch of a time, or of so long ago.

    Raises:
        ConfigError: if it is neither.
    """
    import time
    from datetime import datetime

    from safebox.firewall.mandate.section import duration

    seconds = duration(text)
    if seconds is not None:
        return time.time_ns() - seconds * 10**9
    try:
        return int(datetime.fromisoformat(text).timestamp()) * 10**9
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{text!r} is no time", remedy="write 7d, 12h, or 2026-01-31T08:00:00Z") from error


def as_document(report: Report) -> dict[str, Any]:
    """A report as JSON; money as everywhere: units with 78 digits."""
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(report)
    for name in ("would_move", "moved_anyway", "would_not_move"):
        document[name] = _padded(document[name])
    for change in document["changes"]:
        change["prices"] = _padded(change["prices"])
    return {**document, "per_second": report.per_second}


def _padded(prices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from safebox.firewall.core.money import pad

    return [{**price, "units": pad(price["units"])} for price in prices]


def _say(report: Report, number: int) -> None:
    from safebox.firewall.policytools.comparison import Kind

    never = f"; {report.undecided:,} policy was never asked about" if report.undecided else ""
    left = f"; {report.left_out:,} left out" if report.left_out else ""
    rate = f", {report.per_second:,.0f} a second" if report.judged >= ENOUGH else ""
    say(f"replayed   {report.judged:,} decisions in {report.seconds:.1f} s{rate}{never}{left}")
    say(f"candidate  {report.candidate}")
    say(f"against    {report.baseline or 'what was recorded'}")
    for kind in Kind:
        if report.counts[kind]:
            say()
            _say_kind(report, kind, number)
    if not any(report.counts.values()):
        say("\nNothing would have been decided otherwise.", style="green")
    say("\n" + textwrap.fill(report.limits, WIDTH))


def _say_kind(report: Report, kind: Kind, number: int) -> None:
    count = report.counts[kind]
    say(f"{WORDS[kind]}: {count:,}{_money_of(report, kind)}", style=STYLES.get(kind, ""))
    shown = report.of(kind)[:number]
    if shown:
        print_table(HEADINGS, [_row(change) for change in shown])
    if count > len(shown):
        say(f"… and {count - len(shown):,} more (-n shows more, --json all)")


def _money_of(report: Report, kind: Kind) -> str:
    if kind == "newly_allowed":
        anyway = f"; people let {sums(report.moved_anyway)} pass then" if report.moved_anyway else ""
        return f", moving at worst {sums(report.would_move)}{anyway}"
    if kind == "newly_denied" and report.would_not_move:
        held = " (the newly held ones too)" if report.counts["newly_held"] else ""
        return f", which took at worst {sums(report.would_not_move)} then{held}"
    return ""


def sums(prices: Iterable[Price]) -> str:
    """Amounts of money, by asset and budget line."""
    from safebox.sandbox.cli.words import money

    told = [f"{money({'asset': each.asset, 'units': str(each.units)})} ({each.rail})" for each in prices]
    return " and ".join(told) or "nothing"


def _row(change: Change) -> tuple[str, ...]:
    from safebox.sandbox.cli import policy_question
    from safebox.sandbox.cli.event_lines import day_and_time

    event = {"tool": change.tool, "action": {"args": change.asked["args"]}, "facts": {"payee": change.asked["payee"]}}
    return (
        day_and_time(change.at_ns),
        change.run[-6:],
        change.decision[-SHORT:] if is_rich() else change.decision,
        summary(event) or change.tool,
        policy_question.change(change.before, change.after, change.why),
    )
