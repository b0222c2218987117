"""Whether the far sides answer: each is asked by itself, so that one that hangs hides no other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Connector

EVERY_SECONDS: Final = 2
ANSWER_SECONDS: Final = 5
"""A far side that doesn't answer in this time is down."""


async def watch_far_sides(connectors: Mapping[str, Connector], metrics: Metrics) -> None:
    """Ask every connector's far side, again and again, until this is cancelled."""
    while True:
        await asyncio.gather(*(_ask(name, connector, metrics) for name, connector in connectors.items()))
        await asyncio.sleep(EVERY_SECONDS)


async def _ask(name: str, connector: Connector, metrics: Metrics) -> None:
    healthy = False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            healthy = await connector.healthy()
    metrics.connector_up(name, up=healthy)
