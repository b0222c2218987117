"""Growth, circles, passing through and clockwork are counted exactly, in constant memory, in whatever order."""

from __future__ import annotations

from safebox.firewall.behaviour.money import KEPT, PERIOD, MoneyFlow
from safebox.firewall.behaviour.probes import Probes
from safebox.firewall.core.windows import DAY, HOUR, MINUTE, SECOND

NOW = 1_790_000_000 * 10**9 // PERIOD * PERIOD


def facts(flow: MoneyFlow, now: int = NOW + DAY, budget: int = 1000) -> dict[str, int]:
    return flow.facts(now, budget)


def test_nothing_that_happened_is_all_zero() -> None:
    assert set(facts(MoneyFlow()).values()) == {0}


def test_what_was_neither_spent_nor_swept_is_retained() -> None:
    flow = MoneyFlow()
    flow.earn(NOW, 1000)
    flow.pay(NOW + 1, 100, "x")
    flow.sweep(NOW + 2, 300)
    assert facts(flow)["retained_bp"] == 6_000
    assert facts(flow, budget=500)["to_budget_bp"] == 20_000
    assert facts(flow, now=NOW + 8 * DAY)["retained_bp"] == 0


def test_growth_is_counted_in_whole_periods_without_a_gap() -> None:
    flow = MoneyFlow()
    for period in (0, 1, 2):
        flow.earn(NOW + period * PERIOD, 10)
    assert facts(flow, now=NOW + 3 * PERIOD)["growth"] == 3
    assert facts(flow, now=NOW + 4 * PERIOD)["growth"] == 0


def test_expansion_counts_periods_in_which_more_was_reinvested_while_income_rose_over_all_of_them() -> None:
    flow = MoneyFlow()
    for period, (income, spent) in enumerate([(100, 10), (400, 15), (300, 30), (500, 40)]):
        flow.earn(NOW + period * PERIOD, income)
        flow.reinvest(NOW + period * PERIOD, spent)
    assert facts(flow, now=NOW + 4 * PERIOD)["expansion"] == 3
    flow.sweep(NOW + 2 * PERIOD, 1_000)
    assert facts(flow, now=NOW + 4 * PERIOD)["expansion"] == 0


def test_a_service_that_costs_more_while_it_earns_no_more_does_not_expand() -> None:
    flow = MoneyFlow()
    for period, (income, spent) in enumerate([(500, 10), (400, 15), (300, 30), (500, 40)]):
        flow.earn(NOW + period * PERIOD, income)
        flow.reinvest(NOW + period * PERIOD, spent)
    assert facts(flow, now=NOW + 4 * PERIOD)["expansion"] == 2


def test_what_comes_back_less_a_fee_is_a_circle_and_what_is_more_is_none() -> None:
    flow = MoneyFlow()
    for number, back in enumerate([950, 800, 799, 1001]):
        flow.pay(NOW + number * 3 * DAY, 1000, "x")
        flow.earn(NOW + number * 3 * DAY + HOUR, back)
        assert facts(flow, now=NOW + number * 3 * DAY + 2 * HOUR)["returned"] == (2 if number < 2 else 0)


def test_what_is_paid_on_within_the_hour_passes_through() -> None:
    flow = MoneyFlow()
    flow.earn(NOW, 1000)
    flow.pay(NOW + 59 * MINUTE, 950, "x")
    flow.earn(NOW + 3 * HOUR, 1000)
    flow.pay(NOW + 3 * HOUR + 61 * MINUTE, 950, "x")
    assert facts(flow, now=NOW + 5 * HOUR)["passed_through"] == 2


def test_what_comes_back_in_parts_or_under_dust_is_a_circle_all_the_same() -> None:
    flow = MoneyFlow()
    for number in range(3):
        flow.pay(NOW + number * 3 * HOUR, 1000, "x")
        for part in (1, 300, 600):
            flow.earn(NOW + number * 3 * HOUR + part * SECOND, part)
    assert facts(flow, now=NOW + DAY)["returned"] == 6


def test_who_earns_much_more_than_is_paid_out_is_in_no_circle() -> None:
    flow = MoneyFlow()
    for number in range(12):
        flow.pay(NOW + number * 3 * HOUR, 1000, "x")
        for order in (900, 950, 400):
            flow.earn(NOW + number * 3 * HOUR + order * SECOND, order)
    assert facts(flow, now=NOW + DAY)["returned"] == 0


def test_payments_at_even_intervals_are_clockwork_and_others_are_not() -> None:
    even, odd = MoneyFlow(), MoneyFlow()
    for number in range(7):
        even.pay(NOW + number * HOUR + (number % 2) * MINUTE, 5, "x")
        odd.pay(NOW + number * number * HOUR, 5, "x")
    assert facts(even, now=NOW + 8 * HOUR)["regular"] == 5
    assert facts(odd, now=NOW + 40 * HOUR)["regular"] == 0


def test_the_order_in_which_income_and_payments_are_told_changes_nothing() -> None:
    one, other = MoneyFlow(), MoneyFlow()
    earned = [(NOW + number * HOUR, 100 + number) for number in range(10)]
    paid = [(NOW + number * HOUR + 30 * MINUTE, 95 + number) for number in range(10)]
    for at, units in earned:
        one.earn(at, units)
    for at, units in paid:
        one.pay(at, units, "x")
        other.pay(at, units, "x")
    for at, units in earned:
        other.earn(at, units)
    assert facts(one) == facts(other)
    assert facts(one)["passed_through"] > 0


def test_a_hundred_thousand_payments_take_no_more_memory_than_a_few() -> None:
    flow = MoneyFlow()
    for number in range(100_000):
        flow.pay(NOW + number * MINUTE, 5, f"payee {number}")
    assert (len(flow._outs), len(flow._drips), len(flow._periods)) == (KEPT, 64, 8)  # pyright: ignore[reportPrivateUsage]


def test_a_bisection_is_counted_and_everyday_refusals_are_not() -> None:
    probes, low, high = Probes(), 0, 1024
    for step in range(8):
        ask = (low + high) // 2
        probes.ask(NOW + step * MINUTE, ask, allowed=ask <= 700)
        low, high = (ask, high) if ask <= 700 else (low, ask)
    assert probes.count(NOW + 8 * MINUTE) >= 5
    assert probes.count(NOW + 2 * HOUR) == 0
    honest = Probes()
    for step, (units, allowed) in enumerate([(50, True), (5000, False), (60, True), (55, True), (5000, False)]):
        honest.ask(NOW + step * SECOND, units, allowed=allowed)
    assert honest.count(NOW + MINUTE) == 0
