"""Kills the firewall at the moment it was told to wait for, from whichever thread sees that moment come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Trigger:
    """Strikes when a point is reached for the nth time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._point = ""
        self._nth = 1
        self._delay = 0.0
        self._strike: Callable[[], None] | None = None
        self.fired = threading.Event()

    def arm(self, point: str, strike: Callable[[], None], *, nth: int = 1, delay: float = 0.0) -> None:
        """Wait for a point; forget any other."""
        with self._lock:
            self._point, self._strike, self._nth, self._delay = point, strike, nth, delay
            self.fired.clear()

    def disarm(self) -> None:
        """Wait for nothing."""
        with self._lock:
            self._point = ""

    def reached(self, point: str) -> bool:
        """Say that a point is reached; true if that has just killed the firewall."""
        with self._lock:
            if point != self._point or self._strike is None:
                return False
            self._nth -= 1
            if self._nth > 0:
                return False
            self._point, strike = "", self._strike
        time.sleep(self._delay)
        strike()
        self.fired.set()
        return True
