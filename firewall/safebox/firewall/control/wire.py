"""Messages between the firewall and its people, over a Unix socket: a length, JSON, and sockets beside it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from safebox.firewall.errors import FirewallError

PAUSED: Final = "sandbox_paused"
RESUMED: Final = "sandbox_resumed"
"""What launchers are told when a run's processes are to stand still, and when they may go on."""
MESSAGE_BYTES_MAX: Final = 4_194_304
"""A list of ten thousand runs fits; a mandate is at most 64 KiB."""
SOCKETS_MAX: Final = 16
"""Listeners handed over with one message: one per gateway."""
_HEADER: Final = struct.Struct("!I")


class ControlError(FirewallError):
    """The firewall's control socket doesn't answer, or says no."""

    default_code = "control.failed"


Encode = Callable[[dict[str, Any]], bytes]


def as_json(message: dict[str, Any]) -> bytes:
    """A message as JSON, by the standard library: a command that says one word to the firewall loads nothing for it."""
    return json.dumps(message).encode()


def send(
    connection: socket.socket,
    message: dict[str, Any],
    sockets: Sequence[socket.socket] = (),
    encode: Encode = as_json,
) -> None:
    """Send one message, with sockets beside it.

    Raises:
        ControlError: if the other side is gone.
    """
    body = encode(message)
    try:
        header = _HEADER.pack(len(body))
        if sockets:
            socket.send_fds(connection, [header], [item.fileno() for item in sockets])
            connection.sendall(body)
        else:
            connection.sendall(header + body)
    except OSError as error:
        raise ControlError(f"the control socket is gone: {error}") from error


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[socket.socket]] | None:
    """Receive one message; None at the end of the connection.

    Raises:
        ControlError: if what comes is no message.
    """
    try:
        header, handles, _, _ = socket.recv_fds(connection, _HEADER.size, SOCKETS_MAX)
    except OSError as error:
        raise ControlError(f"the control socket is gone: {error}") from error
    if not header:
        return None
    sockets = _adopt(handles)
    try:
        (length,) = _HEADER.unpack(header + _exactly(connection, _HEADER.size - len(header)))
        return _decoded(_exactly(connection, length)), sockets
    except (ControlError, ValueError, RecursionError) as error:
        for item in sockets:
            with contextlib.suppress(OSError):
                item.close()
        raise ControlError(f"not a control message: {error}") from error


def _decoded(body: bytes) -> dict[str, Any]:
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ControlError("not an object")
    return cast("dict[str, Any]", message)


def _adopt(handles: Sequence[int]) -> list[socket.socket]:
    """Make sockets of the handles that came with a message, or close them all.

    Raises:
        ControlError: if one is no socket.
    """
    sockets: list[socket.socket] = []
    try:
        for handle in handles:
            sockets.append(socket.socket(fileno=handle))
    except OSError as error:
        for item in sockets:
            item.close()
        for handle in handles[len(sockets) :]:
            os.close(handle)
        raise ControlError(f"what was handed over is no socket: {error}") from error
    return sockets


def closed(connection: socket.socket) -> bool:
    """Whether the other side has hung up; looks without waiting and takes nothing."""
    poller = select.poll()
    poller.register(connection, select.POLLIN)
    try:
        return bool(poller.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def _exactly(connection: socket.socket, count: int) -> bytes:
    if count > MESSAGE_BYTES_MAX:
        raise ControlError("a control message is too long")
    parts = bytearray()
    while len(parts) < count:
        try:
            piece = connection.recv(min(65_536, count - len(parts)))
        except OSError as error:
            raise ControlError(f"the control socket is gone: {error}") from error
        if not piece:
            raise ControlError("the control socket closed within a message")
        parts += piece
    return bytes(parts)
