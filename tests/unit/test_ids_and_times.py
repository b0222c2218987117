"""Names that sort by time and never meet, and a clock that never goes back."""

from __future__ import annotations

import re
import time

import pytest

from safebox.firewall.clock import SystemClock

LATER = 4_000_000_000_000_000_000
"""Nanoseconds: the year 2096."""


def test_many_names_are_all_different_and_of_one_form() -> None:
    clock = SystemClock()
    names = [clock.new_id("act") for _ in range(20_000)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"act_[0-9a-hjkmnp-tv-z]{26}", name) for name in names)


def test_every_digit_of_chance_is_used_at_every_place() -> None:
    clock = SystemClock()
    chance = [clock.new_id("x")[-16:] for _ in range(3_000)]
    assert [len(set(column)) for column in zip(*chance, strict=True)] == [32] * 16


def test_a_later_name_sorts_after_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    names: list[str] = []
    for millisecond in (0, 1, 31, 32, 1023, 1024, 1 << 20, 1 << 41):
        monkeypatch.setattr(time, "time_ns", lambda now=millisecond * 1_000_000: now)
        names.append(clock.new_id("act"))
    assert names == sorted(names)


def test_time_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock(not_before_ns=LATER)
    assert clock.now_ns() == LATER
    monkeypatch.setattr(time, "time_ns", lambda: LATER + 5)
    assert clock.now_ns() == LATER + 5
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    assert clock.now_ns() == LATER + 5
