"""What a firewall is judging at this moment, in a file that outlives it.

Each firewall has a file of its own in the state folder's `judging`, mapped into memory: a mark costs a microsecond and
no system call, and is there after the process is gone, however it went. Behind the mark there is room for the traceback
that the watchdog, or a crash of native code, writes last. The room is reserved at the start, so that a full disk can't
keep it from being written.

Rule 1: a mark blames nobody by itself. `kill -9` and a power cut leave marks of innocents; only a traceback says that
        the firewall ended because of what it did.
Rule 2: what is read back is believed only if it is a plain file of this user, with one name, locked by nobody, and of
        exactly the form it is written in. Anything else is thrown away: it can blame nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from safebox.firewall.core.action import Action
from safebox.firewall.errors import FirewallError

FOLDER: Final = "judging"
TEXT_MAX: Final = 1_024
"""A mark is five short words."""
TRACEBACK_AT: Final = 4_096
TRACEBACK_MAX: Final = 65_536
"""A hundred threads with a dozen frames each; what doesn't fit is lost, not the mark."""
_SIZE: Final = TRACEBACK_AT + TRACEBACK_MAX
_SET: Final = 1
_FORM: Final = re.compile(
    rb"(run_[0-9a-z]{1,40}) (act_[0-9a-z]{1,40}) ([a-z_.]{1,40}) (sha256:[0-9a-f]{64}) ([\w:]{0,80})\0+", re.ASCII
)


class Judged(NamedTuple):
    """The action that was being judged, and by which policy bundle."""

    run: str
    action_id: str
    tool: str
    digest: str
    bundle: str


class Remains(NamedTuple):
    """What a firewall that is gone left behind; `traceback` is empty unless it ended because of what it did."""

    path: Path
    judged: Judged | None
    traceback: str


class Mark:
    """The mark of this process. Make it with `open`, and judge in the context of `over`."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self.handle = handle
        self._memory = mmap.mmap(handle, TRACEBACK_AT)

    @classmethod
    def open(cls, home: Path) -> Mark:
        """Make this process's own, in a folder that nobody else may write.

        Raises:
            FirewallError: if it can't be made, or there is no room for a traceback.
        """
        folder = home / FOLDER
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            _check_folder(folder)
            path = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise FirewallError(f"{folder} can't be used: {error}", remedy="make room, or remove it") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(handle, 0, _SIZE)  # a hole would be a crash at the first mark on a full disk
            os.lseek(handle, TRACEBACK_AT, os.SEEK_SET)
            return cls(path, handle)
        except OSError as error:
            path.unlink()
            os.close(handle)
            raise FirewallError(f"no room for {path}: {error}", remedy="free space on that disk") from error

    def over(self, action: Action, bundle: str) -> Mark:
        """Say that this action is being judged, for as long as the context that is returned lasts."""
        text = f"{action.run} {action.id} {action.tool} {action.digest} {bundle}\0".encode()[:TEXT_MAX]
        self._memory[1 : 1 + len(text)] = text
        self._memory[0] = _SET
        return self

    def __enter__(self) -> None:
        """Do nothing: `over` did."""

    def __exit__(self, *_: object) -> None:
        self._memory[0] = 0

    def close(self) -> None:
        """Leave nothing behind."""
        self._memory.close()
        self.path.unlink(missing_ok=True)
        os.close(self.handle)


def remains(home: Path) -> Iterator[Remains]:
    """What firewalls that are gone left behind, oldest first; files that can't be believed are thrown away.

    A file stays until its taker removes it: what couldn't be recorded is found again.
    """
    folder = home / FOLDER
    with contextlib.suppress(OSError):
        _check_folder(folder)
        for path in sorted(folder.iterdir(), key=lambda path: path.lstat().st_mtime_ns):
            found = _read(path)
            if found is not None:
                yield found


def _check_folder(folder: Path) -> None:
    """Raise OSError if the folder is not a folder of this user's own."""
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        raise PermissionError(f"{folder} is not a folder of this user")
    folder.chmod(0o700)


def _read(path: Path) -> Remains | None:
    """What a file says, None if its firewall lives; a file that is none of ours says nothing."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return Remains(path, None, "")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        state = os.fstat(handle)
        ours = stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid() and state.st_nlink == 1
        content = os.pread(handle, _SIZE, 0) if ours else b""
    except BlockingIOError:
        return None
    except OSError:
        return Remains(path, None, "")
    finally:
        os.close(handle)
    traceback = content[TRACEBACK_AT:].rstrip(b"\0").decode(errors="replace")
    return Remains(path, _judged(content[:TRACEBACK_AT]), traceback)


def _judged(content: bytes) -> Judged | None:
    if content[:1] != bytes([_SET]):
        return None
    found = _FORM.match(content, 1)
    return None if found is None else Judged(*(word.decode("ascii") for word in found.groups()))
