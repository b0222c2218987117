"""A policy that crashes, hangs or eats memory does so in a child with limits; the firewall refuses it and lives on."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from safebox.firewall.engines import validate as module
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.validate import validate
from tests.unit.policy import cases


def test_a_good_policy_passes() -> None:
    assert validate(load_bundle([pack_folder()])) is None


def test_rules_that_depend_on_themselves_are_refused() -> None:
    problem = validate(cases.with_site("deny contains x if some x in data.safebox.site.all.deny"))
    assert problem is not None
    assert "depend on themselves" in problem


def test_text_that_keeps_the_compiler_busy_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_MAX", 1)
    problem = validate(cases.with_site("x := " + "[" * 5_000 + "]" * 5_000))
    assert problem is not None
    assert "took longer" in problem


def test_text_nested_too_deeply_is_refused() -> None:
    assert validate(cases.with_site("x := " + "1 + " * 20_000 + "1"))


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGXCPU])
def test_a_child_that_dies_is_a_refusal(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    def dies(*_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["sh", "-c", f"kill -{int(number)} $$"], capture_output=True, check=False)

    monkeypatch.setattr(module, "subprocess", _Subprocess(dies))
    problem = validate(load_bundle([pack_folder()]))
    assert problem is not None
    assert "process that loads it" in problem or "computing" in problem


class _Subprocess:
    """The `subprocess` module with another `run`."""

    CompletedProcess = subprocess.CompletedProcess
    TimeoutExpired = subprocess.TimeoutExpired

    def __init__(self, run: object) -> None:
        self.run = run


@pytest.mark.parametrize("program", ["/bin/true", "/bin/false", "/bin/cat", "/nowhere/python"])
def test_a_child_that_says_something_else_is_a_refusal(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert validate(load_bundle([pack_folder()]))


def test_the_child_finds_no_code_in_the_current_directory(monkeypatch: pytest.MonkeyPatch, short_path: object) -> None:
    monkeypatch.chdir(str(short_path))
    assert validate(load_bundle([pack_folder()])) is None


ENDLESS = """
	nine := "999999999"
	long := replace(replace(replace(replace(nine, "9", nine), "9", nine), "9", nine), "9", nine)
	letters := split(long, "")
	some i in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
	some j in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
	some k in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
	sort(array.concat(letters, [sprintf("%d %d %d", [i, j, k])]))[0] == "none"
"""
"""Four thousand instructions over sixty thousand letters each, without any input: endless on a fast machine, too."""


@pytest.mark.parametrize(
    "asked", ["", 'input.action.kind == "email"'], ids=["at every question", "at one of the probes"]
)
def test_a_policy_that_computes_for_ever_is_given_up_in_time(asked: str) -> None:
    rule = f'deny contains {{"code": "site.x", "message": "x"}} if {{\n\t{asked}\n{ENDLESS}}}'
    problem = validate(cases.with_site(rule))
    computing = f"checking the policy takes more than {module.CPU_SECONDS_MAX} s of computing"
    waiting = f"checking the policy took longer than {module.SECONDS_MAX} s"  # on a machine that is busy otherwise
    assert problem in (computing, waiting)


def test_a_policy_that_asks_for_all_memory_is_given_up() -> None:
    grown = "bits.lsh(bits.lsh(bits.lsh(1, 2000000000), 2000000000), 2000000000) > 5"
    problem = validate(cases.with_site(f'deny contains {{"code": "site.x", "message": "x"}} if {grown}'))
    assert problem is not None
    assert "ends the process that loads it" in problem
