"""`safebox policy diff`: what two policies answer differently to the questions of the golden set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from safebox.sandbox.cli.console import print_json, print_table, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.policy_check import policy_folders
from safebox.sandbox.cli.policy_question import change
from safebox.sandbox.cli.policy_replay import STYLES, WORDS, FailOn, fails

if TYPE_CHECKING:
    from safebox.firewall.policytools.comparison import Kind
    from safebox.firewall.policytools.diff import Difference, DiffReport

HEADINGS: Final = ("question", "before → after")


def policy_diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="Policies: an overlay on the pack, or a whole pack.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The policies they are compared with.")],
    golden: Annotated[
        Path | None, typer.Option("--golden", metavar="DIR", help="Other questions than the pack's own.")
    ] = None,
    fail_on: Annotated[FailOn, typer.Option("--fail-on", help="What is a failure.")] = FailOn.ALLOWED,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Ask two policies every question of the golden set, and show where their answers differ.

    Ends with status 7 if B newly allows something, or gives no answer to something.
    """
    import msgspec

    from safebox.firewall.engines.bundle import load_bundle, pack_folder
    from safebox.firewall.policytools.diff import diff
    from safebox.firewall.policytools.golden import load_golden

    bundles = [load_bundle(policy_folders([folder])) for folder in (first, second)]
    report = diff(bundles[0], bundles[1], load_golden(golden or pack_folder()))
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _say(report)
    if fails(report.counts, fail_on):
        raise typer.Exit(CHECK_FAILED)


def _say(report: DiffReport) -> None:
    from safebox.firewall.policytools.comparison import Kind

    say(f"asked  {report.cases:,} questions of the golden set")
    say(f"A      {report.first}")
    say(f"B      {report.second}")
    for kind in Kind:
        if report.counts[kind]:
            say()
            _say_kind(report, kind)
    if not report.differences:
        say("\nBoth answer all of them alike.", style="green")


def _say_kind(report: DiffReport, kind: Kind) -> None:
    say(f"{WORDS[kind]}: {report.counts[kind]:,}", style=STYLES.get(kind, ""))
    print_table(HEADINGS, [_row(each) for each in report.differences if each.kind is kind])


def _row(each: Difference) -> tuple[str, str]:
    return each.name, change(each.before, each.after, each.why)
