"""Child runs as this machine hosts them: each in a launcher of its own, as every run is.

So a child outlives a firewall that dies, and its launcher starts the next one if nobody else does. A launcher takes up
a child that has begun; it can begin none, and no words of an agent reach its command line but the run's name, which the
firewall made.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from safebox.sandbox import service
from safebox.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from safebox.firewall.settings import Settings

COMMAND: Final = "host-child"
"""What the program is told to be a child's launcher. It is in no list of commands: a person has no use for it."""
LOG_NAME: Final = "host.log"
"""What a launcher shows, in `runs/RUN` of the state folder: an object a line."""


class Launchers:
    """Starts launchers of child runs; see `ports.ChildHost`.

    Args:
        settings: of the firewall whose children they are.
        arguments: how it was set up, so that they can start it again (`Setup.arguments`).
    """

    def __init__(self, settings: Settings, arguments: Sequence[str]) -> None:
        self._settings = settings
        self._arguments = tuple(arguments)
        self._lock = threading.Lock()
        self._live: list[subprocess.Popen[bytes]] = []

    def launch(self, run: str) -> None:
        """Start a child's launcher.

        Raises:
            SandboxError: if it can't be started.
        """
        folder = self._settings.home / "runs" / run
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            started = service.start(folder / LOG_NAME, [COMMAND, run, *self._arguments])
        except OSError as error:
            raise SandboxError(f"no launcher for {run}: {error}", "free memory or space on the disk") from error
        with self._lock:
            self._live = [*(each for each in self._live if each.poll() is None), started]
