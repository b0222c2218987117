"""Runs the tests written beside the policies, on the embedded engine.

The tests are OPA's own kind (`test_` rules in `*_test.rego`), so `opa test` runs the same ones.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from safebox.firewall.engines.bundle import TEST_SUFFIX, Bundle, Module, load_bundle
from safebox.firewall.engines.embedded import PANICS, first_line
from safebox.firewall.engines.machine import Interpreter, new_interpreter
from safebox.firewall.engines.syntax import Rule, parse_module

TEST_PREFIX: Final = "test_"


class TestResult(msgspec.Struct, frozen=True):
    """How one test went; `message` says why it failed."""

    __test__ = False

    name: str
    file: str
    line: int
    passed: bool
    seconds: float
    message: str = ""


class Coverage(msgspec.Struct, frozen=True):
    """Which lines of the policies no test evaluated, by file; tests themselves don't count."""

    percent: float
    uncovered: dict[str, tuple[int, ...]]


class TestReport(msgspec.Struct, frozen=True):
    """How all tests went."""

    __test__ = False

    results: tuple[TestResult, ...]
    seconds: float
    coverage: Coverage | None

    @property
    def passed(self) -> int:
        """How many passed."""
        return sum(result.passed for result in self.results)

    @property
    def failed(self) -> tuple[TestResult, ...]:
        """Those that didn't pass."""
        return tuple(result for result in self.results if not result.passed)


class _Test(msgspec.Struct, frozen=True):
    path: str
    module: Module
    rule: Rule


def run_tests(folders: Sequence[Path], *, run: str | None = None, coverage: bool = False) -> TestReport:
    """Run the tests of the folders: the pack, then overlays.

    Args:
        folders: as for `load_bundle`.
        run: only tests whose full name (`data.safebox.email_test.test_…`) this regular expression finds.
        coverage: also tell which lines were never evaluated.

    Raises:
        PolicyUnavailable: if the folders can't be read or parsed.
    """
    started = time.perf_counter()
    bundle = load_bundle(folders, tests=True)
    tests = [test for test in _discover(bundle) if run is None or re.search(run, test.path)]
    engine = _load(bundle)
    engine.set_enable_coverage(coverage)
    results = tuple(_run(engine, test) for test in tests)
    measured = _coverage_of(engine, bundle) if coverage else None
    return TestReport(results, time.perf_counter() - started, measured)


def _discover(bundle: Bundle) -> Iterator[_Test]:
    for module in bundle.modules:
        source = parse_module(module)
        seen: set[str] = set()
        for rule in source.rules:
            if rule.name.startswith(TEST_PREFIX) and rule.name not in seen:
                seen.add(rule.name)
                yield _Test(".".join((*source.package, rule.name)), module, rule)


def _load(bundle: Bundle) -> Interpreter:
    engine = new_interpreter()
    for module in bundle.modules:
        engine.add_policy(module.name, module.text)
    engine.add_data_json(bundle.data)
    return engine


def _run(engine: Interpreter, test: _Test) -> TestResult:
    started = time.perf_counter()
    message = _evaluate(engine, test.path)
    seconds = time.perf_counter() - started
    if message:
        message = f"{message}{_furthest(engine, test)}"
    return TestResult(test.path, test.module.origin, test.rule.line, not message, seconds, message)


def _evaluate(engine: Interpreter, path: str) -> str:
    """Say why a test fails, or nothing. Setting the input makes the engine forget what it evaluated before."""
    try:
        engine.set_input_json("{}")
        value = json.loads(engine.eval_rule_as_json(path))
    except RuntimeError as error:
        return f"error: {first_line(error)}"
    except BaseException as panic:
        if type(panic).__module__ != PANICS:
            raise
        return f"the engine panicked: {first_line(panic)}"
    return "" if value is True else "does not hold"


def _furthest(engine: Interpreter, test: _Test) -> str:
    """Say how far a failing test got."""
    again = engine.clone()
    again.set_enable_coverage(False)
    again.set_enable_coverage(True)
    _evaluate(again, test.path)
    last = test.rule.tree["span"]["line"] + _height(test)
    reached = [line for line in _lines(again, test.module.name, "covered") if test.rule.line <= line <= last]
    return f" (line {max(reached)} is the last that was reached)" if reached else ""


def _height(test: _Test) -> int:
    span = test.rule.tree["span"]
    return test.module.text.encode()[span["start"] : span["end"]].count(b"\n")


def _lines(engine: Interpreter, name: str, key: str) -> list[int]:
    report: dict[str, Any] = json.loads(engine.get_coverage_report_as_json())
    return [line for file in report["files"] if file["path"] == name for line in file[key]]


def _coverage_of(engine: Interpreter, bundle: Bundle) -> Coverage:
    report: dict[str, Any] = json.loads(engine.get_coverage_report_as_json())
    files = {file["path"]: file for file in report["files"]}
    covered = 0
    uncovered: dict[str, tuple[int, ...]] = {}
    for module in bundle.modules:
        if not module.name.endswith(TEST_SUFFIX):
            file = files.get(module.name, {"covered": [], "not_covered": [1]})
            covered += len(file["covered"])
            if file["not_covered"]:
                uncovered[module.origin] = tuple(sorted(file["not_covered"]))
    total = covered + sum(map(len, uncovered.values()))
    return Coverage(100 * covered / total if total else 0.0, uncovered)
