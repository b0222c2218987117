"""How a stand-in starts and ends: one JSON line says where it listens; it ends when standard input closes.

The parent keeps the other end of the pipe. The kernel closes it however the parent ends, `kill -9`
included, so no stand-in outlives the firewall that started it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

import msgspec

GRACE_SECONDS = 2
"""How long a stopping stand-in may finish answers; what must last is on disk before an answer anyway."""


class Lifeline:
    """Watches standard input and the stop signals for one asyncio program."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._ended.set)
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    async def ended(self) -> None:
        """Wait until this process is to end."""
        await self._ended.wait()

    def _watch(self) -> None:
        while os.read(0, 4096):
            pass
        self._loop.call_soon_threadsafe(self._ended.set)
        # A stuck event loop must not keep the process alive.
        timer = threading.Timer(GRACE_SECONDS, os._exit, args=(0,))
        timer.daemon = True
        timer.start()


def announce(url: str) -> None:
    """Say in one line of JSON on standard output that the stand-in answers at `url`."""
    sys.stdout.write(msgspec.json.encode({"url": url}).decode() + "\n")
    sys.stdout.flush()


def banner(text: str) -> None:
    """Say on standard error what this process is, so that nobody takes it for the real thing."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
