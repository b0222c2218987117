"""`safebox.firewall.policytools.run`: tests beside policies, run on the engine that decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools import run_tests

POLICY = "package a\n\nx := 1 if input.n == 1\n\ny := 2 if {\n\tinput.n == 2\n}\n"
TESTS = """package a_test

test_one if data.a.x == 1 with input as {"n": 1}

test_not_one if {
	true
	data.a.x == 1 with input as {"n": 3}
	true
}

test_error if count(input.n) == 1 with input as {"n": 3}

test_false := false

test_text := "true"

helper if true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/a.rego").write_text(POLICY)
    (tmp_path / "a/a_test.rego").write_text(TESTS)
    return tmp_path


def test_only_true_passes(folder: Path) -> None:
    report = run_tests([folder])
    assert {result.name.removeprefix("data.a_test."): result.passed for result in report.results} == {
        "test_one": True,
        "test_not_one": False,
        "test_error": False,
        "test_false": False,
        "test_text": False,
    }
    assert (report.passed, len(report.failed), report.coverage) == (1, 4, None)


def test_a_failure_says_where_and_how_far(folder: Path) -> None:
    (failure,) = run_tests([folder], run="test_not_one").failed
    assert (Path(failure.file), failure.line) == (folder / "a/a_test.rego", 5)
    assert failure.message == "does not hold (line 7 is the last that was reached)"


def test_an_error_says_what_the_engine_says(folder: Path) -> None:
    (failure,) = run_tests([folder], run="test_error").failed
    assert "count" in failure.message
    assert "backtrace" not in failure.message


def test_coverage_names_the_lines_no_test_reached(folder: Path) -> None:
    coverage = run_tests([folder], run="test_one", coverage=True).coverage
    assert coverage is not None
    assert coverage.uncovered == {str(folder / "a/a.rego"): (5, 6)}
    assert 0 < coverage.percent < 100


def test_a_file_no_test_touches_is_not_covered(folder: Path) -> None:
    (folder / "b.rego").write_text("package b\n\nz := 1 if input.q\n")
    coverage = run_tests([folder], run="test_one", coverage=True).coverage
    assert coverage is not None
    assert str(folder / "b.rego") in coverage.uncovered


def test_no_test_sees_what_another_left_behind(folder: Path) -> None:
    assert run_tests([folder], run="test_one").passed == 1
    twice = (folder / "a/a_test.rego").read_text().replace('{"n": 1}', '{"n": 2}')
    (folder / "a/a_test.rego").write_text(twice)
    assert run_tests([folder], run="test_one").passed == 0


def test_broken_rego_is_said_not_skipped(folder: Path) -> None:
    (folder / "a/a_test.rego").write_text("package a_test\n\ntest_one if")
    with pytest.raises(PolicyUnavailable, match=r"a_test\.rego:3"):
        run_tests([folder])
