"""In-memory twins of the pipeline's ports: each can be told to fail in any of the ways the real one can."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from safebox.firewall.core.action import Action, Call
from safebox.firewall.core.decision import Answer, Verdict, refusal
from safebox.firewall.core.document import decided_event, shown_action, understand
from safebox.firewall.core.money import Amount
from safebox.firewall.core.outcome import Outcome, Quote
from safebox.firewall.core.record import Charge, Decided, LedgerEvent, RunStarted, decode_event, encode_event
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.drill.clock import StepClock
from safebox.firewall.drill.judge import Unwatched
from safebox.firewall.errors import LedgerUnavailable, SandboxError
from safebox.firewall.evidence import Evidence
from safebox.firewall.ledger import Ledger
from safebox.firewall.lifecycle import started_event
from safebox.firewall.mandate.file import load
from safebox.firewall.metrics import Metrics
from safebox.firewall.pipeline import Pipeline
from safebox.firewall.ports import Deliver, EngineHealth, RunView
from safebox.firewall.recovery import view_of
from safebox.firewall.runs import Run, Runs

PAYEE = "0x00000000219ab540356cBB839Cbe05303d7705Fa"
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
MANDATE = f"""
[agent]
name = "tester"
command = ["true"]
purpose = "Test the pipeline."
task = "Pay, mail, compute."
expires = "1h"
[wallet]
chain = "dev"
budget = "7 ETH"
per_transfer = "1 ETH"
[wallet.payees]
acme = "{PAYEE}"
[mail]
recipients = ["a@b.example"]
per_hour = 1000
"""


class MemoryStore:
    """Keeps records in a list; `broken` makes appends fail, `stall` makes them wait."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.broken = False
        self.stall: asyncio.Event | None = None
        self.shared = False
        self.merge: Callable[[Sequence[bytes]], None] = lambda _: None

    def read(self) -> Iterator[bytes]:
        return iter(list(self.records))

    def append(
        self,
        records: Sequence[bytes],
        *,
        hurried: bool = True,
        still: Callable[[], bool] | None = None,
        sealed: bool = False,
    ) -> asyncio.Future[None]:
        return asyncio.ensure_future(self._append(records))

    async def _append(self, records: Sequence[bytes]) -> None:
        await asyncio.sleep(0)
        if self.stall is not None:
            await self.stall.wait()
        if self.broken:
            raise LedgerUnavailable("the disk is full", kind="full")
        self.records.extend(records)

    def close(self) -> None:
        pass

    @property
    def events(self) -> list[LedgerEvent]:
        return [decode_event(record) for record in self.records]


class ScriptedEngine:
    """Answers with what it was given: an answer, or an error to raise."""

    bundle = "sha256:test"

    def __init__(self) -> None:
        self.answer: Answer | BaseException = Answer(Verdict.ALLOW, (), {})
        self.asked: list[bytes] = []

    async def decide(self, document: bytes) -> Answer:
        self.asked.append(document)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def health(self) -> EngineHealth:
        return EngineHealth(True, "")

    def deny(self, code: str = "test.denied") -> None:
        self.answer = refusal(code, "no")


class MemoryConnector:
    """Counts what it did; `price` is charged, `on_quote` and `on_perform` can raise or wait."""

    def __init__(self, name: str, rail: str = "wallet", asset: str = "ETH") -> None:
        self.name = name
        self.price: Callable[[Action], int] = lambda _: 0
        self.rail, self.asset = rail, asset
        self.done: list[Action] = []
        self.on_quote: Callable[[], Awaitable[None]] | None = None
        self.on_perform: Callable[[], Awaitable[None]] | None = None
        self.world: dict[str, Outcome] = {}
        self.result: dict[str, Any] = {}

    async def quote(self, action: Action, run: RunView) -> Quote:
        if self.on_quote is not None:
            await self.on_quote()
        return Quote(charges=self._charges(action), plan={"price": str(self.price(action))})

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        if self.on_perform is not None:
            await self.on_perform()
        self.done.append(action)
        return Outcome(status="done", charges=self._charges(action), result={"number": len(self.done), **self.result})

    async def reconcile(self, action: Action, run: RunView, plan: dict[str, Any]) -> Outcome:
        return self.world.get(action.id, Outcome(status="failed", detail="it never happened"))

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None:
        pass

    def _charges(self, action: Action) -> tuple[Charge, ...]:
        price = self.price(action)
        return (Charge(self.rail, Amount(price, self.asset)),) if price else ()


class TwinHost:
    """Notes which launchers it was asked for; `broken` starts none."""

    def __init__(self) -> None:
        self.launched: list[str] = []
        self.broken = False

    def launch(self, run: str) -> None:
        if self.broken:
            raise SandboxError("no process can be started")
        self.launched.append(run)


class Rig:
    """A pipeline over twins, with one live run `run_1`."""

    def __init__(
        self,
        store: MemoryStore | None = None,
        mandate: str = MANDATE,
        ledger: Ledger | None = None,
        metrics: Metrics | None = None,
        evidence: Evidence | None = None,
        clock: StepClock | None = None,
        engine: ScriptedEngine | None = None,
        connectors: dict[str, MemoryConnector] | None = None,
    ) -> None:
        self.store = store or MemoryStore()
        self.engine = engine or ScriptedEngine()
        self.clock = clock or StepClock()
        self.metrics = metrics or Metrics()
        self.runs = Runs()
        self.ledger = ledger or Ledger(self.store)
        self.connectors = connectors or {
            "chain": MemoryConnector("chain"),
            "mail": MemoryConnector("mail"),
            "compute": MemoryConnector("compute", "compute", "USD"),
            "inference": MemoryConnector("inference", "inference", "USD"),
        }
        self.connectors["chain"].price = lambda action: getattr(action.args, "amount", Amount(0, "ETH")).units
        if "run_1" not in self.ledger.books.runs:
            started = run_started("run_1", mandate, self.clock.now_ns())
            self.store.records.append(encode_event(started))
            self.ledger.books.apply(started)
        self.run = Run(view_of(self.ledger.book("run_1").started), self.ledger.book("run_1"), evidence or Evidence({}))
        self.runs.add(self.run)
        self.pipeline = Pipeline(
            engine=self.engine,
            ledger=self.ledger,
            connectors=self.connectors,
            clock=self.clock,
            runs=self.runs,
            metrics=self.metrics,
            watch=Unwatched(),
        )

    @property
    def effects(self) -> int:
        return sum(len(connector.done) for connector in self.connectors.values())

    def decided_for(self, run: str, **changes: Any) -> Decided:
        """A plain yes to a transfer, as the pipeline would record it."""
        tool = TOOLS["wallet.transfer"]
        call = Call(run=run, tool=tool.name, arguments={"to": PAYEE, "amount": "1 ETH"})
        action = understand(call, tool, self.clock.new_id("act"), self.clock.now_ns())
        answer, shown = Answer(Verdict.ALLOW, (), {}), shown_action(action, tool)
        charges = (Charge("wallet", Amount(10**18, "ETH")),)
        event = decided_event(action, answer, self.clock.new_id("dec"), "sha256:test", charges, {}, shown, shown)
        return msgspec.structs.replace(event, **changes)

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def run_started(run: str, mandate: str, at_ns: int) -> RunStarted:
    file = load(mandate, now=datetime.fromtimestamp(at_ns / 1e9, UTC), source="safebox.toml")
    return started_event(run, file, ADDRESS, None, "none", at_ns)
