"""The host's end of the handover: listening sockets that live in a sandbox's network namespace arrive here.

The other end (`engines/holder.py` in a container, `engines/keeper.py` for bubblewrap) binds them inside the namespace
and passes them over a Unix socket with SCM_RIGHTS. The descriptors stay valid, and stay inside, wherever they go.
"""

import array
import contextlib
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from safebox.sandbox.errors import SandboxError

SOCKET_NAME = "owner"
HANDOVER_SECONDS = 20
"""A holder starts in 0.2 s; on a machine that swaps it takes seconds. After this it is not coming."""
_MOST_DESCRIPTORS = 64
DEEP = 60
"""Characters of a place; a Unix socket's path holds 107, and the folder's and the socket's names need 30."""


class Handover:
    """A Unix socket in a private folder on which one holder reports once."""

    def __init__(self, place: Path | None = None) -> None:
        """Make the folder (reachable by this user only), in `place` if that isn't too deep, and listen in it.

        Raises:
            SandboxError: it can't be made.
        """
        try:
            self._listen(place)
        except OSError as error:
            raise _failed(f"no folder for the handover could be made: {error}") from error

    def _listen(self, place: Path | None) -> None:
        within = Path(os.environ.get("TMPDIR") or "/tmp") if place is None or len(str(place)) > DEEP else place  # noqa: S108
        self._private = within / f"safebox-{os.urandom(8).hex()}"  # not by tempfile, which takes 10 ms to import
        self._private.mkdir(mode=0o700)
        self.folder = self._private / "h"
        self.folder.mkdir()
        self.folder.chmod(0o711)
        self._path = path = self.folder / SOCKET_NAME
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._server.bind(str(path))
        path.chmod(0o666)
        self._server.listen(1)

    def receive(self, ports: tuple[int, ...]) -> tuple[socket.socket, tuple[socket.socket, ...]]:
        """Wait for the holder; return the connection (the holder lives as long as it) and the listeners in order.

        Raises:
            SandboxError: nobody came in time, or what came isn't exactly one loopback listener for each port.
        """
        self._server.settimeout(HANDOVER_SECONDS)
        try:
            connection, _ = self._server.accept()
        except TimeoutError as error:
            raise _failed("the sandbox's holder did not report in time") from error
        connection.settimeout(HANDOVER_SECONDS)
        try:
            listeners = receive_listeners(connection, ports)
        except BaseException:
            connection.close()
            raise
        connection.settimeout(None)
        return connection, listeners

    def close(self) -> None:
        """Stop listening and remove the folder."""
        self._server.close()
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody cleans up /tmp
            self.folder.rmdir()
            self._private.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def receive_listeners(connection: socket.socket, ports: tuple[int, ...]) -> tuple[socket.socket, ...]:
    """Take exactly one listening socket on 127.0.0.1 for each port, in order, from one message.

    Raises:
        SandboxError: anything else came. Every descriptor received is closed then.
    """
    size = array.array("i").itemsize
    try:
        data, messages, flags, _ = connection.recvmsg(4096, socket.CMSG_SPACE(_MOST_DESCRIPTORS * size))
    except OSError as error:
        raise _failed(f"the handover broke off: {error}") from error
    descriptors = array.array("i")
    for level, kind, payload in messages:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % size])
    listeners = tuple(socket.socket(fileno=each) for each in descriptors)
    for each in listeners:
        os.set_inheritable(each.fileno(), False)
    if flags & socket.MSG_CTRUNC or data[:1] != b"L" or not are_ours(listeners, ports):
        for each in listeners:
            each.close()
        raise _failed(f"the handover was not as agreed: {data[:200]!r}")
    return listeners


def are_ours(listeners: tuple[socket.socket, ...], ports: tuple[int, ...]) -> bool:
    """Whether these are listeners on 127.0.0.1 at these ports: the kernel, not the sender, says what each socket is."""
    return len(listeners) == len(ports) and all(
        each.family == socket.AF_INET
        and each.type == socket.SOCK_STREAM
        and each.getsockname() == ("127.0.0.1", port)
        and each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        for each, port in zip(listeners, ports, strict=True)
    )


def _failed(cause: str) -> SandboxError:
    return SandboxError(cause, "try again; if it stays, look at the engine's own log", "sandbox.handover_failed")
