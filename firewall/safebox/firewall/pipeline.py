"""The one path. Every effect in the world goes through `Pipeline.handle`, step by step, and through nothing else.

 1. identify   the run is the one whose listener accepted the call, and it may still act
 2. normalise  the call becomes an immutable action, or is refused as unreadable
 3. facts      what the firewall itself knows: cost at worst, budgets, rates, payees, overlap
 4. decide     policy answers; no answer, or a wrong one, is a deny
 5. record     budget is reserved and the decision is durable, in one commit, before anything happens
 6. hold       an answer other than allow ends here; what is held comes back by `release` when people let it pass
 7. effect     the connector does what was decided, if the run still lives
 8. settle     the outcome is durable; what is unknown stays reserved
 9. answer     the agent is told a status, a code and a decision id

Whatever fails on the way is a no: `FirewallError` is caught once, in `handle`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Final

import msgspec

from safebox.firewall.core.action import Action, Call, canonical
from safebox.firewall.core.books import OVER_BUDGET
from safebox.firewall.core.decision import Verdict, overruled, refusal
from safebox.firewall.core.document import (
    decided_event,
    policy_input,
    settled_event,
    shown_action,
    undecided_event,
    understand,
)
from safebox.firewall.core.facts import build_facts
from safebox.firewall.core.record import Decided
from safebox.firewall.core.reply import Reply, could_not, invalid, refused, told
from safebox.firewall.core.tools import TOOLS, Caller, Tool, find_tool
from safebox.firewall.core.total import Ask, cost_of, no_prices
from safebox.firewall.effects import Effects
from safebox.firewall.errors import CallerError, FactsUnavailable, FirewallError, LedgerMoved, LedgerUnavailable
from safebox.firewall.holds import Holds
from safebox.firewall.idempotency import once
from safebox.firewall.ledger import Ledger
from safebox.firewall.metrics import Metrics
from safebox.firewall.places import Place, Places
from safebox.firewall.ports import Clock, Connector, Deliver, Engine, Outcome, RunView, Watch
from safebox.firewall.runs import Run, Runs

FACTS_SECONDS: Final = 15
"""How long the world may take to tell a cost; a wallet's turn is held meanwhile."""
RACES_MAX: Final = 32
"""How often other firewalls that share the ledger may overtake an action before its agent is told to come back."""


