"""Pieces add up: how much of the run each destination has been given over all messages.

Distinct fingerprints are counted, so the same two quoted lines sent a hundred times stay two lines. Ask `would_be`
before a decision and `add` after an allow: what was denied never left.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from safebox.firewall.behaviour.overlap import is_shape

DESTINATIONS_MAX: Final = 1024
"""Per run; everything past them counts as one destination, so a new address for each piece gains nothing."""
FINGERPRINTS_MAX: Final = 2048
"""Kept per destination and form: fifty times what policy lets pass."""

_OTHERS: Final = ""


class Accumulator:
    """The fingerprints one run has sent, by destination. Bounded by the two constants above."""

    __slots__ = ("_sent",)

    def __init__(self) -> None:
        self._sent: dict[str, tuple[set[int], set[int]]] = {}

    def would_be(self, destination: str, fingerprints: Iterable[int]) -> int:
        """What `add` would answer, with nothing remembered."""
        words, shape = self._sent.get(self._place(destination), (set[int](), set[int]()))
        new = set(fingerprints)
        return max(sum(not is_shape(one) for one in new | words), sum(map(is_shape, new | shape)))

    def add(self, destination: str, fingerprints: Iterable[int]) -> int:
        """Remember what was sent; how many distinct fingerprints of the run this destination has now.

        Fails closed: a destination past `DESTINATIONS_MAX` shares its count with all others past it.
        """
        forms = self._sent.setdefault(self._place(destination), (set(), set()))
        for one in fingerprints:
            form = forms[is_shape(one)]
            if len(form) < FINGERPRINTS_MAX:
                form.add(one)
        return max(map(len, forms))

    def _place(self, destination: str) -> str:
        return destination if destination in self._sent or len(self._sent) < DESTINATIONS_MAX else _OTHERS
