"""Serving endpoints on listening sockets: what the gateways and the metrics server have in common."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from safebox.firewall.gateways.entrance import Entrance
from safebox.firewall.gateways.exchange import Endpoint, application
from safebox.firewall.gateways.gate import Gate
from safebox.firewall.gateways.limits import BACKLOG, Limits
from safebox.firewall.gateways.protocol import GatewayProtocol
from safebox.firewall.metrics import Metrics

_SILENT: Final = 100
"""Above every log level: uvicorn would write a line for each of an agent's broken requests."""


class Party:
    """The listeners and connections of one run: whoever connects there is that run."""

    def __init__(self, run: str, metrics: Metrics, limits: Limits, entrance: Entrance | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(_SILENT)
        self.gate = Gate(None if entrance is None else partial(entrance.step, run))
        self.tasks: set[asyncio.Task[None]] = set()
        self._run = run
        self._metrics = metrics
        self._limits = limits
        self._servers: list[asyncio.Server] = []

    async def listen(self, endpoint: Endpoint, listener: socket.socket, share: Callable[[], int]) -> None:
        """Serve an endpoint on a listening socket, which is owned from here on.

        `share()` is how many connections this run may have; it is asked for each new one.
        """
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        connect = self.connecting(endpoint, share)
        self._servers.append(await loop.create_server(connect, sock=listener, backlog=BACKLOG))

    def connecting(self, endpoint: Endpoint, share: Callable[[], int]) -> Callable[[], GatewayProtocol]:
        """What makes the protocol of one more connection of this run to an endpoint."""
        app = application(endpoint, self._run, self.gate, self._metrics)
        config = Config(
            app, interface="asgi3", http="httptools", ws="none", lifespan="off",
            log_config=None, access_log=False, proxy_headers=False, server_header=False, date_header=False,
        )  # fmt: skip
        config.load()
        state = ServerState()
        state.tasks = self.tasks

        def connect() -> GatewayProtocol:
            return GatewayProtocol(
                config, state,
                endpoint=endpoint, run=self._run, gate=self.gate, share=share(),
                limits=self._limits, metrics=self._metrics,
            )  # fmt: skip

        return connect

    def close(self) -> None:
        """Stop listening and cut all connections; calls under way go on, unheard."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self.gate.connections):
            connection.cut()

    def watch(self, now: float) -> None:
        """Cut what is past its deadline."""
        for connection in list(self.gate.connections):
            connection.watch(now)
