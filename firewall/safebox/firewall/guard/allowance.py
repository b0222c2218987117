"""How long policy may take over one run's requests: an allowance that fills again slowly."""

from __future__ import annotations

import math
from typing import Final

FULL_SECONDS: Final = 5.0
"""What a run may use at once: a hundred evaluations that are just slow, or five just under the deadline."""
REFILL: Final = 0.02
"""Of real time: in the long run slow evaluations of one run take a fiftieth of everybody's time at most."""


class Allowance:
    """What each run has used of its allowance. Runs that used none, or long ago, take no memory."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, int]] = {}

    @property
    def known(self) -> bool:
        """Whether any run has used some."""
        return bool(self._used)

    def spend(self, run: str, seconds: float, now_ns: int) -> None:
        """Take from a run's allowance."""
        self._used = {name: at for name, at in self._used.items() if _now(at, now_ns) > 0}
        self._used[run] = _now(self._used.get(run, (0.0, now_ns)), now_ns) + seconds, now_ns

    def wait(self, run: str, now_ns: int) -> int:
        """In how many seconds the run may ask again; 0 if now."""
        found = self._used.get(run)
        over = 0.0 if found is None else _now(found, now_ns) - FULL_SECONDS
        return 0 if over < 0 or found is None else max(1, math.ceil(over / REFILL))


def _now(used: tuple[float, int], now_ns: int) -> float:
    seconds, at_ns = used
    return max(0.0, seconds - (now_ns - at_ns) / 1e9 * REFILL)
