"""One budget over all assets: exact, rounded up, never nothing for what has no price, the same after a restart."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core.action import canonical
from safebox.firewall.core.books import Books, RunBook
from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.document import settled_event
from safebox.firewall.core.mandate import Mandate
from safebox.firewall.core.money import UNITS_MAX, Amount
from safebox.firewall.core.outcome import Outcome
from safebox.firewall.core.record import Charge, Decided, RunEnded, decode_event, encode_event
from safebox.firewall.core.tools import Caller
from safebox.firewall.core.total import (
    LINE,
    Ask,
    Reading,
    cost_of,
    no_prices,
    parse_price,
    say_price,
    with_total,
    worth,
)
from safebox.firewall.errors import ConfigError
from tests import kin
from tests.unit.core import test_books as books_of

WEI = 10**18
MICRO = 10**6
ETHER = Charge("wallet", Amount(WEI, "ETH"))


def at(usd: str, **ages: int) -> Ask:
    """A price of ether."""
    reading = Reading(usd=parse_price(usd), decimals=18, **ages)
    return lambda asset: reading if asset == "ETH" else None


def bounded(total: int | None, budget: int = UNITS_MAX) -> Mandate:
    mandate = books_of.mandate(budget, budget, budget, budget)
    return msgspec.structs.replace(mandate, total=None if total is None else Amount(total, "USD"))


def books(total: int | None = 5_000 * MICRO) -> Books:
    found = Books()
    found.apply(books_of.started("run_1", bounded(total)))
    return found


def asked(book: RunBook, ask: Ask, *charges: Charge, number: int = 1) -> Decided:
    """An allowed action with what it reserves, as the pipeline records it."""
    cost = cost_of(book, Caller.AGENT, charges, ask)
    facts = msgspec.Raw(canonical({"total": cost.facts}))
    return books_of.decision(number, Verdict.ALLOW, cost.charges, facts=facts)


def settled(decided: Decided, status: Literal["done", "failed", "unknown"], *charges: Charge, **more: Any) -> Any:
    return settled_event(decided, Outcome(status=status, charges=charges, **more), at_ns=decided.at_ns)


def of_total(charges: tuple[Charge, ...]) -> int:
    return sum(charge.amount.units for charge in charges if charge.rail == "total")


@pytest.mark.parametrize("text", ["2500", "0.000000000000000001", "999999999999999.999999999999999999", "1.5"])
def test_a_price_is_read_exactly_and_said_as_it_was_written(text: str) -> None:
    assert say_price(parse_price(text)) == text


@pytest.mark.parametrize(
    "text", ["", "0", "0.0", "-1", "1e3", "1,5", ".5", "1.", "01", "NaN", " 1", "1 USD", "٣", "9" * 16]
)
def test_nothing_else_is_a_price_and_nothing_costs_nothing(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_price(text)


@given(units=st.integers(0, UNITS_MAX), usd=st.integers(1, 10**33), decimals=st.integers(0, 36))
def test_what_units_are_worth_is_rounded_up_to_a_millionth(units: int, usd: int, decimals: int) -> None:
    exact = Fraction(units * usd, 10**18) / 10**decimals * MICRO
    found = worth(units, usd, decimals)
    assert found == UNITS_MAX or 0 <= found - exact < 1
    assert found > 0 or units == 0


def test_a_run_without_a_total_is_charged_as_before_and_no_price_is_looked_up() -> None:
    def never(_: str) -> Reading | None:
        raise AssertionError("it was looked up")

    cost = cost_of(books(None).runs["run_1"], Caller.AGENT, (ETHER,), never)
    assert (cost.charges, cost.facts) == ((ETHER,), None)


def test_what_the_firewall_does_for_the_owner_takes_nothing_of_the_total() -> None:
    cost = cost_of(books().runs["run_1"], Caller.OWNER, (ETHER,), at("2500"))
    assert (cost.charges, cost.facts) == ((ETHER,), None)


def test_all_rails_are_counted_together() -> None:
    charges = (ETHER, Charge("compute", Amount(7, "USD")), Charge("wallet", Amount(1, "ETH")))
    cost = cost_of(books().runs["run_1"], Caller.AGENT, charges, at("2500"))
    assert of_total(cost.charges) == 2500 * MICRO + 7 + 1, "a wei more is a millionth more"
    assert cost.facts is not None
    assert cost.facts["prices"][0] == {"asset": "ETH", "usd": "2500", "decimals": 18, "age_s": None, "max_age_s": None}


@pytest.mark.parametrize(
    ("ask", "charge"),
    [
        (at("2500", age_s=301, max_age_s=300), ETHER),
        (at("2500", age_s=1), ETHER),
        (at("2500", max_age_s=1), ETHER),
        (no_prices, ETHER),
        (no_prices, Charge("wallet", Amount(0, "ETH"))),
        (at("2500"), Charge("inference", Amount(1, "TOKEN"))),
    ],
    ids=["too old", "no bound", "no age", "no price", "nothing of it", "words without a price in money"],
)
def test_what_has_no_usable_price_fits_nowhere(ask: Ask, charge: Charge) -> None:
    book = books().runs["run_1"]
    cost = cost_of(book, Caller.AGENT, (charge,), ask)
    assert cost.facts is not None
    assert cost.facts["cost"] is None
    assert not book.fits(cost.charges)


def test_words_are_paid_for_by_the_money_beside_them() -> None:
    charges = (Charge("inference", Amount(1000, "TOKEN")), Charge("inference", Amount(5, "USD")))
    assert of_total(cost_of(books().runs["run_1"], Caller.AGENT, charges, at("2500")).charges) == 5


def test_what_takes_nothing_is_allowed_when_nothing_is_left() -> None:
    book = books(0).runs["run_1"]
    assert book.fits(cost_of(book, Caller.AGENT, (), at("2500")).charges)


def test_it_is_settled_at_the_price_it_was_reserved_at_also_after_a_restart() -> None:
    live = books()
    decided = asked(live.runs["run_1"], at("2500"), ETHER)
    outcome = settled(decode(decided), "done", Charge("wallet", Amount(WEI // 2, "ETH")))
    again = books()
    for event in (decided, outcome):
        live.apply(event)
        again.apply(decode_event(encode_event(event)))
    for each in (live, again):
        line = each.runs["run_1"].lines[LINE]
        assert (line.spent, line.reserved) == (1250 * MICRO, 0)


def decode(decided: Decided) -> Decided:
    return cast("Decided", decode_event(encode_event(decided)))


def test_an_unknown_outcome_keeps_the_whole_reservation() -> None:
    found = books()
    decided = asked(found.runs["run_1"], at("2500"), ETHER)
    found.apply(decided)
    found.apply(settled(decided, "unknown"))
    assert found.runs["run_1"].lines[LINE].reserved == 2500 * MICRO


def test_what_did_not_happen_is_free_again() -> None:
    found = books()
    decided = asked(found.runs["run_1"], at("2500"), ETHER)
    found.apply(decided)
    found.apply(settled(decided, "failed"))
    assert found.runs["run_1"].lines[LINE].remaining == 5_000 * MICRO


def test_what_was_taken_in_an_asset_without_a_recorded_price_takes_all_that_was_reserved() -> None:
    decided = asked(books().runs["run_1"], at("2500"), ETHER)
    outcome = with_total(decided, Outcome(status="done", charges=(Charge("inference", Amount(3, "TOKEN")),)))
    assert of_total(outcome.charges) == 2500 * MICRO


def test_only_money_in_the_unit_of_the_total_comes_back() -> None:
    decided = asked(books().runs["run_1"], at("2500"))
    back = (Charge("compute", Amount(9, "USD")), ETHER)
    assert of_total(with_total(decided, Outcome(status="done", refunds=back)).refunds) == 9


def test_what_others_may_take_later_is_of_the_total_too_until_it_is_approved_anew() -> None:
    found = books()
    for number, (price, units) in enumerate((("2500", WEI), ("3000", WEI // 2)), 1):
        charge = Charge("wallet", Amount(units, "ETH"))
        decided = asked(found.runs["run_1"], at(price), charge, number=number)
        found.apply(decided)
        found.apply(settled(decided, "done", exposures={"router": charge}))
    line = found.runs["run_1"].lines[LINE]
    assert (line.exposed, line.reserved, line.spent) == (1500 * MICRO, 0, 0)


def child(total: int | None, parent: Mandate) -> Any:
    small = books_of.mandate(1, 1, 1, 1)
    mandate = msgspec.structs.replace(small, total=None if total is None else Amount(total, "USD"))
    return kin.child(
        msgspec.structs.replace(books_of.started("run_2", mandate), run_view=msgspec.Raw(b'{"parent":"run_1"}')),
        "run_1",
    )


def test_a_childs_total_is_carved_out_of_its_parents_and_comes_back() -> None:
    found = books()
    wanted = child(4_000 * MICRO, bounded(None))
    found.apply(kin.allow_for(wanted, "run_1"))
    found.apply(wanted)
    line = found.runs["run_1"].lines[LINE]
    assert line.remaining == 1_000 * MICRO
    found.apply(RunEnded(at_ns=1, run="run_2", reason="exited", exit_code=0))
    assert line.remaining == 5_000 * MICRO


@pytest.mark.parametrize("total", [None, 5_001 * MICRO], ids=["without one", "with more"])
def test_no_child_spends_beside_its_parents_total(total: int | None) -> None:
    found, wanted = books(), child(total, bounded(None))
    found.apply(msgspec.structs.replace(kin.allow_for(wanted, "run_1"), charges=()))
    with pytest.raises(ValueError, match="more than its parent had"):
        found.apply(wanted)


charges = st.tuples(
    st.sampled_from([("wallet", "ETH"), ("compute", "USD"), ("inference", "USD")]), st.integers(0, 10**19)
).map(lambda each: Charge(each[0][0], Amount(each[1], each[0][1])))
steps = st.tuples(
    st.lists(charges, max_size=3),
    st.integers(1, 10**23),
    st.sampled_from(["done", "failed", "unknown", "open"]),
    st.integers(0, 100),
)


@given(st.integers(0, 10**20), st.lists(steps, max_size=12))
def test_no_order_of_payments_and_prices_spends_more_than_the_total(total: int, taken: list[Any]) -> None:
    live, records = books(total), list[bytes]()
    book, exact = live.runs["run_1"], Fraction(0)
    for number, (wanted, usd, status, share) in enumerate(taken, 1):
        reading = Reading(usd=usd, decimals=18)
        decided = asked(book, lambda _, known=reading: known, *wanted, number=number)  # type: ignore[misc]
        if not book.fits(decided.charges):
            continue
        events: list[Any] = [decided]
        paid = [Charge(each.rail, Amount(each.amount.units * share // 100, each.amount.asset)) for each in wanted]
        if status != "open":
            events.append(settled(decided, status, *(paid if status == "done" else [])))
        if status == "done":
            exact += sum(_micro(each, usd) for each in paid)
        for event in events:
            live.apply(event)
            records.append(encode_event(event))
        line = book.lines[LINE]
        assert exact <= line.spent <= line.committed <= total
    again = books(total)
    for record in records:
        again.apply(decode_event(record))
    assert again.runs["run_1"].lines[LINE].committed == book.lines[LINE].committed


def _micro(charge: Charge, usd: int) -> Fraction:
    if charge.amount.asset == "USD":
        return Fraction(charge.amount.units)
    return Fraction(charge.amount.units * usd * MICRO, 10**36)
