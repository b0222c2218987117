"""What the stand-in chain remembers: its genesis and each accepted transaction.

`DIR/genesis.json` is written once. `DIR/journal` has one line of JSON per transaction, durable before the transaction
is answered. A line cut short by a crash was never answered for, so it is cut off at the next start.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec


class Genesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a chain starts: its id, its time in seconds since 1970, and balances in wei as decimal text."""

    chain_id: int
    timestamp: int
    balances: dict[str, str]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One accepted transaction, as the bytes that were sent, and its block's time."""

    timestamp: int
    raw: str


class JournalError(Exception):
    """The state folder can't be used: in use by another chain, or of another genesis, or damaged."""


class Journal:
    """The append-only file of accepted transactions, held by one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Open or create the journal in `folder`.

        Raises:
            JournalError: Another process holds it.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._file = os.open(folder / "journal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise JournalError(f"{folder} is in use by another chain") from error
        _sync_folder(folder)

    def genesis(self, wanted: Genesis) -> Genesis:
        """Return the genesis in force: the recorded one, or `wanted` at the first start.

        Raises:
            JournalError: The recorded one has another chain id or other balances.
        """
        path = self._folder / "genesis.json"
        if not path.exists():
            temporary = self._folder / "genesis.json.new"
            with temporary.open("wb") as file:
                file.write(msgspec.json.encode(wanted))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(self._folder)
            return wanted
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Genesis)
        except msgspec.DecodeError as error:
            raise JournalError(f"{path} is damaged: {error}") from error
        if (found.chain_id, found.balances) != (wanted.chain_id, wanted.balances):
            raise JournalError(f"{path} was made with other --fund balances or another chain id")
        return found

    def entries(self) -> list[Entry]:
        """Read all entries; a line cut short by a crash is removed.

        Raises:
            JournalError: A complete line can't be read.
        """
        content = _read_all(self._file)
        whole = content.rfind(b"\n") + 1
        os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)
        try:
            return [msgspec.json.decode(line, type=Entry) for line in content[:whole].splitlines()]
        except msgspec.DecodeError as error:
            raise JournalError(f"the journal in {self._folder} is damaged: {error}") from error

    def append(self, entry: Entry) -> None:
        """Make one entry durable.

        Raises:
            OSError: It could not be written; the process must end, for memory is now ahead of the disk.
        """
        line = msgspec.json.encode(entry) + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError("the journal took only part of a line")
        os.fdatasync(self._file)

    def close(self) -> None:
        """Let go of the journal."""
        os.close(self._file)


def _read_all(file: int) -> bytes:
    size = os.fstat(file).st_size
    content = b""
    while len(content) < size:
        content += os.pread(file, size - len(content), len(content))
    return content


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
