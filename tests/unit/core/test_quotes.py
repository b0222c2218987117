"""Which readings of a feed are believed: none outside the bounds, no sudden fall, none older or from the future."""

from __future__ import annotations

import pytest

from safebox.firewall.core.quotes import SKEW_NS, Bounds, Followed
from safebox.firewall.core.total import parse_price, say_price

SECOND = 10**9
NOW = 1_000_000 * SECOND
AGE = 300


def followed(*, first: str | None = "2000") -> Followed:
    bounds = Bounds(decimals=18, floor=parse_price("500"), ceiling=parse_price("9000"), fall=parse_price("1.5"))
    found = Followed(bounds, AGE)
    if first is not None:
        found.hear(parse_price(first), NOW, NOW)
    return found


def price(of: Followed, at_ns: int = NOW) -> str | None:
    found = of.reading(at_ns)
    return None if found is None else say_price(found.usd)


def test_nothing_is_known_before_the_first_reading() -> None:
    assert followed(first=None).reading(NOW) is None


def test_a_reading_within_all_bounds_counts_and_grows_old() -> None:
    found = followed().reading(NOW + AGE * SECOND)
    assert found is not None
    assert found.usable
    later = followed().reading(NOW + AGE * SECOND + 1)
    assert later is not None
    assert not later.usable


@pytest.mark.parametrize("usd", ["499.999", "9000.001", "0.000000000000000001"])
def test_what_is_outside_floor_and_ceiling_is_no_price_however_often_it_is_told(usd: str) -> None:
    feed = followed(first=None)
    for minute in range(20):
        feed.hear(parse_price(usd), NOW + minute * 60 * SECOND, NOW + minute * 60 * SECOND)
    assert feed.reading(NOW) is None
    assert feed.refused == "outside floor and ceiling"


def test_a_rise_counts_at_once() -> None:
    feed = followed()
    feed.hear(parse_price("8000"), NOW + 1, NOW + 1)
    assert price(feed) == "8000"


def test_a_fall_within_the_factor_counts_at_once_and_one_beyond_it_does_not() -> None:
    feed = followed()
    feed.hear(parse_price("1333.34"), NOW, NOW)
    assert price(feed) == "1333.34"
    feed.hear(parse_price("800"), NOW, NOW)
    assert price(feed) == "1333.34"
    assert feed.refused == "a sudden fall"


def test_a_sudden_fall_counts_when_it_was_told_for_as_long_as_a_price_may_be_old() -> None:
    feed = followed()
    for second in range(0, AGE, 60):
        feed.hear(parse_price("600"), NOW + second * SECOND, NOW + second * SECOND)
        assert price(feed) == "2000"
    feed.hear(parse_price("600"), NOW + AGE * SECOND, NOW + AGE * SECOND)
    assert price(feed) == "600"


@pytest.mark.parametrize("broken_by", ["no answer", "a higher price", "a lie"])
def test_a_fall_that_is_not_told_all_the_time_begins_anew(broken_by: str) -> None:
    feed = followed()
    feed.hear(parse_price("600"), NOW, NOW)
    half = NOW + AGE // 2 * SECOND
    match broken_by:
        case "no answer":
            feed.miss("it can't be reached")
        case "a higher price":
            feed.hear(parse_price("2000"), half, half)
        case _:
            feed.hear(parse_price("1"), half, half)
    feed.hear(parse_price("600"), NOW + AGE * SECOND, NOW + AGE * SECOND)
    assert price(feed) == "2000"


def test_an_older_reading_changes_nothing() -> None:
    feed = followed()
    feed.hear(parse_price("2100"), NOW - 1, NOW + SECOND)
    assert (price(feed), feed.refused) == ("2000", "older than the one before")


def test_a_reading_from_the_future_is_none_and_one_a_little_ahead_is_from_now() -> None:
    feed = followed(first=None)
    feed.hear(parse_price("2000"), NOW + SKEW_NS + 1, NOW)
    assert feed.refused == "from the future"
    feed.hear(parse_price("2000"), NOW + SKEW_NS, NOW)
    found = feed.reading(NOW + SECOND)
    assert found is not None
    assert found.age_s == 1


def test_a_clock_that_goes_back_makes_no_price_younger_than_now() -> None:
    found = followed().reading(NOW - 10 * SECOND)
    assert found is not None
    assert found.age_s == 0
