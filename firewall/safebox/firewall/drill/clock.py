"""Time that passes when it is told to."""

from __future__ import annotations

import itertools
from typing import Final

from safebox.firewall.core.windows import SECOND

NOW_NS: Final = 1_780_000_000 * SECOND


class StepClock:
    """Advances a microsecond at each look; identifiers count. A `Clock` (see `ports`)."""

    def __init__(self, now_ns: int = NOW_NS) -> None:
        self.now = now_ns
        self.prefix = ""
        self._ids = itertools.count(1)

    def now_ns(self) -> int:
        """Now, a microsecond after the last look."""
        self.now += 1000
        return self.now

    def new_id(self, prefix: str) -> str:
        """The next identifier."""
        return f"{prefix}_{self.prefix}{next(self._ids):06d}"

    def advance(self, seconds: int) -> None:
        """So much time passes."""
        self.now += seconds * SECOND
