"""Holders made ahead: a run that finds one ready starts in half the time.

`safebox serve` keeps the pool and answers on a socket in its state folder, which only its owner can reach. Rule 1: a
holder is given to one run and never comes back; the giver forgets its descriptors, so the run's launcher alone keeps it
alive. Rule 2: who takes one asks the kernel what its listeners are, as if it had made it. Rule 3: whatever goes wrong
here costs a slower start, nothing else: the launcher makes its own holder then.
"""

import contextlib
import socket
import threading
import time
from collections import deque
from pathlib import Path

from safebox.firewall.control.wire import ControlError, closed, receive, send
from safebox.sandbox.engines.docker_api import Daemon
from safebox.sandbox.engines.docker_holder import AHEAD_SECONDS, Holder, make_holder
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.netns import are_ours

FRESH_SECONDS = AHEAD_SECONDS / 2
"""A holder that has waited this long is replaced, long before its own clock ends it."""
CALM_SECONDS = 0.5
"""How long after one was taken the next is made: at once, it would slow down the start it has made quick."""
RETRY_SECONDS = 60
"""After a failure; what fails here (no image, a full disk) is rarely better at once."""
ANSWER_SECONDS = 2
"""A pool answers from memory."""


class Pool:
    """Keeps `size` holders ready and gives them away on the socket at `path`. Use it as a context."""

    def __init__(self, path: Path, ports: tuple[int, ...], size: int, daemon: Daemon | None = None) -> None:
        self._path = path
        self._ports = ports
        self._size = size
        self._daemon = daemon or Daemon()
        self._lock = threading.Lock()
        self._ready: deque[tuple[float, Holder]] = deque()
        self._over = threading.Event()
        self._taken = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> "Pool":
        """Listen, and begin to fill.

        Raises:
            SandboxError: the socket can't be made.
        """
        try:
            self._path.unlink(missing_ok=True)
            self._socket.bind(str(self._path))
            self._path.chmod(0o600)
            self._socket.listen()
        except OSError as error:
            self._socket.close()
            raise SandboxError(f"the pool can't listen at {self._path}: {error.strerror}") from error
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._answer_all, self._fill)]
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and let every holder that nobody took end."""
        self._over.set()
        self._taken.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)
        for each in self._threads:
            each.join()
        while self._ready:
            self._ready.pop()[1].close()

    @property
    def ready(self) -> int:
        """How many holders wait."""
        return len(self._ready)

    def _fill(self) -> None:
        while not self._over.is_set():
            self._taken.clear()
            self._drop_old()
            try:
                while len(self._ready) < self._size and not self._over.is_set():
                    holder = self._make()
                    with self._lock:
                        self._ready.append((time.monotonic(), holder))
            except (SandboxError, OSError) as error:
                _warn(error)
                self._over.wait(RETRY_SECONDS)
                continue
            if self._taken.wait(RETRY_SECONDS):
                self._over.wait(CALM_SECONDS)

    def _make(self) -> Holder:
        return make_holder(self._daemon, self._ports, self._path.parent)

    def _drop_old(self) -> None:
        with self._lock:
            fresh = [each for each in self._ready if _is_fresh(*each)]
            old = [holder for _, holder in self._ready if all(holder is not kept for _, kept in fresh)]
            self._ready = deque(fresh)
        for each in old:
            each.close()

    def _answer_all(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(ControlError, OSError):
                connection.settimeout(ANSWER_SECONDS)
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        asked = receive(connection)
        holder = self._next() if asked is not None and asked[0].get("ports") == list(self._ports) else None
        if holder is None or holder.owner_end is None:
            send(connection, {"container": None})
            return
        try:
            send(connection, {"container": holder.container}, (holder.owner_end, *holder.listeners))
        finally:
            holder.close()  # the receiver has descriptors of its own; if there is none, the holder ends

    def _next(self) -> Holder | None:
        with self._lock:
            while self._ready:
                since, holder = self._ready.popleft()
                self._taken.set()
                if _is_fresh(since, holder):
                    return holder
                holder.close()
        return None


def _warn(error: Exception) -> None:
    import logging  # launchers, which take, needn't wait for it

    logging.getLogger(__name__).warning("no sandbox could be made ahead: %s", error)


def _is_fresh(since: float, holder: Holder) -> bool:
    alive = holder.owner_end is not None and not closed(holder.owner_end)
    return alive and time.monotonic() < since + FRESH_SECONDS


def take(path: Path, ports: tuple[int, ...]) -> Holder | None:
    """A ready holder from the pool at `path`, which is the caller's alone from now on; None if there is none."""
    sockets: list[socket.socket] = []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(str(path))
            send(connection, {"ports": list(ports)})
            answer = receive(connection)
            sockets = answer[1] if answer is not None else []
    except (ControlError, OSError):
        return None
    if answer is not None and len(sockets) == len(ports) + 1:
        owner_end, *listeners = sockets
        if are_ours(tuple(listeners), ports) and not closed(owner_end):
            return Holder(str(answer[0]["container"]), owner_end, tuple(listeners))
    for each in sockets:
        each.close()
    return None
