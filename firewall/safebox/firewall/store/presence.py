"""Which of the firewalls that share a ledger are alive, told by file locks that the kernel lets go of when one dies.

Rule 1: a firewall answers for what it decided itself, and for what those decided that are no more.
Rule 2: two never answer for the same: who holds the lock on a name's file does.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path
from typing import Final

from safebox.firewall.errors import LedgerUnavailable

_NAME: Final = re.compile(r"fw_[0-9a-z]{26}")


class Presence:
    """This firewall's place among those that share a ledger.

    Args:
        ledger: the ledger's file; the names live in a folder beside it.
        name: this firewall's name, used by nobody before.

    Raises:
        LedgerUnavailable: if the name can't be taken.
    """

    def __init__(self, ledger: Path, name: str) -> None:
        self.name = name
        self._folder = ledger.with_suffix(".firewalls")
        self._held: dict[str, int] = {}
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LedgerUnavailable(f"{self._folder} can't be made: {error}") from error
        if not _NAME.fullmatch(name) or not self.answers_for(name):
            raise LedgerUnavailable(f"the name {name!r} can't be taken in {self._folder}")

    def answers_for(self, name: str) -> bool:
        """Whether what the firewall of that name decided is for this one to settle. Fails closed.

        A name of no firewall is of one that shared with nobody, so it is no more.
        """
        if name in self._held or not _NAME.fullmatch(name):
            return True
        handle = self._lock(self._folder / name)
        if handle is not None:
            self._held[name] = handle
        return handle is not None

    def close(self) -> None:
        """Let go of all names; what is still open is for whoever comes."""
        for name, handle in self._held.items():
            (self._folder / name).unlink(missing_ok=True)
            os.close(handle)
        self._held.clear()

    def _lock(self, path: Path) -> int | None:
        """Lock a name's file, made if it isn't there; None if its firewall lives, or nobody can say."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.stat(path)):  # not one that its holder has just removed
                return handle
        except OSError:
            pass
        os.close(handle)
        return None
