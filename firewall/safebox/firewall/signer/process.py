"""Starts a signer. Loads little, so that its keys can be opened while the rest of the firewall is loaded."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "PYTHONPATH", "SAFEBOX_HOME", "SAFEBOX_PASSPHRASE_FILE", "VIRTUAL_ENV")
"""All that the signer is told by its environment; no upstream's key is."""


class Process(NamedTuple):
    """A signer that was started, and the connection to it."""

    process: subprocess.Popen[bytes]
    connection: socket.socket


def begin(state: Path, ledger: Path) -> Process:
    """Start a signer over a state folder; it opens its keys while others go on."""
    ours, theirs = socket.socketpair()
    words = (str(theirs.fileno()), str(state), str(ledger), str(os.getpid()))
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "safebox.firewall.signer", *words],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            start_new_session=True,  # Ctrl-C in a terminal must not take the keys away before money was brought home
        )
    return Process(process, ours)
