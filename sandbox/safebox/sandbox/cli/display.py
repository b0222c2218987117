"""What `safebox run` shows while an agent runs: who it is, what it prints, and every action as it happens."""

from __future__ import annotations

import codecs
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from safebox.sandbox.cli.console import is_rich, print_json, print_table, say
from safebox.sandbox.cli.event_lines import plain_line, terminal_lines
from safebox.sandbox.cli.words import clean, fields, line_granted, line_left, line_spent

LINE_MAX: Final = 4096
"""An agent's line longer than this is shown in pieces, so that nothing is held back without bound."""
_COUNTED: Final = {"allow": "allowed", "deny": "denied", "hold": "held"}
_SWEPT: Final = {"done": "; the rest went back to the owner", "failed": "; the rest could not be swept yet"}
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
        parts: which real part or stand-in each part of the run's world is, for the header.
        as_json: one JSON object a line instead: {"event": "header" | "output" | "trouble" | "closing" | an event of the ledger}.
    """

    def __init__(self, *, as_json: bool = False, parts: Mapping[str, str] | None = None) -> None:
        self._parts = dict(parts or {})
        self._counts: Counter[str] = Counter()
        self._json = as_json
        self._rich = is_rich() and not as_json
        self._lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    def started(self, about: Mapping[str, Any]) -> None:
        """Say what runs; `about` is the firewall's answer to `start`."""
        rows = [(name, str(about[name])) for name in ("run", "agent", "image") if about.get(name)]
        rows += [("command", " ".join(about["command"]))] if about.get("command") else []
        rows += [("wallet", str(about["address"]))] if about.get("address") else []
        self.header([*rows, *self._parts.items()])

    def header(self, rows: Sequence[tuple[str, str]]) -> None:
        """Say what runs, and which real part or stand-in each part of its world is: (name, text) pairs."""
        with self._lock:
            if self._json:
                print_json({"event": "header", **dict(rows)})
                return
            width = max((len(name) for name, _ in rows), default=0)
            for name, text in rows:
                label = f"\x1b[1m{name:{width}}\x1b[0m" if self._rich else f"{name:{width}}"
                say(f"{label}  {clean(text)}")
            say()

    def action(self, event: Mapping[str, Any]) -> None:
        """Show one ledger event, live or read."""
        with self._lock:
            self._counts[str(fields(event.get("answer")).get("verdict"))] += 1
            if self._json:
                print_json(event)
                return
            self._flush_output()
            say(terminal_lines(event, width=terminal_width()) if self._rich else plain_line(event))
            sys.stdout.flush()

    def trouble(self, text: str) -> None:
        """Say that something went wrong around the run: the firewall died, or came back."""
        with self._lock:
            if self._json:
                print_json({"event": "trouble", "text": text})
                return
            self._flush_output()
            say(f"safebox: {clean(text)}", style="yellow")
            sys.stdout.flush()

    def output(self, data: bytes) -> None:
        """Show what the agent wrote, line by line."""
        with self._lock:
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

    def ended(self, reason: str, exit_code: int | None, summary: Mapping[str, Any]) -> None:
        """Say how the run ended and what was spent; `summary` is the firewall's answer to `end`."""
        lines: Sequence[Mapping[str, Any]] = summary.get("lines", ())
        rows = [(line["rail"], line_granted(line), line_spent(line), line_left(line)) for line in lines]
        status = "" if exit_code is None else f" with status {exit_code}"
        counted = ", ".join(f"{self._counts[verdict]} {word}" for verdict, word in _COUNTED.items())
        swept = _SWEPT.get(str(summary.get("swept")), "")
        self.closing(("BUDGET", "GRANTED", "SPENT", "LEFT"), rows, text=f"{reason}{status}; {counted}{swept}")

    def closing(self, headings: Sequence[str], rows: Sequence[Sequence[object]], *, text: str = "") -> None:
        """Say what it came to: a table and a last line."""
        with self._lock:
            if self._json:
                table = [dict(zip(headings, map(str, row), strict=True)) for row in rows]
                print_json({"event": "closing", "table": table, "text": text})
                return
            self._flush_output()
            if rows:
                say()
                print_table(headings, rows)
            if text:
                say(("\n" if rows else "") + clean(text, lines=True))
            sys.stdout.flush()

    def _flush_output(self) -> None:
        if self._pending:
            self._agent_line(self._pending)
            self._pending = ""

    def _agent_line(self, line: str) -> None:
        line = line.removesuffix("\r")
        if self._rich:
            say(f"\x1b[2m{'agent':>8} │\x1b[0m {coloured(line)}")
        else:
            say(f"agent | {clean(_COLOUR.sub('', line))}")


def coloured(line: str) -> str:
    """An agent's line for a terminal: its colours, but no other control."""
    parts = _COLOUR.split(line)
    text = "".join(part if number % 2 else clean(part) for number, part in enumerate(parts))
    return f"{text}\x1b[0m" if len(parts) > 1 else text
