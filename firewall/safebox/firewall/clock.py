"""Time that never goes back within one ledger, and identifiers that sort by it."""

from __future__ import annotations

import secrets
import time
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, lower case: no letter looks like a digit."""
_DIGITS: Final = bytes(ord(_ALPHABET[byte & 31]) for byte in range(256))
"""Each byte as the digit of its lowest five bits."""
_RANDOM_DIGITS: Final = 16
"""80 random bits: two identifiers of one millisecond never meet."""
_POOL_BYTES: Final = 400 * _RANDOM_DIGITS
"""Randomness is asked of the kernel for 400 identifiers at once: a system call for each is a tenth of a decision."""


class SystemClock:
    """The machine's clock, held at the latest time seen when somebody sets it back.

    Args:
        not_before_ns: the time of the ledger's last event.
    """

    def __init__(self, not_before_ns: int = 0) -> None:
        self._last = not_before_ns
        self._stamped = (-1, "")
        self._pool = ""
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
            self._stamped = millisecond, _digits(millisecond, 10)
        return f"{prefix}_{self._stamped[1]}{self._random()}"

    def _random(self) -> str:
        """16 digits of chance."""
        if self._used == len(self._pool):
            self._pool = secrets.token_bytes(_POOL_BYTES).translate(_DIGITS).decode("ascii")
            self._used = 0
        start, self._used = self._used, self._used + _RANDOM_DIGITS
        return self._pool[start : self._used]


def _digits(value: int, count: int) -> str:
    """The lowest `count` times five bits of a number as base-32 digits."""
    return "".join([_ALPHABET[value >> shift & 31] for shift in range(5 * (count - 1), -1, -5)])
