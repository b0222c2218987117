"""Law 13: what a run that asks five times a second notices of one that asks as fast as it can."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import uvloop

from safebox.firewall.gateways.server import GatewayServer
from tests.bench.firewall import MANY, REQUEST, Rig, listener
from tests.bench.load import Load, drive
from tests.bench.pace import Paced, ask_steadily
from tests.bench.report import Report

PER_SECOND = 5.0
SECONDS = 10.0
"""Of one stretch; with and without the noisy run in turn, so that a machine that drifts drifts under both."""
ROUNDS = 5
LEAD_SECONDS = 1.0
"""The noisy run is at full speed before the slow one is looked at."""


class Neighbours:
    """Two runs on two sets of listeners of one firewall."""

    def __init__(self, rig: Rig) -> None:
        self._server = GatewayServer(rig.pipeline, rig.metrics)
        self._rig = rig
        self.ports: dict[str, int] = {}

    async def open(self) -> None:
        """Serve both runs."""
        self._rig.add("run_2")
        for run in ("run_1", "run_2"):
            listeners = [listener() for _ in range(3)]
            self.ports[run] = int(listeners[0].getsockname()[1])
            await self._server.attach(run, listeners)

    async def close(self) -> None:
        """End."""
        await self._server.close()

    async def alone(self, seconds: float) -> Paced:
        """The slow run by itself."""
        port = self.ports["run_2"]
        return await asyncio.to_thread(ask_steadily, port, REQUEST, per_second=PER_SECOND, seconds=seconds)

    async def beside(self, seconds: float) -> tuple[Paced, Load]:
        """The slow run while the other one asks as fast as it can."""
        whole = seconds + 2 * LEAD_SECONDS
        noise = asyncio.create_task(
            asyncio.to_thread(drive, self.ports["run_1"], REQUEST, connections=MANY, seconds=whole)
        )
        await asyncio.sleep(LEAD_SECONDS)
        return await self.alone(seconds), await noise


async def _measure(report: Report) -> None:
    alone, beside, rates = list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder))
        pair = Neighbours(rig)
        await pair.open()
        await pair.alone(1)
        for _ in range(ROUNDS):
            alone += (await pair.alone(SECONDS)).times
            paced, load = await pair.beside(SECONDS)
            beside += paced.times
            rates.append(load.rate)
        await pair.close()
        rig.store.close()
    quiet, noisy = Paced(alone, {}), Paced(beside, {})
    report.ratio("fairness", noisy.quantile(0.99) / quiet.quantile(0.99))
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        report.figure(f"slow_run_{name}_alone", quiet.quantile(share) * 1e6, "µs")
        report.figure(f"slow_run_{name}_beside", noisy.quantile(share) * 1e6, "µs")
    report.figure("noisy_run_per_s", sum(rates) / len(rates), "1/s")


def measure(report: Report) -> None:
    """Measure `fairness`."""
    uvloop.run(_measure(report))
