"""Laws 3, 4, 5 and 6 under any order of payments, children, income, sweeps, expiry, failures, crashes and restarts.

The pipeline, ledger, treasury and recovery are the real ones. Policy says yes to all but what has expired, so nothing
but they stand between a call and the money. The world outlives the firewall: it keeps every balance and every effect,
and is compared with the books after each step.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from safebox.firewall.core.action import Action, Call, canonical
from safebox.firewall.core.arguments import MoveFunds
from safebox.firewall.core.books import Books, RunBook
from safebox.firewall.core.decision import Answer, Verdict, refusal
from safebox.firewall.core.mandate import Mandate, WalletGrant, encode_mandate, mandate_digest
from safebox.firewall.core.money import UNITS_MAX, Amount
from safebox.firewall.core.outcome import Outcome, Quote
from safebox.firewall.core.record import (
    Charge,
    Received,
    RunEnded,
    RunKilled,
    RunStarted,
    decode_event,
)
from safebox.firewall.core.reply import Reply
from safebox.firewall.drill.clock import NOW_NS
from safebox.firewall.errors import CallerError, EffectError
from safebox.firewall.evidence import Evidence
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Deliver, RunView
from safebox.firewall.recovery import Doubts, recover, view_of
from safebox.firewall.runs import Run
from safebox.firewall.treasury import Treasury
from tests.kin import begin
from tests.twins import PAYEE, MemoryStore, Rig, ScriptedEngine

STEPS_WANTED: Final = 20_000
EXAMPLES: Final = 260
STEPS: Final = 100
OWNER: Final = "0x" + "9" * 40
LIFE_NS: Final = 10**15
FEE: Final = 1
SLOW: Final = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
LINE: Final = ("wallet", "ETH")
LARGE: Final = [UNITS_MAX, UNITS_MAX - 1, UNITS_MAX // 2, 2**200 + 1, 2**64, 2**64 + 1, 2**53 + 1]

units = st.integers(0, 9) | st.sampled_from(LARGE) | st.integers(0, UNITS_MAX)
shares = st.integers(0, 110)
faults = st.sampled_from(["none"] * 5 + ["refuse", "lose", "hang", "die_before", "die_after", "disk"])

METRICS: Final = Metrics()
NOTHING_OWN: Final = Evidence({})
"""Made once: both cost more than a hundred steps."""
_lives = itertools.count()
taken: Counter[str] = Counter()
"""How often each rule was taken, over all examples."""


class World:
    """What a chain knows: who holds what, and what was done under which action."""

    def __init__(self) -> None:
        self.balances: Counter[str] = Counter()
        self.done: dict[str, tuple[str, str, int]] = {}
        self.spent: Counter[str] = Counter()
        self.hidden: set[str] = set()

    def move(self, action: Action, run: RunView) -> Outcome:
        assert action.id not in self.done, f"law 3: {action.id} was done twice"
        address = str(run.address)
        if isinstance(action.args, MoveFunds):
            source, to, amount = (OWNER, address, action.args.amount) if action.tool == "wallet.fund" else (
                address, OWNER, action.args.amount or Amount(self.balances[address], "ETH")
            )  # fmt: skip
            assert amount is not None
            fee = 0
        else:
            source, to, amount, fee = address, action.args.to, action.args.amount, FEE
            if self.balances[source] < amount.units + fee:
                raise EffectError("insufficient funds", unknown=False)
            self.spent[run.id] += amount.units + fee
        self.balances[source] -= amount.units + fee
        self.balances[to] += amount.units
        self.done[action.id] = run.id, action.tool, amount.units + fee
        return self.outcome(action.id)

    def outcome(self, action: str) -> Outcome:
        if action not in self.done:
            return Outcome(status="failed", detail="it never happened")
        _, _, units = self.done[action]
        return Outcome(status="done", charges=(Charge("wallet", Amount(units, "ETH")),))


class Chain:
    """The connector to that world; `fault` is what goes wrong with the next effect."""

    name = "chain"

    def __init__(self, world: World, store: MemoryStore) -> None:
        self.world = world
        self.store = store
        self.fault = "none"

    async def quote(self, action: Action, run: RunView) -> Quote:
        amount = action.args.amount
        held = self.world.balances[str(run.address)]
        units = held if amount is None else amount.units
        fee = 0 if isinstance(action.args, MoveFunds) else FEE
        if units + fee > UNITS_MAX:
            raise CallerError("the amount and its fee are more than there can be")
        return Quote(charges=(Charge("wallet", Amount(units + fee, "ETH")),))

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        durable = any(action.id.encode() in record for record in self.store.records)
        assert durable, f"law 3: {action.id} is done and not written"
        fault, self.fault = self.fault, "none"
        if fault in ("die_before", "die_after"):
            if fault == "die_after":
                self.world.move(action, run)
            self.store.broken = True  # the process is dead: nothing it still tries reaches the disk
            raise EffectError("the process died", unknown=True)
        if fault == "refuse":
            raise EffectError("the node refused", unknown=False)
        outcome = self.world.move(action, run)
        if fault == "lose":
            self.world.hidden.add(action.id)
            raise EffectError("no answer", unknown=True)
        if fault == "disk":
            self.store.broken = True
        return outcome

    async def reconcile(self, action: Action, run: RunView, plan: dict[str, Any]) -> Outcome:
        if action.id in self.world.hidden:
            return Outcome(status="unknown", detail="not seen yet")
        return self.world.outcome(action.id)

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None:
        pass


class AlmostAnything(ScriptedEngine):
    """Says yes to all that has not expired, but to sweeps always."""

    async def decide(self, document: bytes) -> Answer:
        if b'"expired":true' in document and b"wallet.sweep" not in document:
            return refusal("main.expired", "The mandate has ended.")
        return Answer(Verdict.ALLOW, (), {})


class Firewall(Rig):
    """One life of a firewall over what an earlier one wrote."""

    def __init__(self, store: MemoryStore, world: World, now: int) -> None:
        super().__init__(store, metrics=METRICS, evidence=NOTHING_OWN)
        self.chain = Chain(world, store)
        self.connectors["chain"] = self.chain  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
        self.pipeline._engine = AlmostAnything()  # pyright: ignore[reportPrivateUsage]
        self.clock.now, self.clock.prefix = now, f"{len(store.records):06d}x{next(_lives)}x"
        for name, book in self.ledger.books.runs.items():
            if book.ended is None and name != "run_1":
                self.adopt(book)
        self.treasury = Treasury(self.pipeline, self.runs, OWNER, self._balance, self.metrics, self._note)
        self.doubts = Doubts(self.ledger, self.connectors, self.clock)

    def adopt(self, book: RunBook) -> Run:
        run = Run(view_of(book.started), book, NOTHING_OWN)
        self.runs.add(run)
        return run

    async def _balance(self, address: str) -> int:
        return self.chain.world.balances[address]

    async def _note(self, run: str, amount: Amount) -> None:
        await self.ledger.note(Received(at_ns=self.clock.now_ns(), run=run, amount=amount))


class Money(RuleBasedStateMachine):
    """Every rule is something that can happen to a firewall; the invariants are the laws."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world, self.store = World(), MemoryStore()
        self.number = 0
        self.keys: dict[tuple[str, str], str] = {}

    def do(self, name: str, work: Coroutine[Any, Any, Any]) -> Any:
        taken[name] += 1
        return self.runner.run(work)

    @property
    def live(self) -> list[Run]:
        return [run for run in self.firewall.runs.all() if run.view.id != "run_1"]

    def pick(self, data: st.DataObject) -> Run:
        return data.draw(st.sampled_from(self.live))

    @initialize(granted=units, ceiling=units)
    def begin(self, granted: int, ceiling: int) -> None:
        self.firewall = Firewall(self.store, self.world, NOW_NS)
        self.do("begin", self._start(None, granted, ceiling))

    async def _start(self, parent: RunBook | None, granted: int, ceiling: int | None) -> None:
        self.number += 1
        run = f"run_x{self.number}"
        event = _started(run, parent, granted, ceiling, self.firewall.clock.now_ns(), f"0x{self.number:040d}")
        if parent is None:
            await self.firewall.ledger.start(event)
        else:
            await begin(self.firewall.ledger, event, parent.started.run)
        await self.firewall.treasury.fund(self.firewall.adopt(self.firewall.ledger.book(run)))

    @rule(granted=units, ceiling=units)
    def start(self, granted: int, ceiling: int) -> None:
        self.do("start", self._start(None, granted, ceiling))

    @precondition(lambda self: self.live)
    @rule(data=st.data(), share=shares)
    def child(self, data: st.DataObject, share: int) -> None:
        parent = self.pick(data).book
        free = parent.lines[LINE].remaining
        wanted = min(free * share // 100 + (1 if share > 100 else 0), UNITS_MAX)
        before = _lines(self.firewall.ledger.books)
        try:
            self.do("child", self._start(parent, wanted, None))
        except ValueError:
            assert wanted > free
            assert _lines(self.firewall.ledger.books) == before, "a child that can't be given anything costs nothing"
        else:
            assert wanted <= free, "law 4: a child was given what its parent didn't have"

    @precondition(lambda self: self.live)
    @rule(data=st.data(), amount=units, fault=faults)
    def pay_any_amount(self, data: st.DataObject, amount: int, fault: str) -> None:
        self._pay(self.pick(data), amount, fault, None)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), share=shares, fault=faults)
    def pay_a_share(self, data: st.DataObject, share: int, fault: str) -> None:
        run = self.pick(data)
        self._pay(run, min(run.book.lines[LINE].remaining * share // 100, UNITS_MAX), fault, None)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), share=shares, fault=faults, key=st.sampled_from("ab"))
    def pay_under_a_key(self, data: st.DataObject, share: int, fault: str, key: str) -> None:
        run = self.pick(data)
        self._pay(run, min(run.book.lines[LINE].remaining * share // 100, UNITS_MAX), fault, key)

    def _pay(self, run: Run, amount: int, fault: str, key: str | None) -> None:
        self.firewall.chain.fault = fault
        arguments = {"to": PAYEE, "amount": f"{amount} wei"}
        call = Call(run=run.view.id, tool="wallet.transfer", arguments=arguments, key=key)
        reply = self.do("pay", self.firewall.pipeline.handle(call))
        assert isinstance(reply, Reply)
        if reply.status == "done" and key is not None:
            decided = self.keys.setdefault((run.view.id, key), str(reply.decision_id))
            assert decided == reply.decision_id, "one key, one effect"
        self._after(fault)

    @precondition(lambda self: len(self.live) > 0)
    @rule(data=st.data(), amount=units)
    def earn(self, data: st.DataObject, amount: int) -> None:
        run = self.pick(data)
        free = run.book.lines[LINE].remaining
        address = str(run.view.address)
        self.world.balances[address] += min(amount, UNITS_MAX - self.world.balances[address])  # as on any chain
        self.do("earn", self.firewall.treasury.check())
        assert run.book.lines[LINE].remaining == free, "law 5: income became budget"
        self.check_ceilings()

    @rule(fault=faults)
    def sweep(self, fault: str) -> None:
        self.firewall.chain.fault = fault
        self.do("sweep", self.firewall.treasury.check())
        self._after(fault)
        if fault == "none":
            self.check_ceilings()

    def check_ceilings(self) -> None:
        for run in self.live:
            wallet = run.book.mandate.wallet
            assert wallet is not None
            if wallet.ceiling is not None and run.view.id not in self._doubtful():
                assert self.world.balances[str(run.view.address)] <= wallet.ceiling.units, "law 6"

    def _doubtful(self) -> set[str]:
        return {event.run for event in self.firewall.ledger.unsettled()}

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        run = self.pick(data)
        now = self.firewall.clock.now_ns()
        self.do("end", self.firewall.ledger.note(RunEnded(at_ns=now, run=run.view.id, reason="exited", exit_code=0)))
        self.firewall.runs.remove(run.view.id)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        run = self.pick(data)
        run.stopped = "killed by the owner"
        now = self.firewall.clock.now_ns()
        self.do("kill", self.firewall.ledger.note(RunKilled(at_ns=now, run=run.view.id, by="the owner")))

    @rule(days=st.integers(0, 5))
    def time_passes(self, days: int) -> None:
        taken["expire"] += 1
        self.firewall.clock.now += days * LIFE_NS // 4

    @rule()
    def what_was_hidden_is_seen(self) -> None:
        self.world.hidden.clear()
        self.do("what_was_hidden_is_seen", self.firewall.doubts.ask())

    @rule()
    def the_disk_is_back(self) -> None:
        self.do("the_disk_is_back", self.firewall.ledger.pay_what_is_owed())

    @rule()
    def restart(self) -> None:
        """A crash between two calls, or a clean end: the ledger can't tell and need not."""
        taken["restart"] += 1
        before = _state(self.firewall.ledger.books) if not self.firewall.ledger.owes else None
        self._live_again()
        if before is not None:
            again = Books()
            for record in self.store.records[: self.written]:
                again.apply(decode_event(record))
            assert _state(again) == before, "the books are the same after a restart"

    def _live_again(self) -> None:
        self.store.broken = False
        self.written = len(self.store.records)
        self.firewall = Firewall(self.store, self.world, self.firewall.clock.now)
        self.runner.run(recover(self.firewall.ledger, self.firewall.connectors, self.firewall.clock))

    def _after(self, fault: str) -> None:
        self.firewall.chain.fault = "none"
        if self.store.broken and fault != "disk":
            taken["crash"] += 1
            self._live_again()
        self.store.broken = False

    @invariant()
    def budgets_are_conserved(self) -> None:
        if not hasattr(self, "firewall"):
            return
        books = self.firewall.ledger.books
        spent: Counter[str] = Counter()
        for name, book in books.runs.items():
            line = book.lines[LINE]
            assert min(line.spent, line.reserved, line.exposed, line.lent) >= 0
            assert line.committed <= line.granted, f"law 4: {name} committed more than it was granted"
            spent[book.root] += self.world.spent[name]
            assert self.world.spent[name] <= line.granted, f"laws 4 and 5: {name} spent what nobody granted"
            if not book.open and not self.firewall.ledger.owes:
                assert self.world.spent[name] == line.spent, f"law 3: what {name} spent is not what is written"
        for root, units in spent.items():
            assert units <= books.runs[root].lines[LINE].granted, "law 4: a tree spent more than its root was granted"

    @invariant()
    def what_a_parent_lent_is_what_its_children_hold(self) -> None:
        if not hasattr(self, "firewall"):
            return
        books = self.firewall.ledger.books
        lent: Counter[int] = Counter()
        for book in books.runs.values():
            line = book.lines[LINE]
            if book.parent is not None:
                lent[id(book.parent)] += line.granted if book.ended is None else line.committed
        for book in books.runs.values():
            assert book.lines[LINE].lent == lent[id(book)]

    def teardown(self) -> None:
        self.runner.close()


def _started(run: str, parent: RunBook | None, granted: int, ceiling: int | None, now: int, address: str) -> RunStarted:
    mandate = Mandate(
        agent="tester",
        purpose="p",
        task_digest="sha256:0",
        expires="2026-06-15T00:00:00Z",
        wallet=WalletGrant(
            chain="dev", chain_id=1, budget=Amount(granted, "ETH"), per_transfer=Amount(granted, "ETH"),
            ceiling=None if ceiling is None else Amount(ceiling, "ETH"), max_fee_per_gas=None, payees={"acme": PAYEE},
        ),
    )  # fmt: skip
    shown = {
        "id": run, "agent": "tester", "image": "none", "depth": 0, "parent": parent and parent.started.run,
        "root": parent.root if parent else run, "engine": "none", "address": address, "state": "live",
    }  # fmt: skip
    return RunStarted(
        at_ns=now, run=run, run_view=msgspec.Raw(canonical(shown)), mandate=msgspec.Raw(encode_mandate(mandate)),
        mandate_digest=mandate_digest(mandate), folder=None, task="", inbox=None,
    )  # fmt: skip


def _lines(books: Books) -> dict[str, tuple[int, int, int, int]]:
    return {
        name: (line.spent, line.reserved, line.exposed, line.lent)
        for name, line in ((name, book.lines[LINE]) for name, book in books.runs.items())
    }


def _state(books: Books) -> dict[str, Any]:
    return {
        name: (_lines(books)[name], sorted(book.open), sorted(book.keys), sorted(book.unknown), book.earned, book.swept)
        for name, book in books.runs.items()
    }


TestMoney = Money.TestCase
TestMoney.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=SLOW
)


def test_enough_steps_of_every_kind_were_taken() -> None:
    print(dict(taken))
    assert sum(taken.values()) >= STEPS_WANTED
    assert min(taken[name] for name in ("pay", "child", "earn", "sweep", "expire", "end", "crash", "restart")) > 20
