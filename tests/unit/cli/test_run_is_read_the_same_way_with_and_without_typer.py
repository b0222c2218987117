"""`safebox run` has two readers, typer and a quick one. Where the quick one reads at all, both read the same."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from safebox.sandbox.cli.quick import read

run = importlib.import_module("safebox.sandbox.cli.run")

WORDS = [
    *("agent", "other", ".", "-", "--", "--json", "--help", "-h", "--engine", "--engine=bwrap", "--nonsense", "-x", ""),
    *("--policies", "--playbooks", "--chain-url", "--chain-id", "--smtp-url", "--mail-from", "--model-url"),
    *("--model-price", "--metrics-port", "docker", "7", "m=1,2", "python3", "main.py"),
]


def by_typer(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What typer makes of the words: all that is run, or None if nothing is."""
    seen: list[Any] = []

    def note(setup: Any, folder: Any, command: Any, *, as_json: bool) -> int:
        seen.append((setup, folder, command or None, as_json))
        return 0

    monkeypatch.setattr(run, "run_to_end", note)
    application = typer.Typer(add_completion=False)
    application.command()(run.run)
    CliRunner().invoke(application, words)
    return seen[0] if seen else None


@given(words=st.lists(st.sampled_from(WORDS), max_size=7))
def test_whatever_is_read_quickly_typer_reads_the_same(words: list[str]) -> None:
    quick = read(words)
    if quick is not None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            assert by_typer(words, monkeypatch) == tuple(quick)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["agent"],
        ["agent", "--engine", "docker", "--json"],
        ["--engine", "bwrap", "agent", "--", "python3", "-c", "--json"],
        ["agent", "--policies", "a", "--policies", "b", "--playbooks", "c", "--model-price", "m=1,2"],
        ["agent", "--smtp-url", "smtp://x", "--model-url", "http://y", "--chain-url", "http://z", "--", "true"],
    ],
)
def test_the_plain_ways_are_read_quickly(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    quick = read(words)
    assert quick is not None
    assert by_typer(words, monkeypatch) == tuple(quick)


@pytest.mark.parametrize("words", [["--help"], ["agent", "--nope"], ["a", "b"], ["a", "--engine"], ["--", "true"]])
def test_what_is_not_plain_is_left_to_typer(words: list[str]) -> None:
    assert read(words) is None
