"""Where an OPA server is, as people write it."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from safebox.firewall.errors import ConfigError

LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})
PORT: Final = 8181
"""OPA's own default."""


class Address(NamedTuple):
    """Where an OPA server is: a Unix socket, or a port of this machine."""

    host: str = "localhost"
    port: int = PORT
    socket: str = ""


def parse_address(text: str) -> Address:
    """Read `http://127.0.0.1:8181` or `unix:/run/opa.sock`.

    Raises:
        ConfigError: if it is neither, or another machine.
    """
    remedy = "write http://127.0.0.1:8181 or unix:/path/to/opa.sock"
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise ConfigError(f"{text!r} names no Unix socket", remedy=remedy)
        return Address(socket=path)
    try:
        parts = urlsplit(text)
        port = parts.port or PORT
    except ValueError as error:
        raise ConfigError(f"{text!r} is no address of an OPA server", remedy=remedy) from error
    if parts.scheme != "http" or parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise ConfigError(f"{text!r} is no address of an OPA server", remedy=remedy)
    if parts.hostname not in LOCAL:
        remedy = "run OPA on this machine; who answers for policy decides, so nobody on a network may"
        raise ConfigError(f"the OPA server at {text} is on another machine", remedy=remedy)
    return Address(f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname, port)