class Pipeline:
    """Decides, records, does and answers calls. The module's text numbers the steps."""

    def __init__(
        self,
        *,
        engine: Engine,
        ledger: Ledger,
        connectors: Mapping[str, Connector],
        clock: Clock,
        runs: Runs,
        metrics: Metrics,
        watch: Watch,
        prices: Ask = no_prices,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._connectors = connectors
        self._effects = Effects(connectors, metrics)
        self._clock = clock
        self._runs = runs
        self._metrics = metrics
        self._watch, self._prices = watch, prices
        self._places = Places()
        self._holds = Holds(ledger, clock, engine, runs)
        self.told = self._holds.told

    def view(self, run: str) -> RunView:
        """What is known of a run; raises `MayNotAct` if there is none here that may ask."""
        found = self._runs.find(run)
        found.check_live(Caller.AGENT)
        return found.view

    async def handle(self, call: Call, deliver: Deliver | None = None) -> Reply:
        """Answer one call. Never raises for what an agent or the world does wrong. Fails closed."""
        started, action = time.perf_counter(), None
        try:
            run = self._runs.find(call.run, call.caller)  # 1 identify
            run.check_live(call.caller)
            tool = find_tool(call.tool, caller=call.caller, connectors=self._connectors)  # 2 normalise
            action = understand(call, tool, self._clock.new_id("act"), self._clock.now_ns())
            for _ in range(RACES_MAX):
                with contextlib.suppress(LedgerMoved):  # another firewall was faster: decide again, knowing what it did
                    return await once(run, action, partial(self._act, run, tool, action, deliver), self._holds.again)
            raise LedgerMoved("other firewalls were faster every time")
        except CallerError as error:
            return invalid(error)
        except FirewallError as error:
            return await self._cannot(action, error)
        finally:
            self._metrics.answered(call.tool, time.perf_counter() - started)

    async def release(self, run: Run, action: Action) -> Reply:
        """Take a held action from its facts on, now that people let it pass. Raises `SafeboxError` if it can't."""
        return await self._act(run, TOOLS[action.tool], action, None)

    async def _act(self, run: Run, tool: Tool, action: Action, deliver: Deliver | None) -> Reply:
        with self._places.place(run.book.root if action.caller is Caller.AGENT else None) as place:
            async with run.turn(tool.queue):
                if (standing := await self._holds.standing(run, action)) is not None:
                    return standing
                judged = await self._judge(run, tool, action, place)
                if tool.ordered:
                    return await self._carry_out(run, tool, action, *judged, place, deliver)
            return await self._carry_out(run, tool, action, *judged, place, deliver)

    async def _judge(self, run: Run, tool: Tool, action: Action, place: Place) -> tuple[Decided, Awaitable[None]]:
        self._watch.check(action)
        try:  # 3 facts
            async with asyncio.timeout(FACTS_SECONDS):
                quote = await self._connectors[tool.connector].quote(action, run.view)
        except TimeoutError as error:
            raise FactsUnavailable("the cost could not be learned in time") from error
        await place.take()  # while several runs ask, each has its share of the deciding
        async with run.judging:
            mark = self._ledger.mark(action.run)
            with self._watch.over(action):  # what ends the firewall here doesn't get to do so twice
                overlap, pieces = run.evidence.judge(action)
                cost = cost_of(run.book, action.caller, quote.charges, self._prices)
                facts = build_facts(
                    action, run.book, address=run.view.address, charges=quote.charges, learned=quote.known(),
                    self_overlap=overlap, frozen=run.frozen, total=cost.facts,
                )  # fmt: skip
                shown, known = shown_action(action, tool), msgspec.Raw(canonical(facts))
                document = policy_input(shown, run.policy_view, run.policy_mandate, known)
                answer = await self._engine.decide(document)  # 4 decide
            run.check_live(action.caller)
            answer = self._holds.rule(run, action, answer)
            if answer.verdict is Verdict.ALLOW and action.caller is Caller.AGENT and not run.book.fits(cost.charges):
                answer = overruled(answer, OVER_BUDGET)
            number, bundle, by = self._clock.new_id("dec"), self._engine.bundle, self._ledger.firewall
            decided = decided_event(action, answer, number, bundle, cost.charges, quote.plan, shown, known, by)
            if decided.allowed:
                run.evidence.sent(action, pieces)
            return decided, self._ledger.reserve(decided, mark)  # 5 record

    async def _carry_out(
        self, run: Run, tool: Tool, action: Action, decided: Decided, durable: Awaitable[None], place: Place,
        deliver: Deliver | None,
    ) -> Reply:  # fmt: skip
        await durable
        place.leave()
        self._seen(action, decided)
        if not decided.allowed:  # 6 hold: from here on `Holds.standing` answers
            return refused(decided)
        outcome = Outcome(status="unknown", detail="the effect was cut off")
        try:
            outcome = await self._effects.perform(run, tool, action, decided, deliver)  # 7 effect
        finally:
            settled = settled_event(decided, outcome, at_ns=self._clock.now_ns())  # 8 settle
            if tool.reads_only:
                self._ledger.settle_soon(settled)
            else:
                await self._ledger.settle(settled)
            self._metrics.effect(tool.connector, "pending" if outcome.pending else outcome.status)
            self._runs.tell(settled)
        return told(decided, settled)  # 9 answer

    async def _cannot(self, action: Action | None, error: FirewallError) -> Reply:
        """Say no because something failed, and write that down if the ledger still can."""
        self._metrics.failed(error)
        if action is None or isinstance(error, LedgerUnavailable):
            return could_not(error)
        answer = refusal(error.code, error.cause)
        number, bundle = self._clock.new_id("dec"), self._engine.bundle
        decided = undecided_event(action, TOOLS[action.tool], answer, number, bundle)
        try:
            await self._ledger.reserve(decided)
        except LedgerUnavailable as worse:
            self._metrics.failed(worse)
            return could_not(worse)
        self._seen(action, decided)
        return could_not(error, decided.decision)

    def _seen(self, action: Action, decided: Decided) -> None:
        age = (self._clock.now_ns() - action.received_ns) / 1e9
        self._metrics.decided(action.tool, decided.answer.verdict, decided.answer.reasons, age)
        self._metrics.monitored(decided.answer.monitored)
        self._runs.tell_decided(decided)
