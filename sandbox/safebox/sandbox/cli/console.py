"""How commands print: tables and colours on a terminal, plain text in a pipe or under NO_COLOR, JSON if asked."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from safebox.sandbox.cli.help_page import wants_colour
from safebox.sandbox.cli.words import clean

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "allow": "green", "deny": "bold red", "hold": "yellow"}
"""Colours of single words, wherever they stand alone in a cell."""


def is_rich() -> bool:
    """Whether standard output takes tables and colours."""
    return wants_colour(sys.stdout)


def say(text: str = "", *, style: str = "") -> None:
    """Print a line of our own; agents' words go through `clean` first."""
    if style and is_rich():
        from rich.console import Console

        Console(highlight=False).print(text, style=style, markup=False, emoji=False)
    else:
        sys.stdout.write(text + "\n")


def fall_silent() -> None:
    """Print into nothing from here on: whoever read standard output has closed it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def print_json(value: Any, *, flush: bool = True) -> None:
    """Print one JSON document on a line of its own; whoever reads it has it at once unless many follow."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    if flush:
        sys.stdout.flush()


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: drawn on a terminal, else aligned columns that are never cut."""
    headings = [heading.upper() for heading in headings]
    cells = [[clean(cell) for cell in row] for row in rows]
    if is_rich():
        _print_rich(headings, cells)
        return
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    for line in (headings, *cells):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _print_rich(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for number, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)
