"""Whether a run may begin. Starting one is an action too: judged by policy and recorded, before the run exists.

The answer is final: a start is not held, because there is nothing yet that could wait. What policy would hold is a no.
"""

from __future__ import annotations

from typing import Final

import msgspec

from safebox.firewall.core.action import Action, Call, canonical
from safebox.firewall.core.arguments import StartRun
from safebox.firewall.core.behaving import launch_text
from safebox.firewall.core.books import RunBook
from safebox.firewall.core.decision import Answer, Verdict, overruled
from safebox.firewall.core.document import policy_input, shown_action, understand
from safebox.firewall.core.facts import build_facts
from safebox.firewall.core.holds import NO_LAUNCH
from safebox.firewall.core.record import LaunchDecided, RunStarted
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.errors import ConfigError
from safebox.firewall.ledger import Ledger
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Clock, Engine
from safebox.firewall.runs import Runs

DAY_NS: Final = 86_400 * 1_000_000_000


class Launches:
    """Judges the start of runs."""

    def __init__(self, *, engine: Engine, ledger: Ledger, runs: Runs, clock: Clock, metrics: Metrics) -> None:
        self._engine = engine
        self._ledger = ledger
        self._runs = runs
        self._clock = clock
        self._metrics = metrics

    async def decide(self, started: RunStarted, asked: StartRun) -> None:
        """Let a run start, or not; either way that is durable when this comes back.

        Args:
            started: the event that would start it; nothing of it is in the books yet.
            asked: what would be started.

        Raises:
            ConfigError: if policy says no.
            PolicyUnavailable: if it gives no answer; then nothing may start.
            LedgerUnavailable: if the answer can't be recorded.
        """
        tool = TOOLS["run.start"]
        call = Call(run=started.run, tool=tool.name, arguments=msgspec.to_builtins(asked), caller=Caller.OWNER)
        action = understand(call, tool, self._clock.new_id("act"), started.at_ns)
        shown, facts = shown_action(action, tool), self._facts(action, started)
        answer = await self._engine.decide(policy_input(shown, started.run_view, started.mandate, facts))
        if answer.verdict is Verdict.HOLD:
            answer = overruled(answer, NO_LAUNCH)
        decision = self._clock.new_id("dec")
        event = _event(started, decision, answer, self._engine.bundle, shown, facts)
        await self._ledger.note(event)
        self._runs.tell(event)
        self._metrics.decided(tool.name, answer.verdict, answer.reasons, 0.0)
        if answer.verdict is not Verdict.ALLOW:
            raise ConfigError(_said(answer), remedy=f"ask whoever keeps the policies; the decision is {decision}",
                              code=answer.reasons[0].code)  # fmt: skip

    def _facts(self, action: Action, started: RunStarted) -> msgspec.Raw:
        launch = {"live": len(self._runs.all()), "agent_in_a_day": self._starts_of(action.args.agent, started.at_ns)}
        book, args = RunBook(started), action.args
        text = launch_text(args.agent, args.image, args.task, book.mandate)
        population = self._ledger.books.owner.population.facts(started.at_ns, text)
        learned = {"launch": launch, "population": population}
        facts = build_facts(action, book, address=None, charges=(), learned=learned, self_overlap=None)
        return msgspec.Raw(canonical(facts))

    def _starts_of(self, agent: str, now_ns: int) -> int:
        books = self._ledger.books.runs.values()
        return sum(book.mandate.agent == agent and book.started.at_ns > now_ns - DAY_NS for book in books)


def _said(answer: Answer) -> str:
    said = "; ".join(f"{reason.code}: {reason.message.rstrip('.')}" for reason in answer.reasons)
    return f"policy lets this run not start ({said})"


def _event(
    started: RunStarted, decision: str, answer: Answer, bundle: str, shown: msgspec.Raw, facts: msgspec.Raw
) -> LaunchDecided:
    return LaunchDecided(
        at_ns=started.at_ns,
        run=started.run,
        decision=decision,
        bundle=bundle,
        answer=answer,
        action=shown,
        run_view=started.run_view,
        mandate=started.mandate,
        facts=facts,
    )
