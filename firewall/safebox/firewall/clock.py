"""Time that never goes back within one ledger, and identifiers that sort by it."""

from __future__ import annotations

import secrets
import time
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, lower case: no letter looks like a digit."""
_TIME_DIGITS: Final = 10
_RANDOM_BYTES: Final = 10
"""80 random bits: two identifiers of one millisecond never meet."""


class SystemClock:
    """The machine's clock, held at the latest time seen when somebody sets it back.

    Args:
        not_before_ns: the time of the ledger's last event.
    """

    def __init__(self, not_before_ns: int = 0) -> None:
        self._last = not_before_ns

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, never less than before."""
        self._last = max(self._last, time.time_ns())
        return self._last

    def new_id(self, prefix: str) -> str:
        """`<prefix>_` and 26 characters: milliseconds, then randomness."""
        stamp = _base32(self.now_ns() // 1_000_000, _TIME_DIGITS)
        return f"{prefix}_{stamp}{_base32(int.from_bytes(secrets.token_bytes(_RANDOM_BYTES)), 16)}"


def _base32(value: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        value, index = divmod(value, 32)
        text = _ALPHABET[index] + text
    return text
