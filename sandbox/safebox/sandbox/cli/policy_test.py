"""`safebox policy test`: the tests that stand beside the policies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.policy_check import Folders, policy_folders
from safebox.sandbox.cli.words import clean

if TYPE_CHECKING:
    from safebox.firewall.policytools import Coverage, TestReport


def policy_test(
    folders: Folders = None,
    run: Annotated[str | None, typer.Option(metavar="REGEX", help="Only tests whose full name this finds.")] = None,
    coverage: Annotated[bool, typer.Option("--coverage", help="Also name the lines no test evaluated.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run the tests of the policies (Rego rules named test_… in *_test.rego) on the engine that decides."""
    import msgspec

    from safebox.firewall.policytools import run_tests

    if run is not None:
        _check_pattern(run)
    report = run_tests(policy_folders(folders), run=run, coverage=coverage)
    if as_json:
        print_json({"ok": not report.failed, **msgspec.to_builtins(report)})
    else:
        _print(report)
    if report.failed or not report.results:
        raise typer.Exit(CHECK_FAILED)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"{pattern!r} is no regular expression: {error}", remedy="--run email finds all of email"
        ) from error


def _print(report: TestReport) -> None:
    for result in report.failed:
        say(f"FAIL {result.file}:{result.line}: {clean(result.name)}", style="bold red")
        if result.message:
            say(f"  {clean(result.message, lines=True)}")
    if report.coverage is not None:
        _print_coverage(report.coverage)
    if not report.results:
        say("no test has such a name", style="bold red")
        return
    failed = f", {len(report.failed)} failed" if report.failed else ""
    say(f"{report.passed} passed{failed} in {report.seconds:.1f} s", style="bold red" if report.failed else "green")


def _print_coverage(coverage: Coverage) -> None:
    for file, lines in coverage.uncovered.items():
        say(f"not evaluated: {file}: {', '.join(map(str, lines))}", style="yellow")
    say(f"coverage {coverage.percent:.1f} %")
