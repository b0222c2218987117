"""Counters whose labels are bounded and whose children are at hand: what `metrics.py` is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter

OTHER: Final = "other"
"""What a label says past its limit."""


class Bounded:
    """A label that takes so many different values and calls the rest "other"."""

    __slots__ = ("_limit", "_seen")

    def __init__(self, known: Iterable[str], limit: int) -> None:
        self._seen = {OTHER, *known}
        self._limit = limit

    def __call__(self, value: str) -> str:
        """The value, or "other"."""
        if value in self._seen:
            return value
        if len(self._seen) > self._limit:
            return OTHER
        self._seen.add(value)
        return value


class Counts:
    """A counter with bounded labels and its children at hand."""

    __slots__ = ("_bounds", "_children", "_counter")

    def __init__(self, counter: Counter, *bounds: Bounded) -> None:
        self._counter = counter
        self._bounds = bounds
        self._children: dict[tuple[str, ...], Counter] = {}

    def start(self, rows: Iterable[tuple[str, ...]]) -> None:
        """Make these children now, at 0."""
        for row in rows:
            self.child(row)

    def child(self, row: tuple[str, ...]) -> Counter:
        """The counter of these label values; values not seen before are bounded first."""
        found = self._children.get(row)
        if found is not None:
            return found
        bounded = tuple(bound(value) for bound, value in zip(self._bounds, row, strict=True))
        child = self._counter.labels(*bounded)
        if bounded == row:  # an "other" isn't kept under the name that was asked for: those have no end
            self._children[row] = child
        return child


def all_of(values: Iterable[str]) -> Bounded:
    """A closed set: anything else is "other"."""
    return Bounded(values, 0)
