"""All gateways of all runs, on listeners that were made inside their sandboxes."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from safebox.firewall.gateways.entrance import Entrance
from safebox.firewall.gateways.ethereum import EthereumGateway
from safebox.firewall.gateways.exchange import Endpoint
from safebox.firewall.gateways.gate import Gate
from safebox.firewall.gateways.heads import POLL_SECONDS, ChainReader
from safebox.firewall.gateways.inference import InferenceGateway
from safebox.firewall.gateways.limits import CONNECTIONS_MAX, CONNECTIONS_MIN, DRAIN_SECONDS, SPARE_DESCRIPTORS, Limits
from safebox.firewall.gateways.listeners import Party
from safebox.firewall.gateways.tools import ToolsGateway
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Desk

_log: Final = logging.getLogger(__name__)


def load_websockets() -> None:
    """Load what only WebSockets need, so that the first one keeps nobody waiting."""
    import_module("safebox.firewall.gateways.websocket")


class GatewayServer:
    """Serves each run's listeners; who asks is which listener accepted.

    Args:
        desk: Decides and answers every call.
        metrics: Counts the requests.
        chain: Passes chain reads on; without it they are refused.
        limits: The bounds in time.
        poll: How often the chain is asked for its newest block while anybody waits for it, in seconds.
    """

    def __init__(
        self,
        desk: Desk,
        metrics: Metrics,
        *,
        chain: ChainReader | None = None,
        limits: Limits | None = None,
        poll: float = POLL_SECONDS,
    ) -> None:
        self._ethereum = EthereumGateway(desk, metrics, chain, poll=poll)
        self._endpoints: tuple[Endpoint, ...] = (ToolsGateway(desk), InferenceGateway(desk), self._ethereum)
        self._metrics = metrics
        self._limits = limits or Limits()
        self._entrance = Entrance()
        self._parties: dict[str, Party] = {}
        self._leaving: set[Party] = set()
        self._watch: asyncio.TimerHandle | None = None

    async def attach(self, run: str, listeners: Sequence[socket.socket]) -> None:
        """Serve a run's listening sockets (in the order of `limits.PORTS`), which are owned from here on.

        Attached again, as after a restart of its launcher, the earlier listeners of the run are closed first.

        Raises:
            ValueError: if there isn't one socket for each gateway.
        """
        if len(listeners) != len(self._endpoints):
            raise ValueError(f"{len(listeners)} listeners for {len(self._endpoints)} gateways")
        await self.detach(run)
        party = self._parties[run] = Party(run, self._metrics, self._limits, self._entrance)
        for endpoint, listener in zip(self._endpoints, listeners, strict=True):
            await party.listen(endpoint, listener, self._share)
        if self._watch is None:
            self._look()

    async def detach(self, run: str) -> None:
        """Stop listening for a run and cut its connections. Calls under way go on to be settled."""
        party = self._parties.pop(run, None)
        if party is not None:
            party.close()
            self._leaving.add(party)
            await asyncio.sleep(0)  # the sockets close in the loop's next turn

    async def close(self) -> None:
        """Detach all, and wait up to `DRAIN_SECONDS` for calls to be settled."""
        for run in list(self._parties):
            await self.detach(run)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        await self._ethereum.close()
        tasks = {task for party in self._leaving for task in party.tasks}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            if late:
                _log.warning("%d calls were not settled; the ledger says which", len(late))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def gate(self, run: str) -> Gate:
        """What an attached run has open now.

        Raises:
            KeyError: if it isn't attached.
        """
        return self._parties[run].gate

    def _share(self) -> int:
        """Connections one run may have now: descriptors are the host's, and divided among the runs."""
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        each = (descriptors - SPARE_DESCRIPTORS) // max(1, len(self._parties))
        return max(CONNECTIONS_MIN, min(CONNECTIONS_MAX, each))

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for party in self._parties.values():
            party.watch(now)
        self._leaving = {party for party in self._leaving if party.tasks}
        self._watch = loop.call_later(self._limits.watch, self._look)
