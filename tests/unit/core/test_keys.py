"""Idempotency keys: a run's newest have their answer at hand, all others are known to be used, in eight bytes each."""

from __future__ import annotations

import gc
import secrets
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core import runbook as books_module
from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.keys import UsedKeys
from safebox.firewall.core.record import RunEnded
from tests.twins import Rig
from tests.unit.core.test_books import books_of, decision, outcome


@given(st.sets(st.text(max_size=40)), st.sets(st.text(max_size=40)))
def test_exactly_the_keys_that_were_added_are_known(added: set[str], others: set[str]) -> None:
    used = UsedKeys()
    for key in added:
        used.add(key)
    assert all(key in used for key in added)
    assert not any(key in used for key in others - added)


def test_a_hundred_thousand_keys_take_a_megabyte() -> None:
    keys = [secrets.token_hex(16) for _ in range(100_000)]
    used = UsedKeys()
    gc.collect()
    tracemalloc.start()
    for key in keys:
        used.add(key)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 12 * len(keys)
    assert all(key in used for key in keys)


def test_of_old_keys_only_their_use_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books_module, "KEYS_KEPT", 3)
    books = books_of(100, 0, 0, 0)
    book = books.runs["run_1"]
    for number in range(1, 11):
        event = decision(number, Verdict.ALLOW, (), key=f"k{number}")
        books.apply(event)
        books.apply(outcome(event, "done", ()))
    assert list(book.keys) == ["k8", "k9", "k10"]
    assert sorted(book.settled) == ["act_10", "act_8", "act_9"]
    assert all(f"k{number}" in book.used for number in range(1, 8))
    assert "k8" not in book.used


def test_a_key_whose_action_is_under_way_or_held_keeps_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books_module, "KEYS_KEPT", 2)
    books = books_of(100, 0, 0, 0)
    book = books.runs["run_1"]
    books.apply(decision(1, Verdict.ALLOW, (), key="open"))
    books.apply(decision(2, Verdict.HOLD, (), key="held"))
    for number in range(3, 20):
        event = decision(number, Verdict.ALLOW, (), key=f"k{number}")
        books.apply(event)
        books.apply(outcome(event, "done", ()))
    assert {"open", "held"} <= set(book.keys)
    assert len(book.keys) <= 5


def test_a_run_that_ended_keeps_no_key() -> None:
    books = books_of(100, 0, 0, 0)
    event = decision(1, Verdict.ALLOW, (), key="k")
    books.apply(event)
    books.apply(outcome(event, "done", ()))
    books.apply(RunEnded(at_ns=event.at_ns + 1, run="run_1", reason="exited", exit_code=0))
    assert (books.runs["run_1"].keys, books.runs["run_1"].settled) == ({}, {})


async def test_a_key_that_was_used_long_ago_does_nothing_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.adversarial.test_nothing_acts_without_a_durable_allow import pay

    monkeypatch.setattr(books_module, "KEYS_KEPT", 2)
    rig = Rig()
    first = await rig.pipeline.handle(pay(key="first"))
    for number in range(4):
        await rig.pipeline.handle(pay(key=f"k{number}"))
    again = await rig.pipeline.handle(pay(key="first"))
    recent = await rig.pipeline.handle(pay(key="k3"))
    assert (first.status, again.status, again.code) == ("done", "invalid", "request.idempotency_conflict")
    assert recent.status == "done"
    assert rig.effects == 5
