"""A holder container: the network and process namespaces of one sandbox, and the listeners bound in there.

It is given to one sandbox and never to a second. It ends when the owner's end of its socket closes, and Docker removes
a holder that has ended by itself, so one whose owner was killed leaves nothing.
"""

import contextlib
import socket
from collections.abc import Callable

from safebox.sandbox.engines.docker_api import Daemon
from safebox.sandbox.engines.docker_config import LATE_SECONDS, Json
from safebox.sandbox.engines.docker_http import NotThereError
from safebox.sandbox.netns import Handover


class Holder:
    """A holder that runs; `owner_end` is None where nobody keeps it (detached)."""

    def __init__(
        self, container: str, owner_end: socket.socket | None = None, listeners: tuple[socket.socket, ...] = ()
    ) -> None:
        self.container = container
        self.owner_end = owner_end
        self.listeners = listeners

    def set_clock(self, seconds: int) -> None:
        """Give it this long from now on, and the time in which its owner must have ended the run."""
        if self.owner_end is not None:
            with contextlib.suppress(OSError):  # it has just ended; starting an agent beside it will say so
                self.owner_end.sendall(str(seconds + LATE_SECONDS).encode())

    def close(self) -> None:
        """Close the sockets; without its owner's end the holder ends."""
        for each in self.listeners:
            each.close()
        if self.owner_end is not None:
            self.owner_end.close()


def make_holder(daemon: Daemon, config: Json, created: Callable[[str], None] = lambda _: None) -> str:
    """Make and start a holder that hands nothing over; `created` is told its id before the start."""
    container = daemon.create(config)
    created(container)
    try:
        daemon.start(container)
    except BaseException:
        remove_quietly(daemon, container)
        raise
    return container


def take_holder(
    daemon: Daemon,
    handover: Handover,
    config: Json,
    ports: tuple[int, ...],
    created: Callable[[str], None] = lambda _: None,
) -> Holder:
    """Make and start a holder, and take what it hands over.

    Raises:
        SandboxError: it can't be made, or hands over something else; nothing is left then.
    """
    container = make_holder(daemon, config, created)
    try:
        owner_end, listeners = handover.receive(ports)
    except BaseException:
        remove_quietly(daemon, container)
        raise
    return Holder(container, owner_end, listeners)


def remove_quietly(daemon: Daemon, container: str) -> None:
    """Remove a container that may be gone already."""
    with contextlib.suppress(NotThereError):
        daemon.remove(container)
