"""What operators see of a firewall over HTTP: `/metrics`, `/healthz`, `/readyz`, on a loopback address of the host.

`/healthz` says that the process answers; `/readyz` that it could say yes: 503 with the reasons why not.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

import msgspec

from safebox.firewall.core.reply import Reply
from safebox.firewall.errors import ConfigError
from safebox.firewall.gateways.exchange import NOT_FOUND, WRONG_METHOD, Exchange, Header, http_status
from safebox.firewall.gateways.limits import CONNECTIONS_MAX, Limits
from safebox.firewall.gateways.listeners import Party
from safebox.firewall.metrics import CONTENT_TYPE, Metrics

Ready = Callable[[], Sequence[str]]
"""Why the firewall can't answer now; nothing if it can."""
_BODY_MAX: Final = 1024
"""Nobody sends one."""


class _Endpoint:
    name = "observe"
    body_max = _BODY_MAX

    def __init__(self, metrics: Metrics, ready: Ready) -> None:
        self._metrics = metrics
        self._ready = ready

    async def serve(self, run: str, exchange: Exchange, body: bytes) -> None:
        if exchange.path not in ("/metrics", "/healthz", "/readyz"):
            await exchange.respond(*self.refusal(NOT_FOUND))
        elif exchange.method != "GET":
            await exchange.respond(*self.refusal(WRONG_METHOD))
        elif exchange.path == "/metrics":
            await exchange.respond(200, self._metrics.render(), [(b"content-type", CONTENT_TYPE.encode())])
        elif exchange.path == "/healthz":
            await exchange.respond(200, b'{"status":"ok"}')
        else:
            reasons = list(self._ready())
            document = {"status": "not ready" if reasons else "ready", "reasons": reasons}
            await exchange.respond(503 if reasons else 200, msgspec.json.encode(document))

    def refusal(self, reply: Reply) -> tuple[int, bytes, Sequence[Header]]:
        return http_status(reply), msgspec.json.encode({"error": {"code": reply.code, "message": reply.message}}), ()


class ObserveServer:
    """Serves a firewall's metrics and health to its own host."""

    def __init__(self, metrics: Metrics, ready: Ready) -> None:
        self._limits = Limits()
        self._party = Party("", metrics, self._limits)
        self._endpoint = _Endpoint(metrics, ready)
        self._watch: asyncio.TimerHandle | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Listen, and say where: port 0 takes any free one.

        Raises:
            ConfigError: if `host` is no loopback address, or the port is taken.
        """
        try:
            address = ip_address(host)
        except ValueError as error:
            raise ConfigError(f"{host!r} is not an IP address", remedy="use 127.0.0.1") from error
        if not address.is_loopback:
            raise ConfigError(f"{host} is not a loopback address", remedy="use 127.0.0.1")
        listener = _listener(host, port, socket.AF_INET if address.version == 4 else socket.AF_INET6)  # noqa: PLR2004
        bound: tuple[str, int] = listener.getsockname()[:2]
        await self._party.listen(self._endpoint, listener, lambda: CONNECTIONS_MAX)
        self._look()
        return bound

    async def close(self) -> None:
        """Stop."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._party.close()
        await asyncio.sleep(0)  # the sockets close in the loop's next turn

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._party.watch(loop.time())
        self._watch = loop.call_later(self._limits.watch, self._look)


def _listener(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(
            f"can't listen on {host}:{port}: {error}", remedy="choose another port, or 0 for any"
        ) from error
    return listener
