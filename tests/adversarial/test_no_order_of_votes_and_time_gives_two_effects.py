"""Any order of asks, votes, time, restarts, edits, full disks and kills: no effect without its approval, none twice."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from safebox.firewall.core.record import Decided, RunKilled, Settled, Voted
from safebox.firewall.core.reply import Reply
from safebox.firewall.errors import LedgerUnavailable, SafeboxError
from safebox.firewall.metrics import Metrics
from safebox.firewall.store.approved import Approved
from tests.people import A_MINUTE, TWO_OWNERS, Waiting, signed, signer, statement

AMOUNTS = ("1 ETH", "2 ETH", "3 ETH")
PEOPLE = ("alice", "bob", "carol", "mallory")
SHORT = 300
"""Seconds until a hold expires here, so that it happens."""
METRICS = Metrics()
"""One for all: making its thousands of series takes longer than everything else here."""


BREATHS = 10
"""Turns of the loop an outcome may take from the disk to the books."""


class Holding(RuleBasedStateMachine):
    """A run, three owners and a stranger, and a firewall that dies and comes back."""

    @initialize(terms=st.sampled_from([TWO_OWNERS | {"expires_s": SHORT}, A_MINUTE | {"expires_s": SHORT}]))
    def begin(self, terms: dict[str, Any]) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.rig = Waiting(Path(self.folder.name), terms, metrics=METRICS)
        self.seen = 0
        self.held: list[Reply] = []
        self.votes: list[dict[str, Any]] = []
        self.killed = False

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.close()
            self.folder.cleanup()

    @rule(amount=st.sampled_from(AMOUNTS), key=st.sampled_from([None, "one", "two", "three"]))
    def ask(self, amount: str, key: str | None) -> None:
        reply = self.runner.run(self.rig.ask(amount, key))
        if reply.decision_id in self.rig.run.book.holds.all:
            self.held.append(reply)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 99), name=st.sampled_from(PEOPLE), no=st.sampled_from([False, False, False, True]))
    def vote(self, which: int, name: str, no: bool) -> None:
        hold = self.rig.hold(self.held[which % len(self.held)])
        said = statement(hold, name, "deny" if no else "approve", signed_ns=self.rig.clock.now)
        self.votes.append(signed(said, signer(name)))
        self._cast(self.votes[-1])

    @precondition(lambda self: self.votes)
    @rule(which=st.integers(0, 99))
    def replay(self, which: int) -> None:
        self._cast(self.votes[which % len(self.votes)])

    def _cast(self, vote: dict[str, Any]) -> None:
        async def cast() -> None:
            try:
                await self.rig.desk.vote(vote)
            except SafeboxError:
                return

        self.runner.run(cast())

    @rule(seconds=st.sampled_from([0, 1, 6, 30, 61, SHORT]))
    def wait(self, seconds: int) -> None:
        async def wait() -> None:
            try:
                await self.rig.later(seconds)
            except LedgerUnavailable:
                await self.rig.rest()

        self.runner.run(wait())

    @rule()
    def look_twice_at_once(self) -> None:
        async def look() -> None:
            await asyncio.gather(self.rig.desk.tick(), self.rig.desk.tick(), return_exceptions=True)

        self.runner.run(look())

    @rule()
    def restart(self) -> None:
        self.runner.run(self.rig.rest())
        self.rig = self.rig.restarted()

    @rule(bundle=st.sampled_from(["sha256:test", "sha256:test", "sha256:edited"]))
    def edit(self, bundle: str) -> None:
        self.rig.engine.bundle = bundle

    @rule(denies=st.booleans())
    def change_what_policy_says(self, denies: bool) -> None:
        self.rig.engine.denies = denies

    @rule(broken=st.booleans())
    def fill_or_empty_the_disk(self, broken: bool) -> None:
        self.rig.store.broken = broken

    @precondition(lambda self: not self.rig.store.broken and len(self.held) > 2)
    @rule()
    def kill(self) -> None:
        async def kill() -> None:
            self.rig.run.stopped = "killed by the owner"
            await self.rig.ledger.note(RunKilled(at_ns=self.rig.clock.now_ns(), run="run_1", by="the owner"))

        self.runner.run(kill())
        self.killed = True

    @invariant()
    def every_effect_was_due_and_happened_once(self) -> None:
        if not hasattr(self, "rig") or len(self.rig.store.records) == self.seen:
            return
        self.seen = len(self.rig.store.records)
        events = self.rig.store.events
        allowed = [event for event in events if isinstance(event, Decided) and event.allowed]
        holds = [event.hold for event in allowed]
        assert None not in holds
        assert len(set(holds)) == len(holds)
        assert self.rig.effects <= len(allowed)
        for each in allowed:
            self._was_due(each, events[: events.index(each)])
        approved = Approved()
        for event in events:
            approved.apply(event)
        assert (approved.unsigned, approved.unearned) == (0, 0)

    def _was_due(self, allowed: Decided, before: list[Any]) -> None:
        held = next(each for each in before if isinstance(each, Decided) and each.decision == allowed.hold)
        terms = held.answer.obligations["hold"]
        votes = [each for each in before if isinstance(each, Voted) and each.hold == held.decision]
        yes = {each.approver for each in votes if each.verdict == "approve"}
        waited = allowed.at_ns - held.at_ns
        assert not [each for each in votes if each.verdict == "deny"]
        assert yes <= {"alice", "bob", "carol"}
        assert len(yes) >= terms.get("approvals", 1) or waited >= terms.get("challenge_s", SHORT) * 10**9
        assert waited < SHORT * 10**9
        assert (allowed.digest, allowed.bundle) == (held.digest, held.bundle)
        assert not [each for each in before if isinstance(each, RunKilled)]

    @invariant()
    def what_was_spent_is_what_was_done(self) -> None:
        if hasattr(self, "rig"):
            done = sum(action.args.amount.units for action in self.rig.connectors["chain"].done)
            line = self.rig.run.book.lines["wallet", "ETH"]
            assert line.spent + line.reserved >= done
            for _ in range(BREATHS):  # what is on disk is booked in the loop's next turn
                if line.spent == self._settled():
                    break
                self.runner.run(asyncio.sleep(0))
            assert line.spent == self._settled()

    def _settled(self) -> int:
        settled = [event for event in self.rig.store.events if isinstance(event, Settled)]
        return sum(charge.amount.units for event in settled for charge in event.charges)


Holding.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestHolding = Holding.TestCase
