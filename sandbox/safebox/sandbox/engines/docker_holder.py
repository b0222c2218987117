"""A holder container: the network and process namespaces of one sandbox, and the listeners bound in there.

It is given to one sandbox and never to a second. It ends when the owner's end of its socket closes, and Docker removes
a holder that has ended by itself, so one whose owner was killed leaves nothing.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from safebox.sandbox.aside import Aside
from safebox.sandbox.engines.docker_api import Daemon
from safebox.sandbox.engines.docker_config import LATE_SECONDS, Json, holder_config, own_labels
from safebox.sandbox.engines.docker_http import NotThereError
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.netns import Handover
from safebox.sandbox.spec import BASE_IMAGE

AHEAD = "ahead"
"""The run named by the label of a holder that was made before its run was known."""
AHEAD_SECONDS = 3600
"""The clock of such a holder until its run sets another."""

Created = Callable[[str], None]
"""Is told a holder's container before it starts."""


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


class Coming:
    """A holder on its way. Its container is known before it runs, so the agent's can be made beside it meanwhile."""

    def __init__(self, make: Callable[[Created], Holder]) -> None:
        """Begin to make it."""
        self._container = ""
        self._known = threading.Event()
        self._making = Aside(lambda: self._make(make))

    def _make(self, make: Callable[[Created], Holder]) -> Holder:
        try:
            return make(self._created)
        finally:
            self._known.set()

    def _created(self, container: str) -> None:
        self._container = container
        self._known.set()

    def container(self) -> str:
        """Its container, which need not run yet.

        Raises:
            SandboxError: it can't be made.
        """
        self._known.wait()
        return self._container or self.holder().container

    def holder(self) -> Holder:
        """The holder, once it runs.

        Raises:
            SandboxError: it can't be made, or hands over something else; nothing is left then.
        """
        return self._making.result()

    def abandon(self) -> None:
        """Let it end."""
        with contextlib.suppress(SandboxError, OSError):
            self.holder().close()


def make_holder(
    daemon: Daemon,
    ports: tuple[int, ...],
    place: Path | None = None,
    created: Created = lambda _: None,
) -> Holder:
    """Make and start a holder for whichever run comes, and take what it hands over, in a folder at `place`.

    Raises:
        SandboxError: it can't be made, or hands over something else; nothing is left then.
    """
    with Handover(place) as handover:
        config = holder_config(BASE_IMAGE, own_labels(AHEAD), ports, AHEAD_SECONDS, handover.folder)
        container = _launched(daemon, config, created)
        try:
            owner_end, listeners = handover.receive(ports)
        except BaseException:
            remove_quietly(daemon, container)
            raise
    return Holder(container, owner_end, listeners)


def make_detached_holder(daemon: Daemon, labels: dict[str, str], seconds: int, created: Created) -> Holder:
    """Make and start a holder that nobody keeps and that ends by its own clock.

    Raises:
        SandboxError: it can't be made; nothing is left then.
    """
    return Holder(_launched(daemon, holder_config(BASE_IMAGE, labels, (), seconds, None), created))


def _launched(daemon: Daemon, config: Json, created: Created) -> str:
    container = daemon.create(config)
    created(container)
    try:
        daemon.start(container)
    except BaseException:
        remove_quietly(daemon, container)
        raise
    return container


def remove_quietly(daemon: Daemon, container: str) -> None:
    """Remove a container that may be gone already."""
    with contextlib.suppress(NotThereError):
        daemon.remove(container)
