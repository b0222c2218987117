"""The firewall's side of the control socket: a thread for each connection, so that it answers while the loop is busy.

Whoever can open the socket (mode 0600, in the owner's state folder) is the owner. A launcher's connection is also the
life line of the runs it started: when it closes, they end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from safebox.firewall.control.wire import ControlError, closed, receive, send
from safebox.firewall.errors import SafeboxError

BACKLOG: Final = 128
FEED_MAX: Final = 10_000
"""Events a slow follower may lag behind before it is cut off."""


FEED_SECONDS: Final = 1
"""How often a silent feed looks whether anybody still listens."""
PAUSE_SECONDS: Final = 0.1
"""Until the next try when no connection can be accepted: without descriptors left, the kill switch must come back."""


AT_ONCE: Final = frozenset({"kill", "pause", "freeze"})
"""Orders that are in force before the loop has heard of them."""
_CREDENTIALS: Final = struct.Struct("3i")
"""pid, uid and gid, as Linux gives them."""


class Operations(Protocol):
    """What the control socket can ask of a firewall. All run on the firewall's loop, but `stop_now`."""

    async def operate(self, op: str, fields: dict[str, Any], sockets: list[socket.socket]) -> dict[str, Any]:
        """Do one thing.

        Raises:
            SafeboxError: if it can't.
        """
        ...

    def stop_now(self, op: str, fields: dict[str, Any]) -> None:
        """Let nothing start from here on that `op` (one of `AT_ONCE`) stops; safe from any thread."""
        ...

    async def launcher_gone(self, runs: list[str]) -> None:
        """End the runs of a launcher that hung up."""
        ...

    def watch(self, watcher: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Show `watcher` every event from now on."""
        ...


class ControlServer:
    """Listens on the control socket.

    Raises:
        ControlError: if another firewall answers there.
    """

    def __init__(self, path: Path, operations: Operations, loop: asyncio.AbstractEventLoop) -> None:
        self._operations = operations
        self._loop = loop
        self._path = path
        self._held: set[socket.socket] = set()
        self._leaving = False
        self._staying = threading.Lock()  # nobody is told that the firewall stays while it makes up its mind to leave
        self._closed = False
        self._socket = _listen(path)
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def leave(self) -> bool:
        """Whether nobody on the line wants the firewall to stay, runs or not; from then on nobody is told it stays."""
        with self._staying:
            self._leaving = self._leaving or not self._held
            return self._leaving

    def _stay(self, connection: socket.socket) -> None:
        with self._staying:
            if self._leaving:
                raise ControlError("the firewall is ending")
            self._held.add(connection)

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                if self._closed:
                    return
                time.sleep(PAUSE_SECONDS)
                continue
            threading.Thread(target=self._serve, args=(connection,), name="control-client", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        started: list[str] = []
        try:
            with contextlib.closing(connection), contextlib.suppress(ControlError):
                self._converse(connection, started)
        finally:
            if connection in self._held or started:  # one that only asked something was no launcher
                self._held.discard(connection)
                with contextlib.suppress(ControlError):
                    self._await(self._operations.launcher_gone(list(dict.fromkeys(started))))

    def _converse(self, connection: socket.socket, started: list[str]) -> None:
        by = _person(connection)
        while (message := receive(connection)) is not None:
            fields, sockets = message
            op, fields["by"] = str(fields.pop("op", "")), by
            if op == "follow":
                _close(sockets)
                self._follow(connection, fields.get("run"))
                return
            if op == "hold":
                self._stay(connection)
            answer = self._answer(op, fields, sockets)
            if op != "attach" or "error" in answer:
                _close(sockets)
            if op in ("start", "adopt", "attach"):
                started.append(str(answer.get("run", "")))
            send(connection, answer, encode=msgspec.json.encode)

    def _answer(self, op: str, fields: dict[str, Any], sockets: list[socket.socket]) -> dict[str, Any]:
        if op in AT_ONCE:
            self._operations.stop_now(op, fields)
        try:
            return self._await(self._operations.operate(op, fields, sockets)) or {}
        except KeyError as error:
            return {"error": {"code": "request.invalid", "cause": f"{op} needs {error}", "remedy": ""}}
        except SafeboxError as error:
            return {"error": {"code": error.code, "cause": error.cause, "remedy": error.remedy}}

    def _await(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except RuntimeError as error:  # the loop has closed: the firewall is ending
            work.close()
            raise ControlError("the firewall is ending") from error

    def _follow(self, connection: socket.socket, run: str | None) -> None:
        feed: queue.Queue[dict[str, Any]] = queue.Queue(FEED_MAX)

        def watcher(event: dict[str, Any]) -> None:
            if run is None or event.get("run") == run:
                with contextlib.suppress(queue.Full):
                    feed.put_nowait(event)

        end = self._operations.watch(watcher)
        try:
            send(connection, {"following": run})
            while not feed.full():
                try:
                    send(connection, feed.get(timeout=FEED_SECONDS), encode=msgspec.json.encode)
                except queue.Empty:
                    if closed(connection):
                        return
        finally:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody watches any more
                self._loop.call_soon_threadsafe(end)


def _person(connection: socket.socket) -> str:
    """Who is at the other end, as the kernel says: whatever a message claims about that is overwritten.

    Raises:
        ControlError: if it is neither the firewall's own user nor root.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(credentials)
    if uid not in (0, os.geteuid()):
        raise ControlError("only the firewall's owner may ask here")
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _close(sockets: list[socket.socket]) -> None:
    """Let go of sockets that nobody took over."""
    for item in sockets:
        with contextlib.suppress(OSError):
            item.close()


def _listen(path: Path) -> socket.socket:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise ControlError(f"another firewall answers at {path}", remedy="use it, or stop it first")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(BACKLOG)
    return listener
