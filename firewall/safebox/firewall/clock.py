"""Time that never goes back within one ledger, and identifiers that sort by it."""

from __future__ import annotations

import secrets
import time
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, lower case: no letter looks like a digit."""
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
"""Ten bits as two digits: a look-up in place of two divisions."""
_RANDOM_BYTES: Final = 10
"""80 random bits: two identifiers of one millisecond never meet."""
_POOL_BYTES: Final = 4_000
"""Randomness is asked of the kernel for 400 identifiers at once: a system call for each is a tenth of a decision."""


class SystemClock:
    """The machine's clock, held at the latest time seen when somebody sets it back.

    Args:
        not_before_ns: the time of the ledger's last event.
    """

    def __init__(self, not_before_ns: int = 0) -> None:
        self._last = not_before_ns
        self._stamped = (-1, "")
        self._pool = b""
        self._used = 0

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, never less than before."""
        now = time.time_ns()
        self._last = max(self._last, now)
        return self._last

    def new_id(self, prefix: str) -> str:
        """`<prefix>_` and 26 characters: milliseconds, then randomness."""
        millisecond = self.now_ns() // 1_000_000
        if self._stamped[0] != millisecond:
            self._stamped = millisecond, _digits(millisecond, 5)
        return f"{prefix}_{self._stamped[1]}{_digits(self._random(), 8)}"

    def _random(self) -> int:
        if self._used == len(self._pool):
            self._pool, self._used = secrets.token_bytes(_POOL_BYTES), 0
        start, self._used = self._used, self._used + _RANDOM_BYTES
        return int.from_bytes(self._pool[start : self._used])


def _digits(value: int, pairs: int) -> str:
    """The lowest `pairs` times ten bits of a number as base-32 digits."""
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(10 * (pairs - 1), -1, -10)])
