"""A decision counts at once and is taken back if it isn't durable; an outcome that isn't durable is owed."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.record import Charge, Decided, PolicyActivated, RunEnded, Settled
from safebox.firewall.errors import LedgerUnavailable, OutcomeUnrecorded
from safebox.firewall.ledger import Ledger
from tests.twins import MemoryStore
from tests.unit.core.test_books import decision, eth, mandate, outcome, started


class Kept:
    """A ledger over a store in memory, with one run that was granted ten wei."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.ledger = Ledger(self.store)

    async def begin(self) -> None:
        await self.ledger.note(started("run_1", mandate(10, 0, 0, 0)))

    @property
    def line(self) -> tuple[int, int]:
        line = self.ledger.book("run_1").lines["wallet", "ETH"]
        return line.spent, line.reserved

    async def allow(self, number: int, units: int = 5) -> Decided:
        event = decision(number, Verdict.ALLOW, (eth(units),))
        await self.ledger.reserve(event)
        return event

    def again(self) -> Kept:
        """What a restart makes of the same records."""
        other = Kept()
        other.store.records = list(self.store.records)
        other.ledger = Ledger(other.store)
        return other


@pytest.fixture
async def kept() -> Kept:
    it = Kept()
    await it.begin()
    return it


def done(event: Decided, units: int = 5) -> Settled:
    return outcome(event, "done", (Charge("wallet", eth(units).amount),))


async def test_a_reservation_counts_before_it_is_durable(kept: Kept) -> None:
    waiting = kept.ledger.reserve(decision(1, Verdict.ALLOW, (eth(5),)))
    assert kept.line == (0, 5)
    await waiting
    assert kept.again().line == (0, 5)


async def test_a_decision_that_is_not_durable_never_was(kept: Kept) -> None:
    kept.store.broken = True
    with pytest.raises(LedgerUnavailable):
        await kept.allow(1)
    assert kept.line == (0, 0)
    assert kept.ledger.unsettled() == []
    assert not kept.ledger.owes


async def test_many_decisions_that_fail_together_are_all_taken_back(kept: Kept) -> None:
    kept.store.broken = True
    waiting = [kept.ledger.reserve(decision(number, Verdict.ALLOW, (eth(2),), key=f"k{number}")) for number in range(5)]
    assert kept.line == (0, 10)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, LedgerUnavailable) for result in results)
    assert kept.line == (0, 0)
    assert kept.ledger.book("run_1").keys == {}


async def test_an_outcome_that_is_not_durable_is_owed_and_its_reservation_stands(kept: Kept) -> None:
    event = await kept.allow(1)
    kept.store.broken = True
    with pytest.raises(OutcomeUnrecorded):
        await kept.ledger.settle(done(event))
    assert kept.ledger.owes
    assert kept.line == (0, 5)
    with pytest.raises(OutcomeUnrecorded):
        await kept.ledger.pay_what_is_owed()
    assert kept.ledger.owes
    kept.store.broken = False
    await kept.ledger.pay_what_is_owed()
    assert (kept.ledger.owes, kept.line) == (False, (5, 0))
    assert kept.again().line == (5, 0)


async def test_what_is_owed_is_paid_with_the_next_outcome_and_in_order(kept: Kept) -> None:
    events = [await kept.allow(number, 3) for number in (1, 2, 3)]
    kept.store.broken = True
    for event in events[:2]:
        with pytest.raises(OutcomeUnrecorded):
            await kept.ledger.settle(done(event, 3))
    kept.store.broken = False
    await kept.ledger.settle(done(events[2], 3))
    assert (kept.ledger.owes, kept.line) == (False, (9, 0))
    settled = [event.action_id for event in kept.store.events if isinstance(event, Settled)]
    assert settled == ["act_1", "act_2", "act_3"]


async def test_each_outcome_is_written_once_however_often_it_was_owed(kept: Kept) -> None:
    event = await kept.allow(1)
    kept.store.broken = True
    for _ in range(3):
        with pytest.raises(OutcomeUnrecorded):
            await (kept.ledger.pay_what_is_owed() if kept.ledger.owes else kept.ledger.settle(done(event)))
    kept.store.broken = False
    await asyncio.gather(kept.ledger.pay_what_is_owed(), kept.ledger.pay_what_is_owed())
    assert sum(isinstance(each, Settled) for each in kept.store.events) == 1
    assert kept.line == (5, 0)


async def test_an_outcome_nobody_waits_for_is_recorded_or_owed(kept: Kept) -> None:
    first, second = await kept.allow(1), await kept.allow(2)
    kept.ledger.settle_soon(done(first))
    await asyncio.sleep(0.01)
    assert kept.line == (5, 5)
    kept.store.broken = True
    kept.ledger.settle_soon(done(second))
    await asyncio.sleep(0.01)
    assert kept.ledger.owes
    kept.store.broken = False
    await kept.ledger.pay_what_is_owed()
    assert kept.line == (10, 0)


async def test_an_outcome_whose_caller_was_cancelled_counts_all_the_same(kept: Kept) -> None:
    event = await kept.allow(1)
    kept.store.stall = asyncio.Event()

    async def caller() -> None:
        await kept.ledger.settle(done(event))

    task = asyncio.create_task(caller())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kept.store.stall.set()
    await asyncio.sleep(0.01)
    assert kept.line == kept.again().line == (5, 0)
    assert kept.ledger.unsettled() == []


async def test_what_is_noted_and_not_durable_did_not_happen(kept: Kept) -> None:
    kept.store.broken = True
    with pytest.raises(LedgerUnavailable):
        await kept.ledger.note(RunEnded(at_ns=1, run="run_1", reason="exited", exit_code=0))
    assert kept.ledger.book("run_1").ended is None
    kept.store.broken = False
    await kept.ledger.note(PolicyActivated(at_ns=1, bundle="sha256:1"))
    assert kept.ledger.books.bundle == kept.again().ledger.books.bundle == "sha256:1"


async def test_what_is_open_is_listed_oldest_first(kept: Kept) -> None:
    for number in (3, 1, 2):
        await kept.allow(number, 1)
    assert [event.action_id for event in kept.ledger.unsettled()] == ["act_1", "act_2", "act_3"]
    await kept.ledger.settle(msgspec.structs.replace(done(decision(2, Verdict.ALLOW, ())), charges=()))
    assert [event.action_id for event in kept.ledger.unsettled()] == ["act_1", "act_3"]


async def test_a_ledger_that_does_not_know_a_run_says_so(kept: Kept) -> None:
    with pytest.raises(KeyError):
        kept.ledger.book("run_9")
