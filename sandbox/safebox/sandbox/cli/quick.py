"""The plain ways of writing `safebox run`, read without typer, which takes as long to import as an agent to start.

It reads a subset of what typer reads, and reads it the same way; whatever it isn't sure of it leaves to typer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from safebox.sandbox.cli.setup import Setup

_ONE: Final = {
    "--smtp-url": "smtp_url",
    "--mail-from": "mail_from",
    "--model-url": "model_url",
    "--engine": "engine",
    "--opa": "opa",
}
_MANY: Final = {
    "--chain-url": ("chain_urls", str),
    "--policies": ("policies", Path),
    "--playbooks": ("playbooks", Path),
    "--model-price": ("model_prices", str),
}


class Asked(NamedTuple):
    """What `safebox run` was asked for."""

    setup: Setup
    folder: Path
    command: list[str] | None
    as_json: bool


def read(words: Sequence[str]) -> Asked | None:
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
        elif word in _ONE or word in _MANY:
            if not left or left[0].startswith("-"):
                return None
            _take(said, word, left.pop(0))
        elif word.startswith("-") or folders:
            return None
        else:
            folders.append(Path(word))
    if left and not folders:
        return None  # typer takes the first word of the command for the folder
    return Asked(Setup(**said), folders[0] if folders else Path(), left or None, as_json)


def _take(said: dict[str, Any], word: str, value: str) -> None:
    if word in _ONE:
        said[_ONE[word]] = value
    else:
        name, kind = _MANY[word]
        said[name] = (*said.get(name, ()), kind(value))
