"""How far long work has come: one line that is drawn again and again on a terminal, and nothing in a pipe."""

from __future__ import annotations

import sys
import time
from typing import Final, Self

from safebox.sandbox.cli.help_page import wants_colour

DRAW_SECONDS: Final = 0.1
"""Between two drawings: smooth to the eye, and nothing beside the work."""
FIRST_SECONDS: Final = 0.1
"""Work that is done sooner needs no line."""
BAR: Final = 24


class Progress:
    """Shows on standard error how many of something are done, of how many, and how many a second; gone when it ends.

    Args:
        what: was done with them, as in "checked".
        noun: what they are.
        quiet: show nothing in any case.
    """

    def __init__(self, what: str, *, noun: str = "records", quiet: bool = False) -> None:
        self._what = what
        self._noun = noun
        self._quiet = quiet or not sys.stderr.isatty()
        self._started = self._drawn = time.monotonic()

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._drawn = self._started + FIRST_SECONDS - DRAW_SECONDS
        return self

    def __exit__(self, *_: object) -> None:
        if not self._quiet:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def show(self, done: int, total: int) -> None:
        """Draw the line again, unless that was just done."""
        now = time.monotonic()
        if self._quiet or now - self._drawn < DRAW_SECONDS:
            return
        self._drawn = now
        sys.stderr.write("\r\x1b[K" + self._line(done, total, now - self._started))
        sys.stderr.flush()

    def _line(self, done: int, total: int, seconds: float) -> str:
        full = BAR * min(done, total) // max(1, total)
        bar = "█" * full + "░" * (BAR - full)
        if not wants_colour(sys.stderr):
            bar = "#" * full + "." * (BAR - full)
        rate = done / seconds if seconds > 0 else 0.0
        return f"{self._what} {done:,} of {total:,} {self._noun} {bar} {rate:,.0f}/s"
