"""One run under a whole firewall, with the far sides in memory: asked through its gateways, looked at in its world."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safebox.firewall.approvals import Approvals
from safebox.firewall.core.action import Call, canonical
from safebox.firewall.core.approval import Signer, Statement
from safebox.firewall.core.arguments import StartRun
from safebox.firewall.core.decision import Answer, Verdict
from safebox.firewall.core.document import decided_event, policy_input, settled_event, shown_action, understand
from safebox.firewall.core.facts import build_facts
from safebox.firewall.core.money import Amount
from safebox.firewall.core.outcome import Outcome
from safebox.firewall.core.record import Charge, LedgerEvent, RunEnded
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.core.total import cost_of
from safebox.firewall.core.windows import HOUR, SECOND
from safebox.firewall.drill.aim import OTHER_IMAGE
from safebox.firewall.drill.clock import StepClock
from safebox.firewall.drill.judge import Unwatched
from safebox.firewall.drill.pricing import decimals_of
from safebox.firewall.drill.setting import Setting
from safebox.firewall.drill.told import Told, allowed, of_http, of_reply, of_rpc, stopped
from safebox.firewall.drill.wire import Answered, exchange, request
from safebox.firewall.drill.world import Effect, MemoryWorld
from safebox.firewall.errors import CallerError, PolicyUnavailable, SafeboxError
from safebox.firewall.evidence import Evidence
from safebox.firewall.gateways.ethereum import EthereumGateway
from safebox.firewall.gateways.inference import InferenceGateway
from safebox.firewall.gateways.limits import CONNECTIONS_MAX, Limits
from safebox.firewall.gateways.listeners import Party
from safebox.firewall.gateways.tools import ToolsGateway
from safebox.firewall.keystore import Keystore
from safebox.firewall.launch import Launches
from safebox.firewall.ledger import Ledger
from safebox.firewall.lifecycle import check_connectors, started_event
from safebox.firewall.pipeline import Pipeline
from safebox.firewall.ports import Engine, EngineHealth
from safebox.firewall.recovery import recover, view_of
from safebox.firewall.roster import FILE_NAME as APPROVERS
from safebox.firewall.roster import Roster
from safebox.firewall.runs import Run, Runs
from safebox.firewall.signer.trusting import TrustingSigner
from safebox.firewall.store.notary import Notary
from safebox.firewall.store.sqlite import IDLE_SECONDS, UNHURRIED_SECONDS, SqliteStore

OWNER_KEY: Final = hashlib.sha256(b"safebox drill: the key of nobody's treasury").digest()
"""The same in every drill, so that every drill is the same."""
_NULL: Final = msgspec.Raw(b"null")


class Stage:
    """One run and its firewall. Use `open`, and `close` at the end.

    `effects` counts from the last `mark`. A desk for people is there: `vote` and `later`.
    """

    def __init__(self, setting: Setting, folder: Path) -> None:
        aim = self.aim = setting.aim
        self.folder = folder
        self.clock = StepClock(setting.now_ns)
        self.metrics = setting.metrics
        self.name = "run_" + hashlib.sha256(aim.mandate.agent.encode()).hexdigest()[:26]
        self._setting = setting
        self._signer = TrustingSigner(Keystore(OWNER_KEY))
        self._seen = 0
        self._engine: Engine = setting.engine
        self.notary = Notary(Ed25519PrivateKey.from_private_bytes(OWNER_KEY), "safebox/drill")
        chain_id = aim.wallet.chain_id if aim.wallet is not None else 1
        images = (*(aim.compute.images if aim.compute is not None else ()), OTHER_IMAGE)
        self.world = MemoryWorld(folder, chain_id, images, self._signer, decimals_of(aim.mandate))

    @classmethod
    async def open(cls, setting: Setting, folder: Path) -> Stage:
        """Start the run, with its wallet funded."""
        stage = cls(setting, folder)
        stage._firewall()
        file = setting.file
        address = await stage._signer.address_of(stage.name) if file.mandate.wallet is not None else None
        if address is not None and file.mandate.wallet is not None:
            stage.world.node.funds[address] = file.mandate.wallet.budget.units
        started = started_event(stage.name, file, address, None, "drill", stage.clock.now_ns())
        await stage.ledger.start(started)
        stage._adopt()
        return stage

    async def restart(self) -> None:
        """Another firewall takes up the ledger where this one stops, as after a crash."""
        self.store.close()
        self._firewall()
        self._adopt()
        await recover(self.ledger, self.world.connectors, self.clock)

    async def close(self) -> None:
        """End all."""
        await self.approvals.finish(1)
        self.store.close()
        await self.world.close()

    def _firewall(self) -> None:
        self.store = SqliteStore(self.ledger_path, notary=self.notary)
        self.ledger = Ledger(self.store)
        self.runs = Runs()
        self.pipeline = Pipeline(
            engine=self,
            ledger=self.ledger,
            connectors=self.world.connectors,
            clock=self.clock,
            runs=self.runs,
            metrics=self.metrics,
            watch=Unwatched(),
            prices=self.world.prices.ask,
        )
        self.approvals = Approvals(
            path=self.pipeline,
            ledger=self.ledger,
            runs=self.runs,
            clock=self.clock,
            metrics=self.metrics,
            roster=Roster(self._approvers()),
            bundle=lambda: self.bundle,
            ready=lambda _: True,
        )
        party = Party(self.name, self.metrics, Limits())
        endpoints = (
            ToolsGateway(self.pipeline),
            InferenceGateway(self.pipeline),
            EthereumGateway(self.pipeline, self.metrics, self.world.node),
        )
        self._connect = {each.name: party.connecting(each, lambda: CONNECTIONS_MAX) for each in endpoints}

    def _adopt(self) -> None:
        book = self.ledger.book(self.name)
        self.run = Run(view_of(book.started), book, Evidence(self._setting.corpus))
        self.runs.add(self.run)

    def _approvers(self) -> Path:
        path, grant = self.folder / APPROVERS, self.aim.mandate.approvals
        if grant is not None and not path.exists():
            people = [f'{each.name} = "{each.verifier.text()}"' for each in self._people()]
            path.write_text("\n".join([f"[{grant.group}]", *people]) + "\n", encoding="utf-8")
            path.chmod(0o600)
        return path

    def _people(self) -> list[Signer]:
        grant = self.aim.mandate.approvals
        names = [f"person-{number}" for number in range(grant.needed if grant is not None else 0)]
        return [Signer(name, hashlib.sha256(name.encode()).digest()) for name in names]

    # --- what an agent can do -----------------------------------------------------------------------------------

    async def wire(self, gateway: str, data: bytes) -> Answered:
        """Send bytes to a gateway as they are."""
        return await exchange(self._connect[gateway], data)

    async def raw(
        self, tool: str, body: bytes, *, headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Told:
        """Ask for a tool with a body as it is."""
        answered = await self.wire("tools", request(f"/v1/tools/{tool}", body, headers, method))
        return of_http(answered)

    async def tool(self, tool: str, arguments: Any, *, key: str | None = None) -> Told:
        """Ask for a tool."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.raw(tool, msgspec.json.encode(arguments), headers=headers)

    async def chat(self, **fields: Any) -> Told:
        """Ask a model."""
        answered = await self.wire("inference", request("/v1/chat/completions", msgspec.json.encode(fields)))
        return of_http(answered)

    async def rpc(self, method: str, *params: Any) -> Told:
        """Ask the wallet."""
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return of_rpc(await self.wire("ethereum", request("/", body)), self.run.book.holds.all)

    async def pay(self, to: str, units: int, *, key: str | None = None, **more: Any) -> Told:
        """Ask for a payment of so many wei."""
        return await self.tool("wallet.transfer", {"to": to, "amount": f"{units} wei", **more}, key=key)

    async def mail(self, *to: str, body: str = "All is well.", **more: Any) -> Told:
        """Ask for a mail."""
        return await self.tool("email.send", {"to": to, "subject": "A note", "body": body, **more})

    def transaction(self, **changes: Any) -> dict[str, Any]:
        """A small payment as a wallet writes it; what is None is left out."""
        address, to = self.run.view.address, self.aim.payee
        fields = {"from": address, "to": to, "value": hex(max(0, self.aim.small)), **changes}
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def owner_address(self) -> str:
        """Where the treasury is."""
        return self._signer.owner_address

    @property
    def ends_ns(self) -> int:
        """When the mandate ends."""
        return self._setting.ends_ns

    async def alone(
        self, tool: str, arguments: Any, *charges: Charge, learned: Mapping[str, Any] | None = None
    ) -> Told:
        """Have policy alone judge what no connector here can do yet, with what one would have learned."""
        known = TOOLS[tool]
        call = Call(run=self.name, tool=tool, arguments=arguments)
        try:
            action = understand(call, known, self.clock.new_id("act"), self.clock.now_ns())
        except CallerError as error:
            return stopped(error.code)
        overlap, _ = self.run.evidence.judge(action)
        cost = cost_of(self.run.book, action.caller, charges, self.world.prices.ask)
        facts = build_facts(
            action,
            self.run.book,
            address=self.run.view.address,
            charges=charges,
            learned=learned or {},
            self_overlap=overlap,
            total=cost.facts,
        )
        shown, told = shown_action(action, known), msgspec.Raw(canonical(facts))
        try:
            answer = await self.decide(policy_input(shown, self.run.policy_view, self.run.policy_mandate, told))
        except PolicyUnavailable as error:
            return stopped(error.code)
        return Told(answer.verdict, answer.reasons[0].code if answer.reasons else "")

    # --- what only the owner, people and time can do ---------------------------------------------------------------

    async def owner(self, tool: str, arguments: Any) -> Told:
        """The firewall asks on the owner's behalf."""
        call = Call(run=self.name, tool=tool, arguments=arguments, caller=Caller.OWNER)
        return of_reply(await self.pipeline.handle(call))

    async def launch(self, number: int) -> Told:
        """Somebody starts one more run of the same agent, under the same mandate."""
        file, name, now = self._setting.file, f"run_{number}", self.clock.now_ns()
        started = started_event(name, file, None, None, "drill", now)
        asked = StartRun(agent=file.name, image=file.image, command=file.command, task=file.task)
        try:
            check_connectors(file.mandate, self.world.connectors)
        except SafeboxError as error:
            return stopped(error.code)
        launches = Launches(engine=self, ledger=self.ledger, runs=self.runs, clock=self.clock, metrics=self.metrics)
        try:
            await launches.decide(started, asked)
        except SafeboxError as error:
            return stopped(error.code)
        return allowed()

    async def launched_before(self, times: int) -> None:
        """The agent was started so often today, and each run is over."""
        now = self.clock.now_ns() - HOUR
        events: list[LedgerEvent] = []
        for number in range(times):
            name = f"run_before_{number}"
            events.append(started_event(name, self._setting.file, None, None, "drill", now))
            events.append(RunEnded(at_ns=now, run=name, reason="exited", exit_code=0))
        await self.ledger.note(*events)

    async def vote(self, told: Told, verdict: Literal["approve", "deny"], people: int | None = None) -> None:
        """So many people (all that are needed) say yes or no to what was held."""
        hold = self.run.book.holds.all[told.decision]
        held = hold.decided
        for signer in self._people()[:people]:
            said = Statement(
                hold=held.decision,
                run=held.run,
                digest=held.digest,
                bundle=held.bundle,
                group=hold.terms.group,
                verdict=verdict,
                approver=signer.name,
                signed_ns=held.at_ns + 1,
            )
            await self.approvals.vote({"statement": msgspec.to_builtins(said), "signature": signer.sign(said)})
            if verdict == "deny":
                break
        await self.approvals.finish(5)

    async def vote_late(self, told: Told) -> None:
        """They say yes, perhaps too late: then nobody listens."""
        with contextlib.suppress(CallerError):
            await self.vote(told, "approve")

    async def later(self, seconds: int) -> None:
        """So much time passes; what waits for time is looked at."""
        self.clock.advance(seconds)
        await self.approvals.tick()
        await self.approvals.finish(5)

    async def note(self, *events: LedgerEvent) -> None:
        """Something else is recorded."""
        await self.ledger.note(*events)

    async def did_before(self, tool: str, arguments: Any, *charges: Charge, times: int = 1, ago_s: int = 60) -> None:
        """The run has done this so often before, and it is on its books."""
        known, events = TOOLS[tool], list[LedgerEvent]()
        for _ in range(times):
            at = self.clock.now_ns() - ago_s * SECOND
            call = Call(run=self.name, tool=tool, arguments=arguments)
            action = understand(call, known, self.clock.new_id("act"), at)
            answer, shown = Answer(Verdict.ALLOW, (), {}), shown_action(action, known)
            number = self.clock.new_id("dec")
            decided = decided_event(action, answer, number, self.bundle, charges, {}, shown, _NULL)
            events += [decided, settled_event(decided, Outcome(status="done", charges=charges), at_ns=at)]
        await self.ledger.note(*events)

    async def spent_before(self, units: int, *, ago_s: int = 60) -> None:
        """So much of the wallet's budget is gone already."""
        charge = Charge("wallet", Amount(units, self.aim.asset))
        await self.did_before("wallet.transfer", {"to": self.aim.payee, "amount": "1 wei"}, charge, ago_s=ago_s)

    # --- what came of it ------------------------------------------------------------------------------------------

    def mark(self) -> None:
        """What is done from here on counts."""
        self._seen = len(self.world.effects)

    @property
    def effects(self) -> list[Effect]:
        """What was done since the last mark."""
        return self.world.effects[self._seen :]

    async def settle(self) -> None:
        """Let what is on its way to the disk arrive."""
        await asyncio.sleep(UNHURRIED_SECONDS * 2)

    async def signed(self) -> None:
        """Let the ledger be signed up to its last record."""
        await asyncio.sleep(IDLE_SECONDS * 3)

    @property
    def ledger_path(self) -> Path:
        """Where the ledger is."""
        return self.folder / "ledger.sqlite3"

    # --- who judges: an `Engine`, so that it can be exchanged ---------------------------------------------------------

    def judge_by(self, engine: Engine | None) -> None:
        """Have another engine judge; None is the policies this is all about."""
        self._engine = self._setting.engine if engine is None else engine

    @property
    def bundle(self) -> str:
        """The digest in force."""
        return self._engine.bundle

    async def decide(self, document: bytes) -> Answer:
        """Judge one policy input.

        Raises:
            PolicyUnavailable: as the engine does.
        """
        return await self._engine.decide(document)

    def health(self) -> EngineHealth:
        """As the engine says."""
        return self._engine.health()
