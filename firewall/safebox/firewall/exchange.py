"""One question to a service over HTTP, and its answer: bounded in time and size, without redirects.

`http.client` bounds each step, but not all of them: a service that sends a byte now and then would be waited for
without end. So the time left is set before each step on the socket itself.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

from safebox.firewall.errors import EffectError

ANSWER_BYTES_MAX: Final = 65_536
"""A signature or a public key in base64 is a few hundred."""
_HERE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_UNIX: Final = "unix"


class Endpoint(NamedTuple):
    """Where a service listens: a Unix socket's path in `host` if `scheme` is unix."""

    scheme: str
    host: str
    port: int
    path: str


def endpoint(url: str) -> Endpoint:
    """Read an address of a service: `unix:/PATH`, `https://HOST…`, or `http://` on this machine.

    Raises:
        ValueError: if it is anything else.
    """
    parts = urlsplit(url)
    if parts.scheme == _UNIX and parts.path.startswith("/") and not parts.netloc:
        return Endpoint(_UNIX, parts.path, 0, "/")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("a service is unix:/PATH, an https:// address, or http:// on this machine")
    if parts.scheme == "http" and parts.hostname not in _HERE:
        raise ValueError("http:// is for this machine only: others could read and answer what is sent; use https://")
    default = 443 if parts.scheme == "https" else 80
    where = parts.path or "/"
    path = f"{where}?{parts.query}" if parts.query else where
    return Endpoint(parts.scheme, parts.hostname, parts.port or default, path)


def ask(
    to: Endpoint, headers: Mapping[str, str], body: bytes, *, seconds: float, most: int = ANSWER_BYTES_MAX
) -> tuple[int, bytes]:
    """Post a question; status and content of the answer, which has at most so many bytes.

    Raises:
        EffectError: if there is none in time, or it is too long or no HTTP.
    """
    until = time.monotonic() + seconds
    try:
        with _connected(to, until) as connection:
            connection.settimeout(_left(until))
            connection.sendall(_request(to, headers, body))
            answer = HTTPResponse(cast(socket.socket, _Stream(connection, until)), method="POST")
            answer.begin()
            content = answer.read(most + 1)
    except TimeoutError as error:
        raise EffectError(f"no answer within {seconds:g} s") from error
    except (OSError, HTTPException, ValueError) as error:
        raise EffectError(f"it can't be asked ({type(error).__name__})") from error
    if len(content) > most:
        raise EffectError("the answer is too long")
    return answer.status, content


def _connected(to: Endpoint, until: float) -> socket.socket:
    if to.scheme == _UNIX:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_left(until))
        try:
            connection.connect(to.host)
        except OSError:
            connection.close()
            raise
        return connection
    connection = socket.create_connection((to.host, to.port), timeout=_left(until))
    if to.scheme == "http":
        return connection
    connection.settimeout(_left(until))
    return ssl.create_default_context().wrap_socket(connection, server_hostname=to.host)


def _request(to: Endpoint, headers: Mapping[str, str], body: bytes) -> bytes:
    name = f"[{to.host}]" if ":" in to.host else to.host
    host = "localhost" if to.scheme == _UNIX else f"{name}:{to.port}"
    fields = {"Host": host, "Connection": "close", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {to.path} HTTP/1.1\r\n{lines}\r\n".encode("ascii") + body


def _left(until: float) -> float:
    """Seconds until then. Raises `TimeoutError` if there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    return left


class _Stream(io.RawIOBase):
    """What comes over a connection until a time."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection = connection
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(_left(self._until))
        return self._connection.recv_into(buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """As a socket gives it to `HTTPResponse`."""
        return io.BufferedReader(self)
