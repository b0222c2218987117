"""`safebox policy test`: the tests that stand beside the policies."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from safebox.firewall.errors import ConfigError, PolicyUnavailable
from safebox.sandbox.cli.console import is_rich, print_json, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.policy_check import Folders, policy_folders
from safebox.sandbox.cli.words import clean

if TYPE_CHECKING:
    from safebox.firewall.policytools import Coverage, TestReport

_CLEAR: Final = "\x1b[2J\x1b[H"
"""Empties the screen and goes to its top."""


def policy_test(
    folders: Folders = None,
    run: Annotated[str | None, typer.Option(metavar="REGEX", help="Only tests whose full name this finds.")] = None,
    coverage: Annotated[bool, typer.Option("--coverage", help="Also name the lines no test evaluated.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again at each change of a file, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document; one a line with --watch.")] = False,
) -> None:
    """Run the tests of the policies (Rego rules named test_… in *_test.rego) on the engine that decides."""
    if run is not None:
        _check_pattern(run)
    layers = policy_folders(folders)
    if not watch:
        if not _run_once(layers, run, coverage=coverage, as_json=as_json):
            raise typer.Exit(CHECK_FAILED)
        return
    for _ in _changes(layers):
        if is_rich() and not as_json:
            sys.stdout.write(_CLEAR)
        try:
            _run_once(layers, run, coverage=coverage, as_json=as_json)
        except PolicyUnavailable as error:  # half an edit: the next one may be whole
            _say_broken(error, as_json=as_json)
        if not as_json:
            say(f"{datetime.now():%H:%M:%S} waiting for a change in {', '.join(map(str, layers))}", style="dim")
        sys.stdout.flush()


def _say_broken(error: PolicyUnavailable, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": False, "error": error.cause})
    else:
        say(clean(error.cause), style="bold red")


def _run_once(layers: Sequence[Path], run: str | None, *, coverage: bool, as_json: bool) -> bool:
    import msgspec

    from safebox.firewall.policytools import run_tests

    report = run_tests(layers, run=run, coverage=coverage)
    if as_json:
        print_json({"ok": not report.failed, **msgspec.to_builtins(report)})
    else:
        _print(report)
    return bool(report.results) and not report.failed


def _changes(layers: Sequence[Path]) -> Iterator[None]:
    """Come back at once, and then whenever a file of the layers is another one and has stayed so for a moment."""
    from safebox.firewall.engines.reload import POLL_SECONDS, SETTLE_SECONDS, take_print

    seen = None
    while True:
        now = take_print(layers, tests=True)
        time.sleep(SETTLE_SECONDS)
        if now != seen and now == take_print(layers, tests=True):
            seen = now
            yield
        time.sleep(POLL_SECONDS)


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
