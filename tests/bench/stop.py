"""Law 12: how long `safebox kill --all` takes while 32 connections send mail at full speed, and what begins later."""

from __future__ import annotations

import asyncio
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from safebox.firewall.control.server import ControlServer
from safebox.firewall.core.action import Action
from safebox.firewall.gateways.server import GatewayServer
from safebox.firewall.ports import Deliver, Outcome, RunView
from safebox.firewall.runs import Runs
from safebox.firewall.stops import Stops
from tests.bench.firewall import MANDATE, MANY, NoEffect, Rig, listener
from tests.bench.killer import Kill, Killer, killer
from tests.bench.load import Load, drive
from tests.bench.report import Report

TIMES = 50
LOAD_SECONDS = 1.2
"""From the first call to the last, which comes well after the kill."""
HEIGHT_SECONDS = 0.3
"""From the first effect to the kill: by then all connections ask without a pause."""
MAILER = MANDATE.replace("recipients = []\nper_hour = 1", 'recipients = ["a@b.example"]\nper_hour = 10000')
_MAIL = b'{"to":["a@b.example"],"subject":"Hello","body":"How are you?"}'
REQUEST = b"POST /v1/tools/email.send HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(_MAIL), _MAIL)


class Begun(NoEffect):
    """Does nothing, and notes when each effect began."""

    def __init__(self) -> None:
        self.at: list[float] = []

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        self.at.append(time.monotonic())
        await asyncio.sleep(0)
        return Outcome(status="done", result={})


class Orders:
    """The control socket's operations, as far as they are orders about runs."""

    def __init__(self, stops: Stops, runs: Runs) -> None:
        self._stops = stops
        self._runs = runs

    async def operate(self, op: str, fields: dict[str, Any], sockets: list[socket.socket]) -> dict[str, Any]:
        return await self._stops.carry_out(op, fields)

    def stop_now(self, op: str, fields: dict[str, Any]) -> None:
        self._stops.hear(op, fields)

    async def launcher_gone(self, runs: list[str]) -> None:
        pass

    def watch(self, watcher: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        return self._runs.watch(watcher)


@dataclass(frozen=True)
class Killed:
    """One kill under load: how long it took, effects begun before and after its answer, and what is left open."""

    kill: Kill
    before: int
    after: int
    open: int
    load: Load


class Target:
    """A firewall under load, and its control socket.

    Args:
        folder: for the ledger and the socket; short, as sockets' paths must be.
    """

    def __init__(self, folder: Path) -> None:
        self.begun = Begun()
        self.rig = Rig(folder, self.begun)
        self.rig.runs.remove("run_1")
        self.control = folder / "control.sock"
        stops = Stops(self.rig.ledger, self.rig.runs, self.rig.clock)
        self._server = GatewayServer(self.rig.pipeline, self.rig.metrics)
        self._orders = ControlServer(self.control, Orders(stops, self.rig.runs), asyncio.get_running_loop())

    async def kill_under_load(self, name: str, by: Killer, connections: int = MANY) -> Killed:
        """Start a run, load it, kill all, and look at what began when."""
        run = await self.rig.start(name, MAILER)
        listeners = [listener() for _ in range(3)]
        port = int(listeners[0].getsockname()[1])
        await self._server.attach(name, listeners)
        self.begun.at.clear()
        load = asyncio.create_task(
            asyncio.to_thread(drive, port, REQUEST, connections=connections, seconds=LOAD_SECONDS)
        )
        async with asyncio.timeout(30):
            while not self.begun.at:  # noqa: ASYNC110 - the connector is not told to wake anybody
                await asyncio.sleep(0.01)
        await asyncio.sleep(HEIGHT_SECONDS)
        kill = await asyncio.to_thread(by.kill_all)
        result = await load
        await self._server.detach(name)
        self.rig.runs.remove(name)
        before = sum(at <= kill.returned for at in self.begun.at)
        return Killed(kill, before, len(self.begun.at) - before, len(run.book.open), result)

    async def close(self) -> None:
        """End."""
        self._orders.close()
        await self._server.close()
        self.rig.store.close()


async def _measure(report: Report) -> None:
    with ExitStack() as stack:
        target = Target(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sb-"))))
        by = stack.enter_context(killer(target.control))
        kills = [await target.kill_under_load(f"run_k{number}", by) for number in range(TIMES)]
        await target.close()
    wrong = [kill for kill in kills if kill.after or kill.open or kill.kill.killed != 1]
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {TIMES} kills let something begin or left something open: {wrong[0]}")
    took = [kill.kill.seconds * 1000 for kill in kills]
    report.ratio("kill_ms", statistics.median(took))
    report.figure("kill_worst", max(took), "ms")
    report.figure("kill_effects_before", statistics.median(kill.before for kill in kills), "effects")


def measure(report: Report) -> None:
    """Measure `kill_ms`."""
    uvloop.run(_measure(report))
