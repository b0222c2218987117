"""The firewall's own cost: a decided, durable call that does nothing, beside its floors on the same server and disk."""

from __future__ import annotations

import asyncio
import functools
import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from safebox.firewall.clock import SystemClock
from safebox.firewall.core.action import Action, Call, canonical
from safebox.firewall.core.mandate import encode_mandate, mandate_digest
from safebox.firewall.core.record import RunStarted
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.core.windows import DAY
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.evidence import Evidence
from safebox.firewall.gateways.server import GatewayServer
from safebox.firewall.guard.stalls import Stalls
from safebox.firewall.guard.watchdog import Watchdog
from safebox.firewall.ledger import Ledger
from safebox.firewall.mandate.file import RunFile, load
from safebox.firewall.metrics import Metrics
from safebox.firewall.pipeline import Pipeline
from safebox.firewall.ports import Connector, Deliver, Desk, Outcome, Quote, RunView
from safebox.firewall.recovery import view_of
from safebox.firewall.runs import Run, Runs
from safebox.firewall.store.sqlite import SqliteStore
from tests.bench.load import Load, drive
from tests.bench.report import Report

MANY = 32
"""Connections of the throughput measures."""
SECONDS = 3.0
"""Of each load; repeated ROUNDS times in turn with its floor, so that a machine that drifts drifts under both."""
ROUNDS = 3
REQUEST = (
    b"POST /v1/tools/email.list HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
MANDATE = """
[agent]
name = "bench"
command = ["true"]
purpose = "Be measured."
task = "Nothing."
expires = "1d"
[mail]
recipients = ["a@b.example"]
per_hour = 10000
inbox = "inbox"
"""


class NoEffect:
    """A connector that does nothing, at once."""

    name = "mail"

    async def quote(self, action: Action, run: RunView) -> Quote:
        return Quote()

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        return Outcome(status="done", result={"messages": []})

    async def reconcile(self, action: Action, run: RunView, plan: dict[str, Any]) -> Outcome:
        return Outcome(status="failed")

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None:
        pass


class Echo:
    """A desk that answers without deciding or recording."""

    def __init__(self, view: RunView) -> None:
        self._view = view

    async def handle(self, call: Call, deliver: Deliver | None = None) -> Reply:
        return Reply(status=Status.DONE, decision_id="dec_0", result={"messages": []})

    def view(self, run: str) -> RunView:
        return self._view

    async def told(self, run: str, decision: str) -> Reply:
        return await self.handle(Call(run=run, tool="email.list", arguments={}))


class Append(Echo):
    """A desk that records what a decided call records, durably and in the same order, and decides nothing."""

    def __init__(self, view: RunView, store: SqliteStore, records: Sequence[bytes]) -> None:
        super().__init__(view)
        self._store = store
        self._decided, self._settled = records

    async def handle(self, call: Call, deliver: Deliver | None = None) -> Reply:
        await self._store.append([self._decided])
        self._store.append([self._settled], hurried=False)
        return await super().handle(call)


class Rig:
    """A real pipeline over the real engine, pack and store, with one run that is called, `run_1`.

    Args:
        folder: where the ledger is, or will be.
        connector: carries out mail; without one nothing is done.
        policies: folders of a site's own rules, after the pack.
        others: so many more live runs.
        engine: judges.
    """

    def __init__(
        self,
        folder: Path,
        connector: Connector | None = None,
        *,
        policies: Sequence[Path] = (),
        others: int = 0,
        engine: type[EmbeddedEngine] = EmbeddedEngine,
    ) -> None:
        self.store = SqliteStore(folder / "ledger.sqlite3")
        self.ledger, self.runs, self.metrics, self.clock = Ledger(self.store), Runs(), Metrics(), SystemClock()
        self.view = self.add("run_1")
        for number in range(others):
            self.add(f"run_{number + 2}")
        connectors: dict[str, Connector] = {"mail": connector or NoEffect()}
        watchdog = Watchdog(folder)
        self.engine = engine(load_bundle([pack_folder(), *policies]), watchdog.evaluation)
        self.pipeline = Pipeline(
            engine=self.engine,
            ledger=self.ledger,
            connectors=connectors,
            clock=self.clock,
            runs=self.runs,
            metrics=self.metrics,
            watch=Stalls(watchdog, self.ledger, self.engine, self.clock, self.metrics, _never_killed),
        )

    def add(self, name: str) -> RunView:
        """One more run, live, unless the ledger knows it."""
        if name not in self.ledger.books.runs:
            self.ledger.books.apply(run_started(name, self.clock.now_ns()))
        return self._live(name).view

    async def start(self, name: str, mandate: str) -> Run:
        """One more run, live and recorded."""
        await self.ledger.start(run_started(name, self.clock.now_ns(), mandate))
        return self._live(name)

    def _live(self, name: str) -> Run:
        book = self.ledger.book(name)
        run = Run(view_of(book.started), book, Evidence({}))
        self.runs.add(run)
        return run


async def _never_killed(run: str, by: str) -> None:
    raise AssertionError(f"{run} stalled the firewall")


@functools.cache
def _mandate(day: int, text: str) -> RunFile:
    """Read once: thousands of runs start under it."""
    return load(text, now=datetime.fromtimestamp((day + 1) * DAY / 1e9, UTC), source="bench")


def run_started(run: str, now: int, mandate: str = MANDATE) -> RunStarted:
    """A run under the mandate of the benches."""
    file = _mandate(now // DAY, mandate)
    shown = {
        "id": run,
        "agent": "bench",
        "image": file.image,
        "depth": 0,
        "parent": None,
        "root": run,
        "engine": "none",
        "address": None,
        "state": "live",
    }
    return RunStarted(
        at_ns=now,
        run=run,
        run_view=msgspec.Raw(canonical(shown)),
        mandate=msgspec.Raw(encode_mandate(file.mandate)),
        mandate_digest=mandate_digest(file.mandate),
        folder=None,
        task=file.task,
        inbox=file.inbox,
    )


async def _loaded(desk: Desk, metrics: Metrics, connections: int, seconds: float = SECONDS) -> Load:
    server, listeners = GatewayServer(desk, metrics), [listener() for _ in range(3)]
    port = int(listeners[0].getsockname()[1])
    await server.attach("run_1", listeners)
    load = await asyncio.to_thread(drive, port, REQUEST, connections=connections, seconds=seconds)
    await server.close()
    if set(load.statuses) != {"200"}:
        raise RuntimeError(f"the measured calls were answered {load.statuses}")
    return load


def listener() -> socket.socket:
    """A socket that listens on loopback, as a sandbox's does."""
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen(256)
    made.setblocking(False)
    return made


async def _commits(store: SqliteStore, record: bytes, count: int = 300) -> float:
    """The median time of one durable commit, asked for from the loop."""
    times: list[float] = []
    for _ in range(count):
        started = time.perf_counter()
        await store.append([record])
        times.append(time.perf_counter() - started)
    return statistics.median(times)


async def _measure(report: Report) -> None:
    one: list[tuple[float, float, float]] = []
    many: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        rig, plain = Rig(Path(first)), SqliteStore(Path(second) / "plain.sqlite3")
        await _loaded(rig.pipeline, rig.metrics, 1, 0.5)
        echo, append = Echo(rig.view), Append(rig.view, plain, list(rig.store.read())[-2:])
        for _ in range(ROUNDS):
            decided = await _loaded(rig.pipeline, rig.metrics, 1)
            bare = await _loaded(echo, rig.metrics, 1)
            one.append((decided.p50, bare.p50, await _commits(plain, list(rig.store.read())[-2])))
            decided = await _loaded(rig.pipeline, rig.metrics, MANY)
            appended = await _loaded(append, rig.metrics, MANY)
            many.append((decided.rate, appended.rate, decided.p99))
        rig.store.close()
        plain.close()
    report.ratio("overhead", statistics.median(call / (bare + commit) for call, bare, commit in one))
    report.ratio("throughput", statistics.median(decided / appended for decided, appended, _ in many))
    for name, position in (("call_p50", 0), ("echo_p50", 1), ("commit_p50", 2)):
        report.figure(name, statistics.median(row[position] for row in one) * 1e6, "µs")
    report.figure("decided_per_s", statistics.median(row[0] for row in many), "1/s")
    report.figure("appended_per_s", statistics.median(row[1] for row in many), "1/s")
    report.figure("call_p99_at_32", statistics.median(row[2] for row in many) * 1e6, "µs")


def measure(report: Report) -> None:
    """Measure `overhead` and `throughput`."""
    uvloop.run(_measure(report))
