"""The firewall's process as launchers see it: find one, start one, wait until it answers, say why it didn't."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from safebox.firewall.control.client import ControlClient
from safebox.firewall.control.wire import ControlError
from safebox.firewall.errors import FirewallError
from safebox.firewall.settings import Settings

if TYPE_CHECKING:
    import subprocess

START_SECONDS: Final = 60
"""Importing the EVM, opening the keystore (scrypt) and replaying a long ledger, on a busy machine."""
LOOK_SECONDS: Final = 0.05
LOG_TAIL_BYTES: Final = 2_000


def connect(settings: Settings) -> ControlClient | None:
    """A connection that keeps the firewall of this state folder from ending; None if none answers."""
    try:
        client = ControlClient(settings.control)
    except ControlError:
        return None
    try:
        client.request("hold")
    except ControlError:  # it was just ending
        client.close()
        return None
    return client


def ensure(settings: Settings, arguments: Sequence[str]) -> tuple[ControlClient, bool]:
    """Connect to the firewall of this state folder, and start one that ends when it is idle if there is none.

    Args:
        settings: whose state folder.
        arguments: what `safebox serve` is given to be set up the same way.

    Returns:
        the connection, and whether the firewall was started for it.

    Raises:
        FirewallError: if it doesn't start; the cause is the end of its log.
    """
    found = connect(settings)
    if found is not None:
        return found, False
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(settings.home):
        found = _after_the_last(settings)
        return (found, False) if found is not None else (_started(settings, arguments), True)


@contextmanager
def _alone(home: Path) -> Generator[None]:
    """One launcher at a time starts a firewall; the kernel lets go of the lock when its holder dies."""
    handle = os.open(home / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _after_the_last(settings: Settings) -> ControlClient | None:
    """A connection if another launcher was faster; None once no firewall holds the ledger, which one that ends does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = connect(settings)
        if found is not None or not _is_held(settings.ledger.with_suffix(".lock")):
            return found
        time.sleep(LOOK_SECONDS)
    return None


def _is_held(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _started(settings: Settings, arguments: Sequence[str]) -> ControlClient:
    log = settings.home / "firewall.log"
    process = start(log, ["serve", "--until-idle", *arguments])
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = connect(settings)
        if found is not None:
            return found
        if process.poll() is not None:
            break
        time.sleep(LOOK_SECONDS)
    process.kill()
    raise FirewallError(f"the firewall did not start: {_tail(log)}", remedy=f"look at {log}, or run safebox doctor")


def start(log: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start `safebox` in a session of its own, so that a terminal's Ctrl-C doesn't reach it."""
    import subprocess  # needed once in the life of a firewall

    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "safebox.sandbox.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            start_new_session=True,
        )
    finally:
        os.close(handle)


def _tail(log: Path) -> str:
    text = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
    return text.splitlines()[-1] if text else "it said nothing"
