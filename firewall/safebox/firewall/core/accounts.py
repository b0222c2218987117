"""The account tree: one line of budget for each rail and asset of a run, a child's carved out of its parent's.

Rule 1: spent + reserved + exposed + lent never exceeds granted, on any line, if every taking was asked for first.
Rule 2: what flows through a line in a rolling window flows through its parent's, too.
Rule 3: while a child lives its whole grant is lent to it; once it has ended, what it did not commit is its parent's
        again, and what becomes free later comes back when it does.
"""

from __future__ import annotations

from safebox.firewall.core.windows import DAY, HOUR, Window


class Line:
    """One budget line, in smallest units.

    Attributes:
        granted: what a human, or the parent run, gave.
        spent: what is gone.
        reserved: what allowed actions may still take.
        exposed: what others may take because the run approved it (a token approval).
        lent: what children were given and have not given back.
        hour: what was allowed, at worst until it is known, in the last hour.
        day: the same of the last day.
    """

    __slots__ = ("_closed", "day", "exposed", "granted", "hour", "lent", "parent", "reserved", "spent")

    def __init__(self, granted: int, parent: Line | None = None) -> None:
        self.granted = granted
        self.parent = parent
        self.spent = 0
        self.reserved = 0
        self.exposed = 0
        self.lent = 0
        self.hour = Window(HOUR)
        self.day = Window(DAY, 144)
        self._closed = False
        if parent is not None:
            parent.take(lent=granted)

    @property
    def committed(self) -> int:
        """What is not free."""
        return self.spent + self.reserved + self.exposed + self.lent

    @property
    def remaining(self) -> int:
        """What may still be reserved or lent; 0 after the end, or if an outcome cost more than was reserved."""
        return 0 if self._closed else max(0, self.granted - self.committed)

    def take(self, *, spent: int = 0, reserved: int = 0, exposed: int = 0, lent: int = 0) -> None:
        """Change what is committed by these, which may be negative. Nothing is checked: `remaining` is asked first."""
        self.spent += spent
        self.reserved += reserved
        self.exposed += exposed
        self.lent += lent
        if self._closed and self.parent is not None:
            self.parent.take(lent=spent + reserved + exposed + lent)

    def flow(self, at_ns: int, units: int) -> None:
        """Count what was allowed at this time; a negative amount corrects what was counted then."""
        line: Line | None = self
        while line is not None:
            line.hour.add(at_ns, units)
            line.day.add(at_ns, units)
            line = line.parent

    def close(self) -> None:
        """Give what is free back to the parent; the run has ended."""
        if not self._closed:
            self._closed = True
            if self.parent is not None:
                self.parent.take(lent=self.committed - self.granted)
