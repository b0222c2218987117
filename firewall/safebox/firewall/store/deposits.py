"""The ledger's signed checkpoints are written to second places, so that nobody who has the ledger rewrites it alone.

At the start each place is read, and what it says must be true of the ledger. Then a thread for each place takes there
what is newest, every few seconds; decisions don't wait for it. What a place lacks is a metric.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from safebox.firewall.core.checkpoint import Checkpoint, Verifier, read, split, unchecked
from safebox.firewall.core.merkle import Tree, leaf_hash
from safebox.firewall.errors import ConfigError, LedgerUnavailable
from safebox.firewall.store.places import FilePlace, Place, PlaceUnavailable, open_place
from safebox.firewall.store.reader import DAMAGE, open_ledger
from safebox.firewall.store.walk import NEVER, KeptElsewhere

_LOG = logging.getLogger(__name__)

FIRST_SECONDS: Final = 0.5
"""Until the first: a run that ends soon shall not end unseen."""
DEPOSIT_SECONDS: Final = 10.0
"""Between two notes to one place: what may be rewritten without its noticing, against 12 MB of notes a week."""
PAUSE_MAX_SECONDS: Final = 60.0
"""A place that fails is tried again after a pause that doubles up to this."""
READ_TRIES: Final = 3
"""At the start, a second apart: more than a hiccup keeps the firewall from starting."""
CLOSE_SECONDS: Final = 3.0
"""How long the end of a firewall waits for the last note to be kept."""


def compare(ledger: Path, place: Place, key: Verifier) -> int:
    """Hold the ledger against everything a second place says; finish a note that was cut off there.

    Returns:
        the record up to which the place vouches for the ledger.

    Raises:
        PlaceUnavailable: if the place can't be read.
        ConfigError: if it holds something else than this ledger's checkpoints.
        LedgerUnavailable: if the ledger isn't the one they speak of. Fails closed.
    """
    kept = _kept(ledger, place, key)
    if not kept:
        _LOG.warning("%s has no checkpoint yet: nothing there vouches for what was recorded before", place.name)
        return 0
    complete, consistent = _answers(ledger, kept)
    if not complete:
        raise _refusal(place, "lacks records that were there", "restore the newest copy of the ledger")
    if not consistent:
        raise _refusal(place, "was rewritten", "keep the file as evidence, and restore the ledger as it was")
    return max(each.size for each in kept)


def newest(ledger: Path) -> tuple[int, str]:
    """The size and the note of the last checkpoint in the ledger; 0 and nothing if there is none.

    Raises:
        ConfigError: if there is no ledger.
        sqlite3.Error: if it can't be read.
    """
    with open_ledger(ledger) as db:
        row = db.execute("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
    return (0, "") if row is None else (int(row[0]), str(row[1]))


class Deposits:
    """All second places of one ledger. Make it before anything is written to the ledger, or signed.

    Args:
        places: files and http(s) addresses.
        ledger: the ledger's file.
        key: what isn't signed with it is not taken anywhere.

    Raises:
        SafeboxError: if a place can't be read, or the ledger isn't the one it speaks of; see `compare`.
    """

    def __init__(self, places: Sequence[str], ledger: Path, key: Verifier) -> None:
        self._ledger = ledger
        self._key = key
        opened = [open_place(each) for each in places]
        self._kept = [(place, compare(ledger, place, key)) for place in opened]
        self.all: list[Deposit] = []

    def start(self, size: Callable[[], int]) -> None:
        """Begin to take checkpoints there; `size` says how many records there are now."""
        self.all = [Deposit(place, self._ledger, self._key, size, kept=kept) for place, kept in self._kept]

    def close(self) -> None:
        """Take the last checkpoint there, as far as that takes no longer than `CLOSE_SECONDS`."""
        until = time.monotonic() + CLOSE_SECONDS
        for deposit in self.all:
            deposit.stop()
        for deposit in self.all:
            deposit.wait(max(0.0, until - time.monotonic()))


class Deposit:
    """Takes the newest checkpoint of a ledger to one place, from a thread of its own."""

    def __init__(self, place: Place, ledger: Path, key: Verifier, size: Callable[[], int], *, kept: int) -> None:
        self._place = place
        self._ledger = ledger
        self._key = key
        self._size = size
        self._kept = kept
        self._since: float | None = None
        self._failing = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"checkpoints to {place.name}", daemon=True)
        self._thread.start()

    def behind_records(self) -> int:
        """How many records the place doesn't vouch for."""
        return max(0, self._size() - self._kept)

    def behind_seconds(self) -> float:
        """How long the place has lacked a record it should have; grows while it can't be written, or hangs."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def stop(self) -> None:
        """Take one last checkpoint there, and end."""
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Wait for that."""
        self._thread.join(seconds)

    def _work(self) -> None:
        pause = FIRST_SECONDS
        while not self._stop.wait(pause):
            pause = DEPOSIT_SECONDS if self._deposit() else min(PAUSE_MAX_SECONDS, pause * 2)
        self._deposit()

    def _deposit(self) -> bool:
        """Take the newest checkpoint there if the place lacks it; whether that worked."""
        if not self.behind_records():
            self._since = None
            return True
        self._since = self._since if self._since is not None else time.monotonic()
        try:
            size, note = newest(self._ledger)
            if size > self._kept:
                read(note, self._key)
                self._place.keep(note)
                self._kept = size
                self._since = time.monotonic() if self.behind_records() else None
        except (PlaceUnavailable, ConfigError, sqlite3.Error) as error:
            self._tell(error)
            return False
        self._tell(None)
        return True

    def _tell(self, error: Exception | None) -> None:
        """Log the step from good to bad and back, not each try."""
        if error is not None and not self._failing:
            _LOG.error("checkpoints are not kept elsewhere: %s", error)
        if error is None and self._failing:
            _LOG.info("checkpoints are kept in %s again", self._place.name)
        self._failing = error is not None


