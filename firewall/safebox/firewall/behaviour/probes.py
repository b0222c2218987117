"""Whether somebody feels for a limit: amounts between the largest yes and the smallest no, closing in on it."""

from __future__ import annotations

from collections import deque
from typing import Final

from safebox.firewall.core.windows import HOUR

NARROWED_BP: Final = 6_000
"""A step that leaves at most so much of the gap closes in; halving leaves half."""
COUNTED: Final = 16
BP: Final = 10_000


class Probes:
    """What was asked of one asset, and how often the gap was narrowed within an hour."""

    __slots__ = ("_last", "_no", "_steps", "_yes")

    def __init__(self) -> None:
        self._yes: int = 0
        self._no: int | None = None
        self._last = 0
        self._steps: deque[int] = deque(maxlen=COUNTED)

    def ask(self, at_ns: int, units: int, *, allowed: bool) -> None:
        """Take one answer into account; an hour of silence, or a limit that moved, begins anew."""
        if at_ns - self._last > HOUR:
            self._yes, self._no = 0, None
        self._last = at_ns
        before = self._gap
        if allowed:
            self._yes = max(self._yes, units)
        elif self._no is None or units < self._no:
            self._no = units
        if self._no is not None and self._yes >= self._no:
            self._yes, self._no = (units, None) if allowed else (0, units)
            return
        if before is not None and self._gap is not None and self._gap * BP <= before * NARROWED_BP:
            self._steps.append(at_ns)

    def count(self, now: int) -> int:
        """How often the gap was narrowed in the last hour."""
        return sum(at + HOUR > now for at in self._steps)

    @property
    def _gap(self) -> int | None:
        return None if self._no is None else self._no - self._yes
