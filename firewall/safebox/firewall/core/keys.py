"""Which idempotency keys were ever used, in eight bytes each: a run that lives for a million actions has as many.

A key is known by the first 64 bits of its BLAKE2b hash. Two keys that share them are taken for one: the second is then
refused although nobody used it, which happens once in ten million runs of a million actions, and does no harm.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from hashlib import blake2b
from typing import Final

_SHELF_BITS: Final = 59
"""The upper five bits choose one of 32 sorted arrays: adding to a million moves 120 KB, six microseconds' work."""


class UsedKeys:
    """A set of keys that only grows."""

    __slots__ = ("_shelves",)

    def __init__(self) -> None:
        self._shelves: dict[int, array[int]] = {}

    def add(self, key: str) -> None:
        """Remember a key."""
        name = _name(key)
        shelf = self._shelves.get(name >> _SHELF_BITS)
        if shelf is None:
            shelf = self._shelves[name >> _SHELF_BITS] = array("Q")
        insort(shelf, name)

    def __contains__(self, key: str) -> bool:
        name = _name(key)
        shelf = self._shelves.get(name >> _SHELF_BITS)
        if shelf is None:
            return False
        place = bisect_left(shelf, name)
        return place < len(shelf) and shelf[place] == name


def _name(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest())
