"""Right after a run's wallet was frozen it schedules, starts and keys nothing, and who tries is quarantined."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from safebox.firewall.core.action import Call
from safebox.firewall.core.books import RunBook
from safebox.firewall.core.decision import Answer, Verdict
from safebox.firewall.core.document import understand
from safebox.firewall.core.record import RunPaused, RunResumed, WalletFrozen, WalletThawed
from safebox.firewall.core.tools import TOOLS
from tests.bench.behaviour.asking import mail, rent, web
from tests.bench.behaviour.attacks import RUN
from tests.bench.behaviour.theatre import SECOND, START_NS, Theatre, engine


@pytest.fixture
def theatre() -> Theatre:
    found = Theatre()
    found.start(START_NS, RUN)
    found.books.apply(WalletFrozen(at_ns=START_NS, run=RUN, by="anna"))
    return found


def last(theatre: Theatre) -> Answer:
    return engine().answer(theatre.seen[-1].document)


def schedule(theatre: Theatre, seconds: int, path: str = "crontab") -> Answer:
    web(theatre, START_NS + seconds * SECOND, RUN, "POST", f"https://elsewhere.example/{path}")
    return last(theatre)


@pytest.mark.parametrize("path", ["crontab", "ssh-keys", "exec"])
def test_within_a_minute_of_a_freeze_it_is_denied_and_the_run_is_to_be_quarantined(theatre: Theatre, path: str) -> None:
    answer = schedule(theatre, 59, path)
    assert [reason.code for reason in answer.reasons] == ["behaviour.after_stop"]
    assert [(order.do, order.code) for order in answer.orders] == [("quarantine", "behaviour.after_stop")]


def test_a_minute_later_it_is_judged_as_ever(theatre: Theatre) -> None:
    assert schedule(theatre, 60).verdict is Verdict.ALLOW


def test_once_the_wallet_is_thawed_it_is_judged_as_ever(theatre: Theatre) -> None:
    theatre.books.apply(WalletThawed(at_ns=START_NS + SECOND, run=RUN, by="anna"))
    assert schedule(theatre, 2).verdict is Verdict.ALLOW


def test_a_child_of_a_stopped_run_is_stopped_with_it(theatre: Theatre) -> None:
    book = theatre.books.runs[RUN]
    child = RunBook(msgspec.structs.replace(book.started, run="run_child"), book, theatre.books.owner)
    shown = facts_of(child, START_NS + 5 * SECOND)
    assert shown["since_stop_s"] == 5
    theatre.books.apply(WalletThawed(at_ns=START_NS + 6 * SECOND, run=RUN, by="anna"))
    assert facts_of(child, START_NS + 7 * SECOND)["since_stop_s"] == 86_400


def facts_of(book: RunBook, now: int) -> dict[str, Any]:
    tool = TOOLS["email.send"]
    arguments = {"to": ["office@example.org"], "subject": "Bills", "body": "Bills are paid."}
    action = understand(Call(run=book.started.run, tool=tool.name, arguments=arguments), tool, "act_1", now)
    return book.behaving.facts(action, overlap=None, charges=()) or {}


def test_a_pause_counts_until_the_run_goes_on(theatre: Theatre) -> None:
    theatre.books.apply(RunPaused(at_ns=START_NS + 100 * SECOND, run=RUN, by="anna"))
    assert schedule(theatre, 110).verdict is Verdict.DENY
    theatre.books.apply(RunResumed(at_ns=START_NS + 120 * SECOND, run=RUN, by="anna"))
    assert schedule(theatre, 121).verdict is Verdict.ALLOW


def test_the_work_of_a_run_whose_wallet_is_frozen_goes_on(theatre: Theatre) -> None:
    mail(theatre, START_NS + SECOND, RUN, "office@example.org", "Bills", "I can not pay them now.")
    assert last(theatre).verdict is Verdict.ALLOW
    rent(theatre, START_NS + 2 * SECOND, RUN, 300)
    assert last(theatre).verdict is Verdict.ALLOW
