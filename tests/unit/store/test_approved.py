"""From the records alone: whose votes are signed, and which allows were due."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from safebox.firewall.core.record import Decided, HoldClosed, LedgerEvent, RunEnded, RunKilled, Voted
from safebox.firewall.store.approved import Approved
from tests.people import A_MINUTE, TWO_OWNERS, Waiting, signer

Change = Callable[[list[LedgerEvent]], list[LedgerEvent]]


def counted(events: list[LedgerEvent]) -> tuple[int, int]:
    approved = Approved()
    for event in events:
        approved.apply(event)
    return approved.unsigned, approved.unearned


async def passed(folder: Path, terms: dict[str, Any] = TWO_OWNERS) -> list[LedgerEvent]:
    """The records of a payment that waited and was made."""
    rig = Waiting(folder, terms)
    held = await rig.ask()
    for name in ("alice", "bob"):
        if terms is TWO_OWNERS:
            await rig.vote(held, name)
    await rig.later(61)
    assert rig.effects == 1
    return rig.store.events


def each_vote(**changes: Any) -> Change:
    def change(events: list[LedgerEvent]) -> list[LedgerEvent]:
        return [msgspec.structs.replace(event, **changes) if isinstance(event, Voted) else event for event in events]

    return change


def without_votes(events: list[LedgerEvent]) -> list[LedgerEvent]:
    return [event for event in events if not isinstance(event, Voted)]


def twice_the_same(events: list[LedgerEvent]) -> list[LedgerEvent]:
    (first, _) = [event for event in events if isinstance(event, Voted)]
    return [first if isinstance(event, Voted) else event for event in events]


def done_twice(events: list[LedgerEvent]) -> list[LedgerEvent]:
    (allowed,) = [event for event in events if isinstance(event, Decided) and event.allowed]
    return [*events, allowed]


def of_no_hold(events: list[LedgerEvent]) -> list[LedgerEvent]:
    return [
        msgspec.structs.replace(event, hold="dec_none") if isinstance(event, Decided) and event.allowed else event
        for event in events
    ]


def after(event: LedgerEvent) -> Change:
    """This came before the allow."""

    def change(events: list[LedgerEvent]) -> list[LedgerEvent]:
        at = next(index for index, each in enumerate(events) if isinstance(each, Decided) and each.allowed)
        hold = next(each for each in events if isinstance(each, Decided))
        named = msgspec.structs.replace(event, hold=hold.decision) if isinstance(event, HoldClosed) else event
        return [*events[:at], named, *events[at:]]

    return change


@pytest.mark.parametrize("terms", [TWO_OWNERS, A_MINUTE])
async def test_what_was_due_is_found_due(tmp_path: Path, terms: dict[str, Any]) -> None:
    events = await passed(tmp_path, terms)
    assert counted(events) == (0, 0)
    assert counted([*events, RunEnded(at_ns=1, run="run_1", reason="exited", exit_code=0)]) == (0, 0)


@pytest.mark.parametrize(
    ("change", "unsigned", "unearned"),
    [
        (each_vote(signature="AAAA"), 2, 1),
        (each_vote(key=signer("mallory").verifier.text()), 2, 1),
        (each_vote(digest="sha256:0"), 2, 1),
        (each_vote(verdict="deny"), 2, 1),
        (without_votes, 0, 1),
        (twice_the_same, 0, 1),
        (done_twice, 0, 1),
        (of_no_hold, 0, 1),
        (after(RunKilled(at_ns=1, run="run_1", by="owner")), 0, 1),
        (after(RunEnded(at_ns=1, run="run_1", reason="exited", exit_code=0)), 0, 1),
        (after(HoldClosed(at_ns=1, run="run_1", hold="", reason="expired")), 0, 1),
    ],
    ids=lambda value: getattr(value, "__qualname__", str(value)),
)
async def test_what_was_not_due_is_counted(tmp_path: Path, change: Change, unsigned: int, unearned: int) -> None:
    assert counted(change(await passed(tmp_path))) == (unsigned, unearned)


async def test_a_window_that_had_not_passed_is_counted(tmp_path: Path) -> None:
    events = await passed(tmp_path, A_MINUTE)
    early = [
        msgspec.structs.replace(event, at_ns=event.at_ns - 10 * 10**9)
        if isinstance(event, Decided) and event.allowed
        else event
        for event in events
    ]
    assert counted(early) == (0, 1)
