"""Bought containers as they can be seen from outside: which were made, for which action, and whether they ran."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safebox.sandbox.provider import REFERENCE
from tests.crash import moments
from tests.crash.trigger import Trigger

LOOK_SECONDS = 0.02
"""The load keeps each container for ten times as long."""


@dataclass(slots=True)
class Sighting:
    """One container: its action (`RUN.ACTION`), when it was first seen, whether it was started, what it wrote."""

    reference: str
    at_ns: int
    started: bool = False
    output: str = ""


class Sightings:
    """Looks at the engine's folder of each sandbox, again and again, from a thread of its own.

    A detached sandbox stays there until the firewall has settled its lease.
    """

    def __init__(self, folder: Path, trigger: Trigger) -> None:
        self._folder, self._trigger = folder, trigger
        self._over = threading.Event()
        self._known: set[str] = set()
        self.seen: dict[str, Sighting] = {}
        self._thread = threading.Thread(target=self._work, name="sightings")

    def __enter__(self) -> Sightings:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """See what is there now."""
        with suppress(FileNotFoundError):
            for place in self._folder.iterdir():
                if place.name not in self._known:
                    self._known.add(place.name)
                    self._trigger.reached(moments.SANDBOX)
                self._look_at(place)

    def _look_at(self, place: Path) -> None:
        with suppress(OSError, ValueError):
            state: dict[str, Any] = json.loads((place / "state").read_text())
            found = self.seen.setdefault(place.name, Sighting(state["labels"].get(REFERENCE, ""), time.time_ns()))
            found.started = found.started or "started_at" in json.loads((place / "report").read_text() or "{}")
            found.output = (place / "output").read_text() or found.output
