"""One asset's price from a feed: which readings are believed, and for how long. A feed that lies low is an attack.

Rule 1: what is outside floor and ceiling is no price, whoever says it.
Rule 2: a rise counts at once: it only makes things dearer. A fall by more than a factor counts when the feed has told
        it for as long as a price may be old; until then the higher price goes on, and grows old.
Rule 3: a reading is as old as the feed says, never younger than the one before, and none is from the future.
"""

from __future__ import annotations

from typing import Final

import msgspec

from safebox.firewall.core.total import DIGITS, Reading

SKEW_NS: Final = 60 * 10**9
"""How far a feed's clock may be ahead of ours: a minute is more than machines with NTP ever differ."""
_SECOND: Final = 10**9


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner says of an asset: prices as 10**-18 USD for a whole; `fall` is a factor with 18 decimals."""

    decimals: int
    floor: int
    ceiling: int
    fall: int


class Followed:
    """What a feed has said of one asset, as far as it is believed.

    Args:
        bounds: what may be believed.
        max_age_s: how old a price may get.
    """

    def __init__(self, bounds: Bounds, max_age_s: int) -> None:
        self._bounds = bounds
        self._max_age_s = max_age_s
        self._usd: int | None = None
        self._at_ns = 0
        self._falling_ns: int | None = None
        self.refused = ""

    def hear(self, usd: int, at_ns: int, now_ns: int) -> None:
        """Take a reading, or say in `refused` why not."""
        why = self._wrong(usd, at_ns, now_ns)
        if why:
            self.miss(why)
        elif self._falls(usd, now_ns):
            self.refused = "a sudden fall"
        else:
            self._usd, self._at_ns, self._falling_ns, self.refused = usd, min(at_ns, now_ns), None, ""

    def miss(self, why: str) -> None:
        """Know that there was no reading; a fall has to be told again from the beginning."""
        self.refused, self._falling_ns = why, None

    def reading(self, now_ns: int) -> Reading | None:
        """The price as it is known now; None: there was none to believe yet."""
        if self._usd is None:
            return None
        age = max(0, -(-(now_ns - self._at_ns) // _SECOND))
        return Reading(usd=self._usd, decimals=self._bounds.decimals, age_s=age, max_age_s=self._max_age_s)

    def _wrong(self, usd: int, at_ns: int, now_ns: int) -> str:
        if not self._bounds.floor <= usd <= self._bounds.ceiling:
            return "outside floor and ceiling"
        if at_ns > now_ns + SKEW_NS:
            return "from the future"
        if at_ns < self._at_ns:
            return "older than the one before"
        return ""

    def _falls(self, usd: int, now_ns: int) -> bool:
        """Whether it is a fall that has not been told for long enough."""
        if self._usd is None or usd * self._bounds.fall >= self._usd * 10**DIGITS:
            return False
        if self._falling_ns is None:
            self._falling_ns = now_ns
        return now_ns - self._falling_ns < self._max_age_s * _SECOND
