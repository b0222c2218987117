"""Rolling counts in constant memory: never less than the true count, at most one bucket more.

Fixed windows double at the seam; rolling ones don't. A bucket that is partly inside the window counts wholly, so the
error is always on the strict side.
"""

from __future__ import annotations

from collections import deque
from typing import Final

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


class Window:
    """How many in the last `width` nanoseconds, kept in buckets of `width / buckets`."""

    __slots__ = ("_buckets", "_size", "_total", "_width")

    def __init__(self, width: int, buckets: int = 60) -> None:
        self._width = width
        self._size = width // buckets
        self._buckets: deque[list[int]] = deque()
        self._total = 0

    def add(self, now: int, count: int = 1) -> None:
        """Count something that happened at `now`; a negative `count` takes back what was counted at `now`."""
        index = now // self._size
        self._total += count
        place = len(self._buckets)
        for bucket in reversed(self._buckets):  # what is counted late belongs before what came meanwhile
            if bucket[0] == index:
                bucket[1] += count
                return
            if bucket[0] < index:
                break
            place -= 1
        self._buckets.insert(place, [index, count])

    def count(self, now: int) -> int:
        """How many there were in the window that ends at `now`."""
        oldest = (now - self._width) // self._size
        while self._buckets and self._buckets[0][0] < oldest:
            self._total -= self._buckets.popleft()[1]
        return self._total


class Rates:
    """The rolling counts policy is shown for one kind of action."""

    __slots__ = ("day", "hour", "minute")

    def __init__(self) -> None:
        self.minute = Window(MINUTE)
        self.hour = Window(HOUR)
        self.day = Window(DAY, 144)

    def add(self, now: int, count: int = 1) -> None:
        """Count one allowed action."""
        for window in (self.minute, self.hour, self.day):
            window.add(now, count)

    def counts(self, now: int) -> dict[str, int]:
        """The counts by the names of the policy input."""
        return {"minute": self.minute.count(now), "hour": self.hour.count(now), "day": self.day.count(now)}
