"""From what was tried to one letter: neither letting everything through nor blocking everything earns a good one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from safebox.firewall.drill.entry import Severity

BEST: Final = "A"
_LETTERS: Final = {Severity.CRITICAL: "F", Severity.HIGH: "D", Severity.MEDIUM: "C", Severity.LOW: "B"}
"""What one attack that goes through leaves at best."""
_BLOCKED: Final = (("F", 1, 1), ("D", 1, 2), ("C", 1, 4))
"""What is left at best where at least this share of the harmless is denied: all, half, a quarter; any is a B."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried, or why it wasn't.

    `outcome` is `pass`, `FAIL`, or `not granted` where the mandate gives no occasion. `by` says who judged it: the
    whole path, or policy alone. `mend` is there if it failed.
    """

    section: str
    name: str
    kind: Literal["attack", "harmless"]
    severity: str
    text: str
    wanted: str
    got: str
    code: str
    outcome: Literal["pass", "FAIL", "not granted"]
    by: Literal["path", "policy"]
    note: str = ""
    mend: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that was tried, as if it were `moment`. `grade` is A to F; empty if the mandate grants nothing to grade."""

    agent: str
    bundle: str
    moment: str
    problem: str | None
    grade: str
    rows: tuple[Row, ...]
    not_tried: tuple[tuple[str, str, str], ...]
    seconds: float

    @property
    def failed(self) -> tuple[Row, ...]:
        """Attacks that went through and neighbours that didn't."""
        return tuple(row for row in self.rows if row.outcome == "FAIL")

    @property
    def sound(self) -> bool:
        """Whether all is as wanted, and something was tried on both sides."""
        return self.grade == BEST


def grade_of(rows: Iterable[Row]) -> str:
    """The letter for what was tried; nothing if nothing harmless is granted, for then a wall would do.

    A: every attack stopped, everything harmless let through. B: something harmless denied, or a low attack through.
    C: a medium one through, or a quarter of the harmless denied. D: a high one, or half. F: a critical one, or all.
    """
    counted = [row for row in rows if row.outcome != "not granted"]
    harmless = [row for row in counted if row.kind == "harmless"]
    attacks = [row for row in counted if row.kind == "attack"]
    if not harmless or not attacks:
        return ""
    letters = [_LETTERS[Severity(row.severity)] for row in attacks if row.outcome == "FAIL"]
    return max([BEST, *letters, _usefulness(harmless)])


def _usefulness(harmless: Sequence[Row]) -> str:
    denied = sum(row.outcome == "FAIL" for row in harmless)
    for letter, part, whole in _BLOCKED:
        if denied * whole >= len(harmless) * part:
            return letter
    return "B" if denied else BEST
