"""Law 4: whatever the order of calls, failures and restarts, what is spent and reserved never exceeds the grant."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from safebox.firewall.core.books import Books, RunBook
from safebox.firewall.core.decision import Answer, Reason, Verdict
from safebox.firewall.core.kinship import all_live, depth_limit, depth_of, plan_of, taken_of, tree_size
from safebox.firewall.core.mandate import (
    ComputeGrant,
    InferenceGrant,
    LineageGrant,
    Mandate,
    WalletGrant,
    encode_mandate,
    mandate_digest,
)
from safebox.firewall.core.money import UNITS_MAX, Amount
from safebox.firewall.core.narrowing import Taken
from safebox.firewall.core.record import (
    Charge,
    Decided,
    PolicyActivated,
    RunEnded,
    RunStarted,
    Settled,
    decode_event,
    encode_event,
)
from safebox.firewall.core.tools import Caller
from safebox.firewall.core.windows import HOUR, MINUTE
from tests.kin import allow_for, child

NOTHING = msgspec.Raw(b"{}")
LINES = (("wallet", "ETH"), ("compute", "USD"), ("inference", "USD"), ("inference", "TOKEN"))
REFUSED = (Reason("test.no", "No."),)

units = st.integers(0, UNITS_MAX) | st.integers(0, 9) | st.sampled_from([UNITS_MAX, UNITS_MAX // 2, 2**64, 2**53 + 1])


def mandate(wallet: int, compute: int, usd: int, tokens: int) -> Mandate:
    return Mandate(
        agent="tester",
        purpose="p",
        task_digest="sha256:0",
        expires="2099-01-01T00:00:00Z",
        wallet=WalletGrant(
            chain="dev",
            chain_id=1,
            budget=Amount(wallet, "ETH"),
            per_transfer=Amount(wallet, "ETH"),
            ceiling=None,
            max_fee_per_gas=None,
            payees={},
        ),
        compute=ComputeGrant(
            provider="local", images=(), commands=(), budget=Amount(compute, "USD"), instances=1, max_minutes=1
        ),
        inference=InferenceGrant(models=(), tokens=Amount(tokens, "TOKEN"), budget=Amount(usd, "USD")),
    )


def started(run: str, granted: Mandate) -> RunStarted:
    return RunStarted(
        at_ns=0,
        run=run,
        run_view=NOTHING,
        mandate=msgspec.Raw(encode_mandate(granted)),
        mandate_digest=mandate_digest(granted),
        folder=None,
        task="",
        inbox=None,
    )


def decision(number: int, verdict: Verdict, charges: tuple[Charge, ...], **changes: Any) -> Decided:
    allowed = verdict is Verdict.ALLOW
    event = Decided(
        at_ns=number * 10**9,
        decision=f"dec_{number}",
        action_id=f"act_{number}",
        run="run_1",
        tool="wallet.transfer",
        kind="transfer",
        caller=Caller.AGENT,
        key=None,
        digest=f"sha256:{number}",
        bundle="sha256:0",
        answer=Answer(verdict, () if allowed else REFUSED, {}),
        charges=charges if allowed else (),
        plan={},
        action=NOTHING,
        facts=NOTHING,
    )
    return msgspec.structs.replace(event, **changes)


def outcome(of: Decided, status: Any, charges: tuple[Charge, ...], *refunds: Charge) -> Settled:
    return Settled(
        at_ns=of.at_ns,
        decision=of.decision,
        action_id=of.action_id,
        run=of.run,
        tool=of.tool,
        status=status,
        charges=charges,
        refunds=refunds,
        result={},
        detail="",
    )


def state(books: Books, now: int) -> dict[str, Any]:
    """Everything a decision could depend on."""
    return {
        name: {
            "lines": {line: (each.granted, each.spent, each.reserved) for line, each in book.lines.items()},
            "open": sorted(book.open),
            "keys": {key: event.digest for key, event in book.keys.items()},
            "settled": {action: event.status for action, event in book.settled.items()},
            "rates": {kind: rates.counts(now) for kind, rates in book.rates.items() if any(rates.counts(now).values())},
            "denied": (book.denied.count(now), book.denied_count),
            "ended": book.ended,
        }
        for name, book in books.runs.items()
    }


def fold(records: list[bytes]) -> Books:
    books = Books()
    for record in records:
        books.apply(decode_event(record))
    return books


class Ledgers(RuleBasedStateMachine):
    """Calls as the pipeline makes them. `queued` are decisions that count but aren't durable yet, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[bytes] = []
        self.queued: list[Decided] = []
        self.number = 0

    @property
    def book(self) -> RunBook:
        return self.books.runs["run_1"]

    @initialize(granted=st.tuples(units, units, units, units))
    def begin(self, granted: tuple[int, int, int, int]) -> None:
        self.records = [encode_event(started("run_1", mandate(*granted)))]
        self.books = fold(self.records)

    @rule(
        verdict=st.sampled_from([Verdict.ALLOW] * 3 + [Verdict.DENY, Verdict.HOLD]),
        wanted=st.lists(st.tuples(st.sampled_from(LINES), units), max_size=3),
        all_that_is_left=st.booleans(),
        keyed=st.booleans(),
        caller=st.sampled_from([Caller.AGENT] * 4 + [Caller.OWNER]),
    )
    def decide(
        self,
        verdict: Verdict,
        wanted: list[tuple[tuple[str, str], int]],
        all_that_is_left: bool,
        keyed: bool,
        caller: Caller,
    ) -> None:
        self.number += 1
        if all_that_is_left:
            wanted = [(line, self.book.lines[line].remaining) for line, _ in wanted]
        charges = tuple(Charge(rail, Amount(count, asset)) for (rail, asset), count in wanted)
        if verdict is Verdict.ALLOW and caller is Caller.AGENT and not self.book.fits(charges):
            verdict = Verdict.DENY
        before = state(self.books, 0)["run_1"]["lines"]
        event = decision(self.number, verdict, charges, key=f"k{self.number}" if keyed else None, caller=caller)
        self.books.apply(event)
        self.queued.append(event)
        if not event.allowed:
            assert state(self.books, 0)["run_1"]["lines"] == before, "a deny or a hold burns nothing"

    @precondition(lambda self: bool(self.queued))
    @rule()
    def becomes_durable(self) -> None:
        self.records.append(encode_event(self.queued.pop(0)))

    @precondition(lambda self: bool(self.queued))
    @rule(count=st.integers(1, 3))
    def cannot_be_written(self, count: int) -> None:
        failed, self.queued = self.queued[:count], self.queued[count:]
        for event in failed:
            self.books.revert(event)

    @rule(
        data=st.data(),
        status=st.sampled_from(["done", "done", "failed", "unknown"]),
        share=st.integers(0, 100),
        refund=st.none() | st.tuples(st.sampled_from(LINES), units),
    )
    def settle(self, data: st.DataObject, status: str, share: int, refund: tuple[tuple[str, str], int] | None) -> None:
        waiting = {event.action_id for event in self.queued}
        open_ones = [event for action, event in self.book.open.items() if action not in waiting]
        if not open_ones:
            return
        event = data.draw(st.sampled_from(open_ones))
        taken = tuple(
            Charge(each.rail, Amount(each.amount.units * share // 100, each.amount.asset)) for each in event.charges
        )
        back = () if refund is None else (Charge(refund[0][0], Amount(refund[1], refund[0][1])),)
        done = status == "done"
        settled = outcome(event, status, taken if done else (), *(back if done else ()))
        reserved = {line: each.reserved for line, each in self.book.lines.items()}
        self.books.apply(settled)
        self.records.append(encode_event(settled))
        if status == "unknown":
            assert {line: each.reserved for line, each in self.book.lines.items()} == reserved

    @rule()
    def crash(self) -> None:
        self.books, self.queued = fold(self.records), []

    @invariant()
    def nothing_exceeds_its_grant(self) -> None:
        for line in self.book.lines.values():
            assert line.spent >= 0
            assert line.reserved >= 0
            assert line.spent + line.reserved <= line.granted
            assert line.remaining == line.granted - line.spent - line.reserved

    @invariant()
    def only_what_is_open_is_reserved(self) -> None:
        wanted = dict.fromkeys(LINES, 0)
        for event in self.book.open.values():
            for charge in event.charges if event.caller is Caller.AGENT else ():
                wanted[charge.rail, charge.amount.asset] += charge.amount.units
        assert {line: each.reserved for line, each in self.book.lines.items()} == wanted

    def teardown(self) -> None:
        if self.records:
            again, now = fold(self.records), (self.number + 1) * 10**9
            for event in self.queued:
                again.apply(event)
            assert state(again, now) == state(self.books, now), "live and after a restart are the same"


TestNoOrderOfCallsOverspends = Ledgers.TestCase
TestNoOrderOfCallsOverspends.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


# --- single rules -----------------------------------------------------------------------------------------------


def books_of(*granted: int) -> Books:
    books = Books()
    books.apply(started("run_1", mandate(*granted)))
    return books


def eth(count: int) -> Charge:
    return Charge("wallet", Amount(count, "ETH"))


def test_charges_on_one_line_count_together() -> None:
    book = books_of(10, 0, 0, 0).runs["run_1"]
    assert book.fits([eth(5), eth(5)])
    assert not book.fits([eth(5), eth(6)])
    assert not book.fits([eth(10), Charge("compute", Amount(1, "USD"))])


def test_a_line_that_was_not_granted_fits_nothing() -> None:
    book = books_of(10, 10, 10, 10).runs["run_1"]
    assert not book.fits([Charge("wallet", Amount(0, "USD"))])
    assert not book.fits([Charge("mail", Amount(0, "ETH"))])
    assert book.remaining("mail", "ETH") is None
    assert book.remaining("wallet", "ETH") == 10


def test_an_outcome_that_cost_more_than_was_reserved_leaves_nothing() -> None:
    books = books_of(10, 0, 0, 0)
    event = decision(1, Verdict.ALLOW, (eth(5),))
    books.apply(event)
    books.apply(outcome(event, "done", (eth(11),)))
    book = books.runs["run_1"]
    assert book.remaining("wallet", "ETH") == 0
    assert not book.fits([eth(1)])


def test_an_unknown_outcome_can_become_known_later() -> None:
    books = books_of(10, 0, 0, 0)
    event = decision(1, Verdict.ALLOW, (eth(5),), key="k")
    books.apply(event)
    books.apply(outcome(event, "unknown", ()))
    book = books.runs["run_1"]
    assert (book.lines["wallet", "ETH"].reserved, book.settled["act_1"].status) == (5, "unknown")
    books.apply(outcome(event, "done", (eth(4),)))
    assert (book.lines["wallet", "ETH"].reserved, book.remaining("wallet", "ETH")) == (0, 6)
    assert book.settled["act_1"].status == "done"


def test_a_refund_never_makes_more_than_the_grant() -> None:
    books = books_of(10, 0, 0, 0)
    first, second = decision(1, Verdict.ALLOW, (eth(5),)), decision(2, Verdict.ALLOW, ())
    books.apply(first)
    books.apply(outcome(first, "done", (eth(5),)))
    books.apply(second)
    books.apply(outcome(second, "done", (), eth(UNITS_MAX)))
    assert books.runs["run_1"].remaining("wallet", "ETH") == 10


def test_an_outcome_that_no_allow_precedes_is_counted_and_changes_nothing() -> None:
    books = books_of(10, 0, 0, 0)
    before = state(books, 0)
    books.apply(outcome(decision(1, Verdict.ALLOW, (eth(5),)), "done", (eth(5),)))
    assert books.effects_without_allow == 1
    assert state(books, 0) == before


def test_what_flows_in_a_window_is_the_worst_until_it_is_known_and_then_the_truth() -> None:
    books = books_of(100, 0, 0, 0)
    line = books.runs["run_1"].lines["wallet", "ETH"]
    first, second, third = (decision(number, Verdict.ALLOW, (eth(10),)) for number in (1, 2, 3))
    for event in (first, second, third):
        books.apply(event)
    books.apply(outcome(first, "done", (eth(7),)))
    books.apply(outcome(second, "failed", ()))
    now = third.at_ns
    assert (line.hour.count(now), line.day.count(now)) == (17, 17)
    books.revert(third)
    assert (line.hour.count(now), line.day.count(now)) == (7, 7)
    assert line.hour.count(now + 2 * 3600 * 10**9) == 0
    assert line.day.count(now + 2 * 3600 * 10**9) == 7


def test_an_outcome_long_after_its_window_changes_no_other() -> None:
    books = books_of(100, 0, 0, 0)
    line = books.runs["run_1"].lines["wallet", "ETH"]
    early = decision(1, Verdict.ALLOW, (eth(10),))
    late = decision(2, Verdict.ALLOW, (eth(5),), at_ns=10**9 + 25 * 3600 * 10**9)
    books.apply(early)
    books.apply(late)
    assert line.day.count(late.at_ns) == 5
    books.apply(outcome(early, "done", (eth(1),)))
    assert line.day.count(late.at_ns) == 5


def plain_child(granted: Mandate, run: str = "run_2", parent: str = "run_1") -> RunStarted:
    view = msgspec.structs.replace(started(run, granted), run_view=msgspec.Raw(b"{}"))
    return child(view, parent)


def born(books: Books, granted: Mandate, run: str = "run_2", parent: str = "run_1") -> Decided:
    """A child by an allow of its own, with what it is given reserved before it begins."""
    event = plain_child(granted, run, parent)
    allow = allow_for(event, parent)
    books.apply(allow)
    books.apply(event)
    return allow


def line_of(books: Books) -> tuple[int, int]:
    line = books.runs["run_1"].lines["wallet", "ETH"]
    return line.reserved, line.lent


def test_what_an_allow_reserved_is_lent_in_the_moment_its_child_begins() -> None:
    books = books_of(100, 0, 0, 0)
    event = plain_child(mandate(40, 0, 0, 0))
    allow = allow_for(event, "run_1")
    books.apply(allow)
    assert line_of(books) == (40, 0)
    books.apply(event)
    assert line_of(books) == (0, 40)
    books.apply(outcome(allow, "done", ()))
    assert line_of(books) == (0, 40)
    assert books.runs["run_1"].lines["wallet", "ETH"].hour.count(0) == 0, "only what the child spends flows"
    books.apply(RunEnded(at_ns=0, run="run_2", reason="exited", exit_code=0))
    assert line_of(books) == (0, 0)
    assert books.runs["run_1"].remaining("wallet", "ETH") == 100


def test_an_outcome_that_says_no_gives_back_nothing_twice() -> None:
    books = books_of(100, 0, 0, 0)
    allow = born(books, mandate(40, 0, 0, 0))
    books.apply(RunEnded(at_ns=0, run="run_2", reason="not_launched", exit_code=None))
    books.apply(outcome(allow, "failed", ()))
    assert line_of(books) == (0, 0)
    assert books.runs["run_1"].remaining("wallet", "ETH") == 100


def test_a_start_that_is_not_durable_leaves_what_was_reserved() -> None:
    books = books_of(100, 0, 0, 0)
    born(books, mandate(40, 0, 0, 0))
    event = books.runs["run_2"].started
    books.unstart(event)
    assert line_of(books) == (40, 0)
    books.apply(event)
    assert line_of(books) == (0, 40)


@pytest.mark.parametrize(
    "other",
    [
        {"spawned_by": None},
        {"spawned_by": "act_other"},
        {"run": "run_9"},
        {"mandate": msgspec.Raw(encode_mandate(mandate(41, 0, 0, 0)))},
    ],
    ids=["by nothing", "by another action", "under another name", "under another mandate"],
)
def test_a_child_that_no_allow_names_is_no_ledger(other: dict[str, Any]) -> None:
    books = books_of(100, 0, 0, 0)
    event = plain_child(mandate(40, 0, 0, 0))
    books.apply(allow_for(event, "run_1"))
    with pytest.raises(ValueError, match=r"no open allow|not the child"):
        books.apply(msgspec.structs.replace(event, **other))
    assert line_of(books) == (40, 0)
    books.apply(event)


def test_an_allow_has_one_child_and_a_yes_to_something_else_has_none() -> None:
    books = books_of(100, 0, 0, 0)
    allow = born(books, mandate(40, 0, 0, 0))
    second = msgspec.structs.replace(plain_child(mandate(40, 0, 0, 0), "run_3"), spawned_by=allow.action_id)
    with pytest.raises(ValueError, match="no open allow"):
        books.apply(second)
    books.apply(outcome(allow, "done", ()))
    with pytest.raises(ValueError, match="no open allow"):
        books.apply(second)
    payment = decision(1, Verdict.ALLOW, (eth(40),))
    books.apply(payment)
    with pytest.raises(ValueError, match="no open allow"):
        books.apply(msgspec.structs.replace(second, spawned_by=payment.action_id))
    assert set(books.runs) == {"run_1", "run_2"}


def test_what_is_shared_out_counts_from_the_allow_on_and_children_count_for_ever() -> None:
    books = books_of(100, 0, 0, 0)
    book, small = books.runs["run_1"], mandate(1, 1, 0, 0)
    assert taken_of(book, 1) == Taken(children=0, instances=1)
    event = plain_child(small)
    allow = allow_for(event, "run_1")
    books.apply(msgspec.structs.replace(allow, charges=()))
    each = plan_of("run_2", small)["instances"]
    assert (taken_of(book, 0), tree_size(books.runs, "run_1")) == (Taken(children=1, instances=each), 2)


def test_what_a_live_child_may_rent_is_in_use_by_its_parent_and_free_after_its_end() -> None:
    books = books_of(100, 100, 0, 0)
    book, small = books.runs["run_1"], mandate(1, 1, 0, 0)
    assert small.compute is not None
    small = msgspec.structs.replace(small, compute=msgspec.structs.replace(small.compute, instances=2))
    born(books, small)
    assert taken_of(book, 1) == Taken(children=1, instances=3)
    books.apply(RunEnded(at_ns=0, run="run_2", reason="exited", exit_code=0))
    assert taken_of(book, 1) == Taken(children=1, instances=1)
    assert tree_size(books.runs, "run_1") == 2


def test_what_an_ended_child_has_not_given_back_is_held_by_its_parent() -> None:
    books = books_of(100, 100, 0, 0)
    born(books, mandate(1, 1, 0, 0))
    start = msgspec.structs.replace(decision(7, Verdict.ALLOW, (), run="run_2"), tool="compute.start")
    books.apply(start)
    books.apply(outcome(start, "done", ()))
    books.apply(RunEnded(at_ns=0, run="run_2", reason="exited", exit_code=0))
    book = books.runs["run_1"]
    assert taken_of(book, 0) == Taken(children=1, instances=1)
    stop = msgspec.structs.replace(decision(8, Verdict.ALLOW, (), run="run_2"), tool="compute.stop")
    books.apply(stop)
    told = msgspec.structs.replace(outcome(stop, "done", ()), result={"instance": start.action_id})
    books.apply(told)
    assert taken_of(book, 0) == Taken(children=1, instances=0)


def test_births_are_counted_for_the_whole_tree_for_an_hour_and_the_same_after_a_restart() -> None:
    books = books_of(100, 0, 0, 0)
    born(books, mandate(40, 0, 0, 0))
    below = plain_child(mandate(1, 0, 0, 0), run="run_3")
    allow = allow_for(below, "run_2")
    books.apply(allow)
    counts = [book.births.count(HOUR) for book in books.runs.values()]
    assert counts == [2, 2]
    books.revert(allow)
    assert books.runs["run_1"].births.count(HOUR) == 1
    books.apply(allow)
    books.apply(outcome(allow, "failed", ()))
    assert books.runs["run_1"].births.count(HOUR) == 2, "what failed was asked for, too"
    assert books.runs["run_1"].births.count(2 * HOUR + 2 * MINUTE) == 0


def test_no_generation_is_deeper_than_the_shallowest_grant_above_it() -> None:
    books = books_of(100, 0, 0, 0)
    book = books.runs["run_1"]
    assert (depth_of(book), depth_limit(book), all_live(book)) == (0, 0, True)
    book.mandate = msgspec.structs.replace(book.mandate, lineage=LineageGrant(children=3, depth=2))
    deep = msgspec.structs.replace(mandate(1, 0, 0, 0), lineage=LineageGrant(children=3, depth=5))
    born(books, deep)
    below = books.runs["run_2"]
    assert (depth_of(below), depth_limit(below)) == (1, 2)
    books.apply(RunEnded(at_ns=0, run="run_1", reason="exited", exit_code=0))
    assert not all_live(below)


def test_what_a_child_spends_flows_through_its_parents_window() -> None:
    books = books_of(100, 0, 0, 0)
    born(books, mandate(40, 0, 0, 0))
    books.apply(decision(1, Verdict.ALLOW, (eth(10),), run="run_2"))
    assert [book.lines["wallet", "ETH"].hour.count(10**9) for book in books.runs.values()] == [10, 10]
    assert [book.remaining("wallet", "ETH") for book in books.runs.values()] == [60, 30]


def test_a_child_is_lent_no_more_than_there_is_and_gives_back_what_it_did_not_use() -> None:
    books = books_of(100, 0, 0, 0)
    with pytest.raises(ValueError, match="more than its parent had"):
        born(books, mandate(101, 0, 0, 0), run="run_3")
    books.apply(outcome(books.runs["run_1"].open["act_for_run_3"], "failed", ()))
    born(books, mandate(100, 0, 0, 0))
    assert books.runs["run_1"].remaining("wallet", "ETH") == 0
    spent, unknown = (decision(number, Verdict.ALLOW, (eth(30),), run="run_2") for number in (1, 2))
    for event in (spent, unknown):
        books.apply(event)
    books.apply(outcome(spent, "done", (eth(20),)))
    books.apply(RunEnded(at_ns=0, run="run_2", reason="exited", exit_code=0))
    assert books.runs["run_1"].remaining("wallet", "ETH") == 50
    books.apply(outcome(unknown, "failed", ()))
    assert books.runs["run_1"].remaining("wallet", "ETH") == 80


def test_a_run_that_starts_twice_is_no_ledger() -> None:
    with pytest.raises(ValueError, match="started before"):
        books_of(1, 0, 0, 0).apply(started("run_1", mandate(9, 0, 0, 0)))


def test_an_approval_is_exposure_until_a_later_one_replaces_it() -> None:
    books = books_of(100, 0, 0, 0)
    book = books.runs["run_1"]
    for number, (allowed, left) in enumerate(((30, 70), (50, 50), (0, 100)), 1):
        event = decision(number, Verdict.ALLOW, (eth(allowed),))
        books.apply(event)
        books.apply(msgspec.structs.replace(outcome(event, "done", ()), exposures={"token/spender": eth(allowed)}))
        assert book.remaining("wallet", "ETH") == left
    assert book.exposures == {}


def test_what_the_owner_moves_is_no_expense_of_the_agent() -> None:
    books = books_of(10, 0, 0, 0)
    event = decision(1, Verdict.ALLOW, (eth(UNITS_MAX),), caller=Caller.OWNER)
    books.apply(event)
    assert books.runs["run_1"].remaining("wallet", "ETH") == 10
    books.apply(outcome(event, "done", (eth(UNITS_MAX),)))
    assert books.runs["run_1"].remaining("wallet", "ETH") == 10


def test_budgets_of_runs_are_separate() -> None:
    books = books_of(10, 0, 0, 0)
    books.apply(started("run_2", mandate(3, 0, 0, 0)))
    books.apply(decision(1, Verdict.ALLOW, (eth(10),)))
    assert [book.remaining("wallet", "ETH") for book in books.runs.values()] == [0, 3]


def test_the_end_of_a_run_and_the_policy_in_force_are_remembered() -> None:
    books = books_of(1, 1, 1, 1)
    books.apply(PolicyActivated(at_ns=5, bundle="sha256:1"))
    books.apply(RunEnded(at_ns=4, run="run_1", reason="exited", exit_code=0))
    assert (books.bundle, books.last_ns) == ("sha256:1", 5)
    assert books.runs["run_1"].ended is not None


@pytest.mark.parametrize(
    "event",
    [
        decision(1, Verdict.ALLOW, (), run="run_9"),
        outcome(decision(1, Verdict.ALLOW, ()), "done", ()),
        RunEnded(at_ns=0, run="run_9", reason="exited", exit_code=0),
    ],
)
def test_what_speaks_of_an_unknown_run_is_an_error(event: Any) -> None:
    with pytest.raises(KeyError):
        Books().apply(event)
