"""What `safebox run` shows while an agent runs: who it is, what it prints, and every action as it happens."""

from __future__ import annotations

import codecs
import os
import re
import sys
import textwrap
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from safebox.sandbox.cli.console import fall_silent, is_rich, print_json, print_table, say
from safebox.sandbox.cli.event_lines import plain_line, says_nothing, terminal_lines
from safebox.sandbox.cli.words import clean

LINE_MAX: Final = 4096
"""An agent's line longer than this is shown in pieces, so that nothing is held back without bound."""
_NARROW: Final = 40
"""Less room than this isn't worth wrapping to."""
_COLOUR: Final = re.compile(r"(\x1b\[[0-9;]{0,20}m)")


def terminal_width() -> int:
    """Columns of the terminal; 80 if nobody knows."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80


class RunDisplay:
    """Shows one run on standard output; may be called from any thread.

    What the agent writes is always marked as the agent's, and can't steer the terminal: only colours pass.

    Args:
        as_json: one JSON object a line instead; `event` is `header`, `output`, `closing`, or an event of the ledger.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self._json = as_json
        self._rich = is_rich() and not as_json
        self._lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._early: list[Mapping[str, Any]] | None = []

    def header(self, rows: Sequence[tuple[str, str]]) -> None:
        """Say what runs, and which real part or stand-in each part of its world is: (name, text) pairs."""
        with self._turn():
            if self._json:
                print_json({"event": "header", "rows": [list(row) for row in rows]})
            else:
                self._header(rows)
            self._show_early()

    def action(self, event: Mapping[str, Any]) -> None:
        """Show one event; what happens before the header (the wallet is funded) is shown below it."""
        with self._turn():
            if self._early is None:
                self._action(event)
            else:
                self._early.append(event)

    def output(self, data: bytes) -> None:
        """Show what the agent wrote, line by line."""
        with self._turn():
            self._show_early()
            text = self._decoder.decode(data)
            if self._json:
                print_json({"event": "output", "text": text})
                return
            *lines, self._pending = (self._pending + text).split("\n")
            for line in lines:
                self._agent_line(line)
            while len(self._pending) > LINE_MAX:
                self._agent_line(self._pending[:LINE_MAX])
                self._pending = self._pending[LINE_MAX:]
            sys.stdout.flush()

    def closing(self, headings: Sequence[str], rows: Sequence[Sequence[object]], *, text: str = "") -> None:
        """Say what it came to: a table and a last line."""
        with self._turn():
            self._show_early()
            if self._json:
                table = [dict(zip(headings, map(str, row), strict=True)) for row in rows]
                print_json({"event": "closing", "table": table, "text": text})
                return
            self._flush_output()
            if rows:
                say()
                print_table(headings, rows)
            if text:
                text = clean(text, lines=True)
                say(("\n" if rows else "") + (textwrap.fill(text, terminal_width()) if self._rich else text))
            sys.stdout.flush()

    @contextmanager
    def _turn(self) -> Generator[None]:
        """One thread prints at a time; when nobody reads any more, the run goes on unseen."""
        with self._lock:
            try:
                yield
            except BrokenPipeError:
                fall_silent()

    def _header(self, rows: Sequence[tuple[str, str]]) -> None:
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            if self._rich:
                lines = textwrap.wrap(clean(text), max(_NARROW, terminal_width() - width - 3)) or [""]
                say(f"\x1b[1m{name:{width}}\x1b[0m  " + f"\n{' ' * (width + 2)}".join(lines))
            else:
                say(f"{name:{width}}  {clean(text)}")
        say()

    def _show_early(self) -> None:
        early, self._early = self._early, None
        for event in early or ():
            self._action(event)

    def _action(self, event: Mapping[str, Any]) -> None:
        if self._json:
            print_json(event)
            return
        self._flush_output()
        if self._rich:
            if not says_nothing(event):
                say(terminal_lines(event, width=terminal_width()))
        else:
            say(plain_line(event, with_run=False))
        sys.stdout.flush()

    def _flush_output(self) -> None:
        if self._pending:
            self._agent_line(self._pending)
            self._pending = ""

    def _agent_line(self, line: str) -> None:
        line = line.removesuffix("\r")
        if self._rich:
            bar = f"{'agent':>8} │"
            for piece in _pieces(line, terminal_width() - len(bar) - 2):
                say(f"\x1b[2m{bar}\x1b[0m {piece}")
                bar = f"{'':8} │"
        else:
            say(f"agent | {clean(_COLOUR.sub('', line))}")


def _pieces(line: str, room: int) -> list[str]:
    """What fits on one line each; a line with colours in it is left to the terminal to break."""
    room = max(_NARROW, room)
    if _COLOUR.search(line):
        return [coloured(line)]
    text = clean(line.expandtabs(4))
    return [text[start : start + room] for start in range(0, len(text), room)] or [""]


def coloured(line: str) -> str:
    """An agent's line for a terminal: its colours, but no other control."""
    parts = _COLOUR.split(line)
    text = "".join(part if number % 2 else clean(part) for number, part in enumerate(parts))
    return f"{text}\x1b[0m" if len(parts) > 1 else text