def _kept(ledger: Path, place: Place, key: Verifier) -> list[Checkpoint]:
    """What a place says. Only the last signature is checked: an unsigned word can contradict a ledger all the same."""
    notes, rest = split(_read(place))
    if rest and isinstance(place, FilePlace):
        notes.append(_finished(ledger, place, rest))
    elif rest:
        raise _something_else(place)
    if not notes:
        return []
    try:
        read(notes[-1], key)
        return [unchecked(note) for note in notes]
    except ConfigError as error:
        raise _something_else(place) from error


def _read(place: Place) -> str:
    for _ in range(READ_TRIES - 1):
        try:
            return place.read()
        except PlaceUnavailable:
            time.sleep(1)
    try:
        return place.read()
    except PlaceUnavailable as error:
        raise PlaceUnavailable(
            f"the ledger can't be held against the checkpoints kept elsewhere: {error.cause}",
            remedy="bring that place back, or start without it (--checkpoint-to)",
        ) from error


def _finished(ledger: Path, place: Place, rest: str) -> str:
    """Finish the note that a crash cut off: signing is deterministic, so the ledger still has it."""
    with open_ledger(ledger) as db:
        row = db.execute(
            "SELECT note FROM checkpoints WHERE substr(note, 1, ?) = ? ORDER BY size DESC LIMIT 1", (len(rest), rest)
        ).fetchone()
    if row is None:
        raise _something_else(place)
    note = str(row[0])
    place.keep(note[len(rest) :])
    return note


def _answers(ledger: Path, kept: Sequence[Checkpoint]) -> tuple[bool, bool | None]:
    """Whether the ledger has all records these checkpoints name, and whether they are the same."""
    elsewhere, tree, last = KeptElsewhere(kept), Tree(), max(each.size for each in kept)
    if not ledger.is_file():
        return elsewhere.answers(NEVER)
    with open_ledger(ledger) as db:
        try:
            for (body,) in db.execute("SELECT body FROM events WHERE seq <= ? ORDER BY seq", (min(last, NEVER - 1),)):
                tree.append(leaf_hash(body))
                if tree.size == elsewhere.due:
                    elsewhere.see(tree)
        except DAMAGE as error:
            raise LedgerUnavailable(f"the ledger {ledger} can't be read: {error}") from error
    return elsewhere.answers(NEVER)


def _something_else(place: Place) -> ConfigError:
    return ConfigError(
        f"{place.name} holds something else than this ledger's checkpoints",
        remedy="name the place this ledger's checkpoints are kept in, or a new one",
    )


def _refusal(place: Place, what: str, remedy: str) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"the ledger {what} since a checkpoint in {place.name} was signed",
        remedy=f"run safebox audit verify --checkpoint {place.name}; {remedy}",
    )
