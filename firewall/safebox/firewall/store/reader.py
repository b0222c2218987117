"""Reading a ledger without a firewall: for `audit tail`, `ps`, `logs` and people's own programs."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from safebox.firewall.errors import ConfigError

DAMAGE: Final = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a damaged file raises; the second when SQLite's own message repeats what it found."""


@contextlib.contextmanager
def open_ledger(path: Path) -> Generator[sqlite3.Connection]:
    """Open a ledger for reading only.

    Raises:
        ConfigError: if there is none.
    """
    if not path.is_file():
        raise ConfigError(
            f"there is no ledger at {path}", remedy="give the path of a ledger.sqlite3, or set SAFEBOX_HOME"
        )
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        yield db


def read_events(path: Path, *, after: int = 0, marks: Sequence[bytes] = ()) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give each event after record number `after`, in order, with its number.

    With `marks`, only records with one of these in them: the others are not even decoded.

    Raises:
        ConfigError: if there is no ledger, or it isn't one.
    """
    with open_ledger(path) as db:
        try:
            like = " OR ".join("instr(body, ?)" for _ in marks) or "1"
            query = f"SELECT seq, body FROM events WHERE seq > ? AND ({like}) ORDER BY seq"  # noqa: S608 (no words in it)
            for seq, body in db.execute(query, (after, *marks)):
                yield seq, json.loads(body)
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise ConfigError(f"{path} is not a readable ledger: {error}", remedy="run safebox audit verify") from error


def last_record(path: Path) -> int:
    """The number of the newest record; 0 if there is none.

    Raises:
        ConfigError: if there is no ledger, or it isn't one.
    """
    with open_ledger(path) as db:
        try:
            (number,) = db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        except DAMAGE as error:
            raise ConfigError(f"{path} is not a readable ledger: {error}", remedy="run safebox audit verify") from error
    return int(number)


def last_checkpoint(path: Path) -> str | None:
    """The newest signed checkpoint of a ledger; None if it has none.

    Raises:
        ConfigError: if there is no ledger, or it isn't one.
    """
    with open_ledger(path) as db:
        try:
            row = db.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
        except DAMAGE as error:
            raise ConfigError(f"{path} has no checkpoints: {error}", remedy="run safebox audit verify") from error
    return None if row is None else str(row[0])
