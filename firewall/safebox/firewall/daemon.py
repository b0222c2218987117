"""A whole firewall: its parts put together, started in order, kept healthy, and taken down again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from typing import Any, Final

import msgspec

from safebox.firewall.approvals import Approvals
from safebox.firewall.begun import Begun
from safebox.firewall.children import Children, NoHost
from safebox.firewall.clock import SystemClock
from safebox.firewall.connectors.compute import ComputeProvider
from safebox.firewall.connectors.lending import Holdings
from safebox.firewall.connectors.upstream import ChainReads
from safebox.firewall.control.server import ControlServer
from safebox.firewall.core.action import Call
from safebox.firewall.core.kinship import trees_of
from safebox.firewall.core.money import Amount
from safebox.firewall.core.record import Received
from safebox.firewall.core.tools import Caller
from safebox.firewall.credentials import credentials
from safebox.firewall.duties import Duties
from safebox.firewall.engines.reload import Reload
from safebox.firewall.errors import CallerError, FirewallError, LedgerUnavailable
from safebox.firewall.farsides import watch_far_sides
from safebox.firewall.gateways.limits import DRAIN_SECONDS
from safebox.firewall.gateways.server import GatewayServer, load_websockets
from safebox.firewall.guard.stalls import Stalls
from safebox.firewall.guard.watchdog import BEAT_SECONDS, Watchdog
from safebox.firewall.inspector import Inspector
from safebox.firewall.keyfile import FOLDER
from safebox.firewall.launch import Launches
from safebox.firewall.ledger import Ledger
from safebox.firewall.lifecycle import Lifecycle
from safebox.firewall.loading import load
from safebox.firewall.metrics import Metrics
from safebox.firewall.observe import ObserveServer
from safebox.firewall.pipeline import Pipeline
from safebox.firewall.policy import Policy
from safebox.firewall.ports import ChildHost
from safebox.firewall.prices import open_prices
from safebox.firewall.recovery import Doubts, recover
from safebox.firewall.roster import FILE_NAME as APPROVERS
from safebox.firewall.roster import Roster
from safebox.firewall.runs import Runs
from safebox.firewall.settings import Settings, check_asked, without_password
from safebox.firewall.shown import shown_run
from safebox.firewall.signer.client import SignerClient
from safebox.firewall.stops import Stops
from safebox.firewall.store.deposits import Deposits
from safebox.firewall.store.notary import Notary
from safebox.firewall.store.sqlite import SqliteStore
from safebox.firewall.treasury import Treasury
from safebox.firewall.wallets import Wallets, watch_wallets
from safebox.firewall.world import World

_LOG = logging.getLogger(__name__)

WATCH_SECONDS: Final = 2
"""How often debts to the ledger are looked at."""
REATTACH_SECONDS: Final = 30
"""How long a run of an earlier firewall may take to come back before it is ended."""

__all__ = ["Begun", "Firewall"]


class Firewall:
    """One firewall over one state folder. `start` it, wait for `ended`, `close` it.

    Args:
        settings: how it is set up.
        provider: where bought compute runs.
        chain_id: the only chain signed for.
        begun: what whoever loads this may have begun before, because it takes its time.
        children: starts the launchers of child runs; None: there are none, and no mandate may grant any.
    """

    def __init__(
        self,
        settings: Settings,
        provider: ComputeProvider,
        chain_id: int,
        *,
        begun: Begun | None = None,
        children: ChildHost | None = None,
    ) -> None:
        self._settings = settings
        self._begun = begun or Begun(None, None)
        self._provider = provider
        self._chain_id = chain_id
        self._duties, self._heart = Duties(self._fail), Duties(self._fail)
        self.failed = False
        self._attached: set[str] = set()
        self.metrics = Metrics()
        self.runs = Runs()
        self._host = children
        self.ended = asyncio.Event()

    async def start(self) -> None:
        """Open the state, ask about what a crash left open, and begin to answer.

        Raises:
            SafeboxError: if a part can't be opened; nothing is answered then.
        """
        home = self._settings.home
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        home.chmod(0o700)
        self._watchdog = Watchdog(home)
        self.signer = SignerClient(home, self._settings.ledger, self._begun.signer)
        notary = Notary.open(home / FOLDER)
        self._verifier = notary.verifier
        second = self._settings.checkpoint_to
        self._deposits = await asyncio.to_thread(Deposits, second, self._settings.ledger, self._verifier)
        self._store = SqliteStore(
            self._settings.ledger, committed=self.metrics.ledger_committed, notary=notary, signing=False
        )
        self.ledger = Ledger(self._store)
        inspector = Inspector(self._settings.ledger, self._verifier, self.ledger, self._store, self.metrics)
        self._duties.begin(inspector.work())
        if self.ledger.unsettled():  # far sides will be asked; what that needs is loaded beside the rest
            self._duties.begin(load("aiohttp"))
        self.clock = SystemClock(self.ledger.books.last_ns)
        self.policy = Policy(
            self._settings,
            self.ledger,
            self.clock,
            observe=self._reloaded,
            deadline=self._watchdog.evaluation,
            checked=self._begun.checked,
        )
        self.engine = self.policy.engine
        self._world, _ = await asyncio.gather(self._open_world(), self.engine.start())
        self.prices = open_prices(self._settings.asset_prices, self.clock.now_ns)
        self.metrics.follow_prices(self.prices.gauges())
        self.stalls = Stalls(self._watchdog, self.ledger, self.engine, self.clock, self.metrics, self._stop_stalling)
        self.pipeline = Pipeline(
            engine=self.engine,
            ledger=self.ledger,
            connectors=self._world.connectors,
            clock=self.clock,
            runs=self.runs,
            metrics=self.metrics,
            watch=self.stalls,
            prices=self.prices.ask,
        )
        self.gateways = GatewayServer(self.pipeline, self.metrics, chain=ChainReads(self._world.nodes))
        self.treasury = Treasury(
            self.pipeline,
            self.runs,
            self.signer.owner_address,
            self._world.chain.balance,
            self.metrics,
            self._received,
            Holdings(self._world.nodes, self._settings.confirmations_on(self._chain_id)),
        )
        self._wallets = Wallets(self.ledger, self.runs, self.treasury, self.metrics)
        self._lifecycle = Lifecycle(
            connectors=self._world.connectors,
            ledger=self.ledger,
            runs=self.runs,
            signer=self.signer,
            treasury=self.treasury,
            gateways=self.gateways,
            clock=self.clock,
            launches=Launches(
                engine=self.engine, ledger=self.ledger, runs=self.runs, clock=self.clock, metrics=self.metrics
            ),
            secrets=credentials(self._settings),
        )
        self._stops = Stops(self.ledger, self.runs, self.clock)
        self.approvals = self._approvals_desk()
        self._restored = self._lifecycle.restore()
        self.stalls.take_up(home)
        with contextlib.suppress(LedgerUnavailable):  # tried again; what stalled is refused all the same
            await self.stalls.settle()
        await recover(self.ledger, self._world.connectors, self.clock, self.runs)
        await inspector.looked()
        self._doubts = Doubts(self.ledger, self._world.connectors, self.clock, self.runs)
        self.observer = ObserveServer(self.metrics, self.readiness)
        host, port = await self.observer.start(self._settings.metrics_host, self._settings.metrics_port)
        self.metrics_url = f"http://{host}:{port}/metrics"
        self._control = ControlServer(self._settings.control, self, asyncio.get_running_loop())
        self._announce()
        self._deposits.start(lambda: self._store.seq)
        self.metrics.checkpoints_kept(self._deposits.all)
        wallets = watch_wallets(self.treasury, self._world.chain, self.metrics)
        far, children = watch_far_sides(self._world.connectors, self.metrics), self._children.follow(self.launcher_gone)
        left, prices = self._wallets.stranded.follow(), self.prices.follow()
        self._duties.begin(
            self._watch(), wallets, far, left, prices, children, self._orphans(), self.approvals.follow()
        )
        self._heart.begin(self._beat())
        asyncio.get_running_loop().run_in_executor(None, load_websockets)

    async def _open_world(self) -> World:
        await self.signer.start()
        world = await World.open(self._settings, self.signer, self._provider, self._chain_id, self.ledger)
        self._children = Children(self._host or NoHost(), self.ledger, self.runs, lambda: self._lifecycle, self.metrics)
        if self._host is not None:
            world.spawning(self._children, self.ledger)
        return world

    def _approvals_desk(self) -> Approvals:
        return Approvals(
            path=self.pipeline,
            ledger=self.ledger,
            runs=self.runs,
            clock=self.clock,
            metrics=self.metrics,
            roster=Roster(self._settings.home / APPROVERS),
            bundle=lambda: self.engine.bundle,
            ready=self._attached.__contains__,
        )

    async def close(self) -> None:
        """End what runs are left, then every part in turn."""
        self._control.close()
        await self._duties.end()
        for run in self.runs.all():
            await self._end(run.view.id, "firewall_stopped", None)
        await self.approvals.finish(DRAIN_SECONDS)
        await self.gateways.close()
        await self.engine.stop()
        await self.observer.close()
        await self._world.close()
        await self.signer.close()
        (self._settings.home / "firewall.json").unlink(missing_ok=True)
        await self._heart.end()
        self._watchdog.close()
        self.ledger.close()  # last: who gets its lock is the next firewall
        await asyncio.to_thread(self._deposits.close)  # what it signed at its end

    def _fail(self) -> None:
        self.failed = True
        self.ended.set()

    def readiness(self) -> list[str]:
        """Why no yes can be given now; nothing if one can."""
        health = self.engine.health()
        reasons = [] if health.ready else [health.detail]
        if self.ledger.owes:
            reasons.append("the ledger can't be written")
        if self.ledger.fault is not None:
            reasons.append(f"the ledger can't be believed: {self.ledger.fault} (safebox audit verify)")
        return reasons

    async def operate(self, op: str, fields: dict[str, Any], sockets: list[socket.socket]) -> dict[str, Any]:
        """Do what somebody asks over the control socket. See `control.Operations`."""
        answer: dict[str, Any] = {}
        match op:
            case "status" | "ps" | "prices":
                answer = self._told(op)
            case "start" | "adopt" | "attach" | "end":
                answer = await self._operate_run(op, fields, sockets)
            case "kill" | "pause" | "resume" | "freeze" | "thaw":
                answer = await self._stops.carry_out(op, fields)
                self._count_runs()
            case "approvals" | "approval" | "vote":
                answer = await self.approvals.operate(op, fields)
            case "activate":
                answer = await self.policy.activate(str(fields["file"]), str(fields["by"]))
            case "hold":
                pass  # the control server keeps count of who holds
            case "stop":
                self.ended.set()
            case _:
                answer = await self._wallets.operate(op, fields)
        return answer

    async def _operate_run(self, op: str, fields: dict[str, Any], sockets: list[socket.socket]) -> dict[str, Any]:
        if op == "start":
            check_asked(self._settings, fields.get("asked") or {})
            started = await self._lifecycle.start(
                str(fields["mandate"]), str(fields["source"]), fields.get("folder"), str(fields["engine"])
            )
            return {**started, "parts": self.policy.parts()}
        run = str(fields["run"])
        if op == "adopt":
            return {**await self._children.adopt(run, str(fields["engine"])), "parts": self.policy.parts()}
        if op == "attach":
            await self._lifecycle.attach(run, sockets)
            self._attached.add(run)
            return {"run": run}
        return await self._end(run, str(fields["reason"]), fields.get("exit_code"))

    def stop_now(self, op: str, fields: dict[str, Any]) -> None:
        """Let nothing start from here on that `op` stops. See `control.Operations`."""
        self._stops.hear(op, fields)

    async def launcher_gone(self, runs: list[str]) -> None:
        """End the runs whose launcher hung up without a word, and the firewall itself if it was started for them."""
        for run in runs:
            if any(found.view.id == run for found in self.runs.all()):
                await self._end(run, "launcher_gone", None)
        self._leave_if_idle()

    def watch(self, watcher: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Show every event from now on. See `control.Operations`."""
        return self.runs.watch(watcher)

    async def _end(self, run: str, reason: str, exit_code: int | None) -> dict[str, Any]:
        shown = self._shown(run)
        self._attached.discard(run)
        found = self.runs.find(run)
        found.stopped = found.stopped or "over"  # nothing is rented any more while what was rented is given back
        for instance in await asyncio.to_thread(self._world.compute.open_instances, run):
            arguments = {"instance": instance}
            await self.pipeline.handle(Call(run=run, tool="compute.stop", arguments=arguments, caller=Caller.OWNER))
        ended = await self._lifecycle.end(run, reason, exit_code)
        return {**ended, "lines": shown["lines"]}

    def _told(self, op: str) -> dict[str, Any]:
        if op == "prices":
            return {"prices": self.prices.shown()}
        return self._status() if op == "status" else {"runs": self._all_shown()}

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "home": str(self._settings.home),
            "metrics": self.metrics_url,
            "bundle": self.engine.bundle,
            "policy": self.engine.health().detail,
            "ready": not self.readiness(),
            "reasons": self.readiness(),
            "runs": len(self.runs.all()),
            "events": self._store.seq,
            "parts": self.policy.parts(),
            "urls": {name: without_password(url) for name, url in self._world.urls.items()},
        }

    def _all_shown(self) -> list[dict[str, Any]]:
        return [self._shown(run.view.id) for run in self.runs.all()]

    def _shown(self, run: str) -> dict[str, Any]:
        return shown_run(self.runs.find(run), attached=run in self._attached)

    def _announce(self) -> None:
        path = self._settings.home / "firewall.json"
        path.write_bytes(msgspec.json.encode({"pid": os.getpid(), "metrics": self.metrics_url}))

    def _reloaded(self, reload: Reload) -> None:
        self.metrics.policy(loaded=self.engine.health().ready, failing=reload.problem is not None)
        self.metrics.policy_reloaded("failed" if reload.problem is not None else "ok")
        if reload.problem is not None:
            _LOG.error("the policy was not taken into force: %s", reload.problem)
        self.runs.tell_plain({"event": "policy", "bundle": reload.bundle, "problem": reload.problem})
        if reload.result == "activated":
            self._duties.begin(self.policy.note(reload.bundle))

    async def _stop_stalling(self, run: str, by: str) -> None:
        """Kill a run that ended one firewall after the other, and what it started."""
        with contextlib.suppress(CallerError):  # it isn't here any more
            await self._stops.carry_out("kill", {"run": run, "by": by, "tree": True})

    async def _beat(self) -> None:
        while True:
            self._watchdog.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _received(self, run: str, amount: Amount) -> None:
        await self.ledger.note(Received(at_ns=self.clock.now_ns(), run=run, amount=amount))

    async def _watch(self) -> None:
        """Record what is owed to the ledger, and what has become known of what was not."""
        while True:
            self.metrics.policy_loaded.set(self.engine.health().ready)
            with contextlib.suppress(LedgerUnavailable):
                await self.ledger.pay_what_is_owed()
                await self.stalls.settle()
                for settled in await self._doubts.ask():
                    self.runs.tell(settled)
            self._count_runs()
            self.runs.tell_standing()
            self.metrics.forgotten(self._world.compute.forgotten)
            await asyncio.sleep(WATCH_SECONDS)

    def _count_runs(self) -> None:
        for state, count in self._stops.counts().items():
            self.metrics.runs(state, count)
        self.metrics.trees(*trees_of(run.book for run in self.runs.all()))

    async def _orphans(self) -> None:
        await asyncio.sleep(REATTACH_SECONDS)
        for run in self._restored:
            if run not in self._attached:
                with contextlib.suppress(FirewallError):
                    await self._end(run, "launcher_gone", None)
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if self._settings.until_idle and not self.runs.all() and self._control.leave():
            self.ended.set()
