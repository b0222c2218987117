"""Rolling counts err on the strict side: never below the true count, at most one bucket above it."""

from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core.windows import DAY, HOUR, MINUTE, SECOND, Rates, Window

WIDTH, BUCKETS = 600, 6
SIZE = WIDTH // BUCKETS

steps = st.lists(st.tuples(st.integers(0, 250), st.integers(0, 3)), max_size=60)


@given(steps)
def test_a_window_counts_what_a_list_counts_and_at_most_one_bucket_more(steps: list[tuple[int, int]]) -> None:
    window, seen, now = Window(WIDTH, BUCKETS), list[int](), 0
    for advance, count in steps:
        now += advance
        if count:
            window.add(now, count)
            seen += [now] * count
        found = window.count(now)
        assert sum(now - WIDTH < at for at in seen) <= found
        assert found <= sum(now - WIDTH - SIZE < at for at in seen)


@given(st.lists(st.tuples(st.integers(0, 250), st.integers(0, 900)), max_size=60))
def test_what_is_counted_late_is_counted_where_it_belongs(steps: list[tuple[int, int]]) -> None:
    """An action is counted when it is decided, at the time it came in: slow ones are counted after faster ones."""
    window, seen, now = Window(WIDTH, BUCKETS), list[int](), 1_000
    for advance, late in steps:
        now += advance
        window.add(now - late)
        seen.append(now - late)
        found = window.count(now)
        assert sum(now - WIDTH < at for at in seen) <= found
        assert found <= sum(now - WIDTH - SIZE < at for at in seen)


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=60))
def test_what_is_taken_back_was_never_there_whenever_that_is_learned(steps: list[tuple[int, bool]]) -> None:
    window, pending, kept, now = Window(WIDTH, BUCKETS), list[int](), list[int](), 0
    for advance, durable in steps:
        now += advance
        window.add(now)
        pending.append(now)
        if durable:
            kept += pending[-1:]
        else:
            window.add(pending[0], -1)  # an early one fails late
            if pending[0] in kept:
                kept.remove(pending[0])
        pending = pending[1:] if not durable else pending
        assert window.count(now) >= sum(now - WIDTH < at for at in kept)


def test_memory_stays_constant_whatever_the_order() -> None:
    window = Window(MINUTE)
    for number in range(10_000):
        now = number * SECOND // 50
        window.add(now if number % 2 else max(0, now - 15 * SECOND))
        window.count(now)
    assert len(window._buckets) <= 61 + 1  # pyright: ignore[reportPrivateUsage]


def test_the_seam_of_a_fixed_window_lets_nothing_double() -> None:
    window = Window(MINUTE)
    window.add(59 * SECOND, 10)
    window.add(61 * SECOND, 10)
    assert window.count(61 * SECOND) == 20


def test_rates_are_told_by_minute_hour_and_day() -> None:
    rates = Rates()
    for at in (0, DAY - 2 * HOUR, DAY - 2 * MINUTE, DAY - SECOND):
        rates.add(at)
    assert rates.counts(DAY) == {"minute": 1, "hour": 2, "day": 4}
    rates.add(DAY - SECOND, -1)
    assert rates.counts(DAY) == {"minute": 0, "hour": 1, "day": 3}
    assert rates.counts(DAY + 30 * MINUTE) == {"minute": 0, "hour": 1, "day": 2}
    assert rates.counts(DAY + 2 * HOUR)["hour"] == 0
