"""The people's side of the control socket: what `safebox run`, `ps`, `kill` and the rest speak to the firewall with."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from safebox.firewall.control.wire import ControlError, closed, receive, send

CONNECT_SECONDS: Final = 2
"""A firewall that runs accepts at once: its control channel has threads of its own."""


class ControlClient:
    """One connection to a firewall's control socket.

    Args:
        path: the socket, `control.sock` in the state folder.
        timeout: seconds to wait for each answer; None waits for ever (for `events`).

    Raises:
        ControlError: if no firewall answers there.
    """

    def __init__(self, path: Path, *, timeout: float | None = 60) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_SECONDS)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise ControlError(
                f"no firewall answers at {path}", remedy="start one with safebox serve, or use safebox run"
            ) from error
        self._socket.settimeout(timeout)

    def request(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask for one thing.

        Raises:
            ControlError: if the firewall is gone or says no; the code and remedy are its own.
        """
        return self._ask({"op": op, **fields}, ())

    def attach(self, run: str, sockets: Sequence[socket.socket]) -> dict[str, Any]:
        """Hand over a run's listening sockets, in the order of its ports.

        Raises:
            ControlError: if the firewall is gone or says no.
        """
        return self._ask({"op": "attach", "run": run}, sockets)

    def events(self) -> Iterator[dict[str, Any]]:
        """What happens from now on, after a request `follow`; ends with the connection."""
        while True:
            try:
                message = receive(self._socket)
            except ControlError:
                return
            if message is None:
                return
            yield message[0]

    def alive(self) -> bool:
        """Whether the firewall still holds its end; for a connection on which nothing is asked just now."""
        return not closed(self._socket)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, message: dict[str, Any], sockets: Sequence[socket.socket]) -> dict[str, Any]:
        send(self._socket, message, sockets)
        answer = receive(self._socket)
        if answer is None:
            raise ControlError("the firewall hung up", remedy="look at firewall.log in its state folder")
        reply, _ = answer
        if "error" in reply:
            error = reply["error"]
            raise ControlError(error["cause"], remedy=error["remedy"], code=error["code"])
        return reply
