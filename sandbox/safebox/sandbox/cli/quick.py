"""The plain ways of writing `safebox run` and `safebox serve`, read without typer.

Typer takes as long to import as an agent to start, and a fifth of the time in which a firewall that was killed is back.
This reads a subset of what typer reads, and reads it the same way; whatever it isn't sure of it leaves to typer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from safebox.sandbox.cli.setup import Setup

_DIGITS_MAX: Final = 9
"""What is longer is for typer, and hardly a number of anything here."""


def _number(text: str) -> int:
    """Read what is a number to anybody; all else, raising `ValueError`, is for typer."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX):
        raise ValueError(text)
    return int(text)


def _count(text: str) -> int:
    """Read a number from 1."""
    if not (count := _number(text)):
        raise ValueError(text)
    return count


class _Option(NamedTuple):
    """What takes a value: its name here, how the value is read, whether it may be said more than once."""

    name: str
    read: Callable[[str], object] = str
    many: bool = False


_FIREWALL: Final = {
    "--policies": _Option("policies", Path, many=True),
    "--playbooks": _Option("playbooks", Path, many=True),
    "--model-price": _Option("model_prices", many=True),
    "--prices": _Option("prices", Path),
    "--compute-url": _Option("compute_url"),
    "--compute-price": _Option("compute_prices", many=True),
    "--checkpoint-to": _Option("checkpoint_to", many=True),
    "--governance": _Option("governance", Path),
    "--opa": _Option("opa"),
    "--chain-url": _Option("chain_urls", many=True),
    "--chain-id": _Option("chain_id", _number),
    "--confirmations": _Option("confirmations", _count),
    "--stuck": _Option("stuck"),
    "--stuck-after": _Option("stuck_after", _count),
    "--smtp-url": _Option("smtp_url"),
    "--mail-from": _Option("mail_from"),
    "--model-url": _Option("model_url"),
    "--metrics-port": _Option("metrics_port", _number),
    "--engine": _Option("engine"),
}
_SERVE: Final = _FIREWALL | {"--fund": _Option("funds", many=True), "--warm": _Option("warm", _number)}


class Asked(NamedTuple):
    """What `safebox run` was asked for."""

    setup: Setup
    folder: Path
    command: list[str] | None
    as_json: bool


class AskedToServe(NamedTuple):
    """What `safebox serve` was asked for."""

    setup: Setup
    warm: int
    until_idle: bool


def read_run(words: Sequence[str]) -> Asked | None:
    """Read the words after `safebox run`; None if they are for typer to read, or to refuse."""
    said: dict[str, Any] = {}
    folders: list[Path] = []
    as_json, left = False, list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            break
        if word == "--json":
            as_json = True
        elif word.startswith("-"):
            if not _take(word, left, said, _FIREWALL):
                return None
        elif folders:
            return None
        else:
            folders.append(Path(word))
    if left and not folders:
        return None  # typer takes the first word of the command for the folder
    return Asked(Setup(**said), folders[0] if folders else Path(), left or None, as_json)


def read_serve(words: Sequence[str], *, warm: int) -> AskedToServe | None:
    """Read the words after `safebox serve`; None if they are for typer to read, or to refuse.

    Args:
        words: as they were written.
        warm: what `--warm` says where it isn't said.
    """
    said: dict[str, Any] = {"warm": warm}
    until_idle, left = False, list(words)
    while left:
        word = left.pop(0)
        if word == "--until-idle":
            until_idle = True
        elif not _take(word, left, said, _SERVE):
            return None
    return AskedToServe(warm=said.pop("warm"), setup=Setup(**said), until_idle=until_idle)


def _take(word: str, left: list[str], said: dict[str, Any], options: Mapping[str, _Option]) -> bool:
    """Take an option and its value; false if they are for typer."""
    option = options.get(word)
    if option is None or not left or left[0].startswith("-"):
        return False
    try:
        value = option.read(left.pop(0))
    except ValueError:
        return False
    said[option.name] = (*said.get(option.name, ()), value) if option.many else value
    return True
