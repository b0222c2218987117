"""Sees in the ledger's files that a moment has come, while a firewall writes them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from pathlib import Path

from tests.crash import moments
from tests.crash.trigger import Trigger

LOOK_SECONDS = 0.001


class Watcher:
    """Follows one ledger during one life. Nothing of it is open when the next firewall starts."""

    def __init__(self, ledger: Path, after: int, point: str, trigger: Trigger) -> None:
        self._ledger, self._after, self._point, self._trigger = ledger, after, point, trigger
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watcher")

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        if self._point == moments.FOLDED:
            self._until_folded()
        elif self._point == moments.SIGNED or self._point.startswith(("decided", "settled", "run_")):
            uri = f"{self._ledger.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as db:
                self._follow(db)

    def _until_folded(self) -> None:
        """SQLite writes to the main file only when it folds the write-ahead log into it."""
        before = self._ledger.stat().st_mtime_ns
        while not self._over.wait(LOOK_SECONDS):
            if self._ledger.stat().st_mtime_ns != before and self._trigger.reached(moments.FOLDED):
                return

    def _follow(self, db: sqlite3.Connection) -> None:
        signed = _signed(db)
        while not self._over.wait(LOOK_SECONDS):
            if self._point == moments.SIGNED:
                if _signed(db) > signed and self._trigger.reached(moments.SIGNED):
                    return
                continue
            for seq, body in db.execute("SELECT seq, body FROM events WHERE seq > ? ORDER BY seq", (self._after,)):
                self._after = seq
                if self._trigger.reached(_point_of(json.loads(body))):
                    return


def _signed(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(size), 0) FROM checkpoints").fetchone()[0])


def _point_of(event: dict[str, str]) -> str:
    return f"{event['event']} {event['tool']}" if "tool" in event else event["event"]
