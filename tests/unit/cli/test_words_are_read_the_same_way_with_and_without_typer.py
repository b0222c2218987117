"""`safebox run` and `serve` have two readers, typer and a quick one. Where the quick one reads, both read the same."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from safebox.sandbox.cli.quick import read_run, read_serve
from safebox.sandbox.cli.serving import WARM

run = importlib.import_module("safebox.sandbox.cli.run")
serve = importlib.import_module("safebox.sandbox.cli.serve")

FIREWALL = [
    *("agent", "other", ".", "-", "--", "--help", "-h", "--engine", "--engine=bwrap", "--nonsense", "-x", "", "docker"),
    *("--policies", "--playbooks", "--chain-url", "--chain-id", "--smtp-url", "--mail-from", "--model-url", "--opa"),
    *("--model-price", "--metrics-port", "--governance", "--checkpoint-to", "--confirmations", "--stuck"),
    *("--prices", "--compute-url", "--compute-price"),
    *("--stuck-after", "0", "7", "007", "-7", "+7", "1_0", " 7", "٧", "m=1,2", "cancel"),  # noqa: RUF001
]
RUN = [*FIREWALL, "--json", "python3", "main.py"]
SERVE = [*FIREWALL, "--fund", "--warm", "--until-idle"]


def run_by_typer(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What typer makes of the words: all that is run, or None if nothing is."""
    seen: list[Any] = []

    def note(setup: Any, folder: Any, command: Any, *, as_json: bool) -> int:
        seen.append((setup, folder, command or None, as_json))
        return 0

    monkeypatch.setattr(run, "run_to_end", note)
    _invoke(run.run, words)
    return seen[0] if seen else None


def serve_by_typer(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What typer makes of the words: all that is served, or None if nothing is."""
    seen: list[Any] = []

    def note(setup: Any, *, warm: int, until_idle: bool) -> int:
        seen.append((setup, warm, until_idle))
        return 0

    monkeypatch.setattr(serve, "serve_to_end", note)
    _invoke(serve.serve, words)
    return seen[0] if seen else None


def _invoke(command: Callable[..., None], words: list[str]) -> None:
    application = typer.Typer(add_completion=False)
    application.command()(command)
    CliRunner().invoke(application, words)


@given(words=st.lists(st.sampled_from(RUN), max_size=7))
def test_whatever_of_run_is_read_quickly_typer_reads_the_same(words: list[str]) -> None:
    quick = read_run(words)
    if quick is not None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            assert run_by_typer(words, monkeypatch) == tuple(quick)


@given(words=st.lists(st.sampled_from(SERVE), max_size=7))
def test_whatever_of_serve_is_read_quickly_typer_reads_the_same(words: list[str]) -> None:
    quick = read_serve(words, warm=WARM)
    if quick is not None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            assert serve_by_typer(words, monkeypatch) == tuple(quick)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["agent"],
        ["agent", "--engine", "docker", "--json"],
        ["--engine", "bwrap", "agent", "--", "python3", "-c", "--json"],
        ["agent", "--policies", "a", "--policies", "b", "--playbooks", "c", "--model-price", "m=1,2"],
        ["agent", "--smtp-url", "smtp://x", "--model-url", "http://y", "--chain-url", "http://z", "--", "true"],
        ["agent", "--chain-url", "http://a", "--chain-url", "http://b", "--chain-id", "1", "--confirmations", "3"],
        ["--governance", "g.toml", "--checkpoint-to", "c", "--stuck", "cancel", "--stuck-after", "60"],
        ["--metrics-port", "9100", "--opa", "unix:/o", "--mail-from", "a@b.example"],
    ],
)
def test_the_plain_ways_of_run_are_read_quickly(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    quick = read_run(words)
    assert quick is not None
    assert run_by_typer(words, monkeypatch) == tuple(quick)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--until-idle", "--engine", "bwrap", "--warm", "0"],
        ["--fund", "0xa=1", "--fund", "0xb=2", "--model-price", "m=1,2", "--policies", "a"],
        ["--chain-url", "http://a", "--chain-url", "http://b", "--chain-id", "1", "--confirmations", "3"],
        ["--governance", "g.toml", "--checkpoint-to", "c", "--stuck", "cancel", "--stuck-after", "60"],
    ],
)
def test_the_plain_ways_of_serve_are_read_quickly(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    quick = read_serve(words, warm=WARM)
    assert quick is not None
    assert serve_by_typer(words, monkeypatch) == tuple(quick)


@pytest.mark.parametrize(
    "words",
    [["--help"], ["agent", "--nope"], ["a", "b"], ["a", "--engine"], ["--", "true"], ["a", "--chain-id", "-1"]],
)
def test_what_is_not_plain_is_left_to_typer(words: list[str]) -> None:
    assert read_run(words) is None


@pytest.mark.parametrize(
    "words", [["--help"], ["--nope"], ["a"], ["--engine"], ["--stuck-after", "0"], ["--warm", "1" * 10], ["--"]]
)
def test_what_is_not_plain_of_serve_is_left_to_typer(words: list[str]) -> None:
    assert read_serve(words, warm=WARM) is None
