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
