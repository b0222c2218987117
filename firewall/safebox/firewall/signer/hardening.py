"""What a process that holds keys does to itself, and what it can't.

No core is dumped and no process of the same user may look into this one's memory; it dies with its parent. What was a
key is overwritten where this code holds the bytes. Python copies what it likes and the libraries keep their own: a
memory image of this process taken by root would have keys in it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from typing import Final

_SET_PDEATHSIG: Final = 1
_SET_DUMPABLE: Final = 4
_BYTES_HEADER: Final = bytes.__basicsize__ - 1
"""CPython keeps the content of bytes right behind their header."""
_SHARED_MAX: Final = 1
"""Empty and single bytes are one object for the whole interpreter."""


def harden(parent: int) -> None:
    """Dump no core, be looked into by nobody, hear no Ctrl-C, die with the parent."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None)
    libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its end is the end of the connection
    if os.getppid() != parent:  # it died before it could take this one along
        sys.exit(1)


def wipe(secret: bytes) -> None:
    """Overwrite bytes that nobody needs any more; only for ones that were made for this and are held nowhere else."""
    if len(secret) > _SHARED_MAX and sys.implementation.name == "cpython":
        ctypes.memset(id(secret) + _BYTES_HEADER, 0, len(secret))
