"""What a process that holds keys does to itself, and what it can't.

No core is dumped and no process of the same user may look into this one's memory; it dies with its parent. Nothing of
it is written to the swap where the limit on locked memory lets it stay (`LimitMEMLOCK=infinity`), else at least not the
pages with the secret. What was a key is overwritten where this code holds the bytes. Python copies what it likes and
the libraries keep their own: a memory image of this process taken by root would have keys in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from typing import Final

_SET_PDEATHSIG: Final = 1
_SET_DUMPABLE: Final = 4
_LOCK_ALL: Final = 1 | 2 | 4
"""What there is, what will be, and each page when it is first used: MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT."""
_UNLIMITED: Final = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
_BYTES_HEADER: Final = bytes.__basicsize__ - 1
"""CPython keeps the content of bytes right behind their header."""
_SHARED_MAX: Final = 1
"""Empty and single bytes are one object for the whole interpreter."""


def harden(parent: int) -> None:
    """Dump no core, be looked into by nobody, stay out of the swap, hear no Ctrl-C, die with the parent."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None)
    libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _stay_in_memory(libc)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its end is the end of the connection
    if os.getppid() != parent:  # it died before it could take this one along
        sys.exit(1)


def _stay_in_memory(libc: ctypes.CDLL) -> None:
    """Lock all memory, but only without a limit: below one, whatever is loaded next might find no room."""
    with contextlib.suppress(ValueError, OSError):  # only root, or who was allowed to, can raise it
        resource.setrlimit(resource.RLIMIT_MEMLOCK, _UNLIMITED)
    if resource.getrlimit(resource.RLIMIT_MEMLOCK) == _UNLIMITED:
        libc.mlockall(_LOCK_ALL)


def keep_in_memory(secret: bytes) -> None:
    """Keep the pages of a secret out of the swap, if this process may lock any; for secrets that stay."""
    if sys.implementation.name == "cpython":
        ctypes.CDLL(None).mlock(ctypes.c_void_p(id(secret) + _BYTES_HEADER), ctypes.c_size_t(len(secret)))


def wipe(secret: bytes) -> None:
    """Overwrite bytes that nobody needs any more; only for ones that were made for this and are held nowhere else."""
    if len(secret) > _SHARED_MAX and sys.implementation.name == "cpython":
        ctypes.memset(id(secret) + _BYTES_HEADER, 0, len(secret))
