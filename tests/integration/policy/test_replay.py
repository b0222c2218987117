"""What changed policies would have done to what was recorded is found exactly."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from safebox.firewall.core import books, holds
from safebox.firewall.core.decision import Answer, Reason, Verdict
from safebox.firewall.engines.bundle import Bundle, load_bundle, pack_folder
from safebox.firewall.errors import ConfigError, PolicyUnavailable
from safebox.firewall.policytools.comparison import Kind
from safebox.firewall.policytools.enforced import Price
from safebox.firewall.policytools.judging import Chosen
from safebox.firewall.policytools.replay import Report, replay
from safebox.firewall.store.sqlite import SqliteStore
from tests import recordings
from tests.unit.policy import cases

MANY = 20_000
"""The bench does the same with ten times as many."""
GWEI = recordings.GWEI
OVER_BUDGET, REFUSED = (Answer(Verdict.DENY, (reason,), {}) for reason in (books.OVER_BUDGET, holds.REFUSED))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recordings.record(tmp_path_factory.mktemp("many"), MANY)


def pack() -> Bundle:
    return load_bundle([pack_folder()])


def raised(tmp_path: Path) -> Bundle:
    return load_bundle([pack_folder(), recordings.fee_cap(tmp_path / "candidate")])


def of(report: Report, kind: Kind) -> list[str]:
    return [change.decision for change in report.of(kind)]


def test_what_a_higher_cap_newly_allows_is_exactly_what_the_recorded_amounts_say(many: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    report = replay(many, raised(tmp_path), progress=lambda done, total: steps.append((done, total)))
    reckoned = recordings.reckon(many)
    assert len(reckoned.decisions) > 500
    assert of(report, Kind.NEWLY_ALLOWED) == reckoned.decisions
    assert report.would_move == (Price("wallet", "ETH", reckoned.units),)
    assert report.judged == MANY
    assert (report.counts["newly_denied"], report.counts["newly_held"], report.counts["unanswered"]) == (0, 0, 0)
    assert steps[-1] == (report.records, report.records)
    assert steps == sorted(steps)


def test_the_same_policy_changes_nothing(many: Path) -> None:
    report = replay(many, pack(), chosen=Chosen(run="5"))
    assert report.judged > MANY / recordings.RUNS
    assert set(report.counts.values()) == {0}


def test_compared_with_a_baseline_the_record_counts_for_nothing(many: Path, tmp_path: Path) -> None:
    candidate = raised(tmp_path)
    assert set(replay(many, candidate, baseline=candidate, chosen=Chosen(run="run_3")).counts.values()) == {0}
    back = replay(many, pack(), baseline=candidate, chosen=Chosen(run="run_4", tool="wallet"))
    there = of(replay(many, candidate, chosen=Chosen(run="run_4")), Kind.NEWLY_ALLOWED)
    assert of(back, Kind.NEWLY_DENIED) == there != []


def test_it_is_told_in_the_order_of_the_ledger_whichever_child_was_first(many: Path, tmp_path: Path) -> None:
    candidate = raised(tmp_path)
    one, three = (replay(many, candidate, chosen=Chosen(run="1"), children=count) for count in (1, 3))
    assert one.changes == three.changes
    assert [each.number for each in one.of(Kind.NEWLY_ALLOWED)] == sorted(
        each.number for each in one.of(Kind.NEWLY_ALLOWED)
    )


def test_only_what_was_chosen_is_judged(many: Path) -> None:
    everything = replay(many, pack(), chosen=Chosen(since_ns=recordings.AT_NS + (MANY - 100) * 1_000_000))
    assert (everything.judged, everything.left_out) == (100, MANY - 100)
    run = replay(many, pack(), chosen=Chosen(run="run_7", tool="wallet"))
    assert run.judged + run.left_out == MANY
    assert 0 < run.judged < MANY / recordings.RUNS


def test_what_is_too_much_to_be_listed_is_counted_and_summed_up(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replay(many, raised(tmp_path), chosen=Chosen(run="run_9"))
    monkeypatch.setattr("safebox.firewall.policytools.replay.ALLOWED_MAX", 3)
    monkeypatch.setattr("safebox.firewall.policytools.replay.OTHERS_MAX", 2)
    short = replay(many, load_bundle([pack_folder(), tmp_path / "candidate"]), chosen=Chosen(run="run_9"))
    assert (short.counts, short.would_move) == (whole.counts, whole.would_move)
    assert short.of(Kind.NEWLY_ALLOWED) == whole.of(Kind.NEWLY_ALLOWED)[:3]
    assert short.of(Kind.CHANGED) == whole.of(Kind.CHANGED)[:2]
    assert short.counts["newly_allowed"] > 3


# --- one by one -------------------------------------------------------------------------------------------------

Write = Callable[..., Path]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def write(path: Path, documents: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Record these documents one after the other, each with changes of its record."""
    start, judged = recordings.started("run_1", recordings.payment(1, None)), recordings.Judged()
    events = [
        judged.event(number, "run_1", document, start, **changes)
        for number, (document, changes) in enumerate(documents)
    ]
    recordings.append(path, [start, *events])


def test_newly_allowed_comes_first_then_held_denied_and_otherwise(ledger: Path, tmp_path: Path) -> None:
    documents = recordings.mail(), recordings.mail(listed=False), recordings.payment(5, 600 * GWEI)
    write(ledger, [(document, {}) for document in documents])
    candidate = recordings.fee_cap(tmp_path / "c")
    site = candidate / "safebox/site/email"
    site.mkdir(parents=True)
    (site / "email.rego").write_text(
        'package safebox.site.email\n\ndeny contains {"code": "site.no", "message": "No."} if true\n'
    )
    report = replay(ledger, load_bundle([pack_folder(), candidate]))
    assert [(change.kind, change.number) for change in report.changes] == [
        (Kind.NEWLY_ALLOWED, 4),
        (Kind.NEWLY_DENIED, 2),
        (Kind.CHANGED, 3),
    ]
    assert [reason.code for reason in report.changes[2].after.reasons] == ["email.recipient_not_listed", "site.no"]  # type: ignore[union-attr]


def test_what_is_newly_held_or_denied_is_told_with_the_money_it_took(ledger: Path, tmp_path: Path) -> None:
    write(ledger, [(recordings.payment(500, None), {}), (recordings.payment(7, None), {})])
    site = tmp_path / "c/safebox/site/transfer"
    site.mkdir(parents=True)
    (site / "transfer.rego").write_text(
        "package safebox.site.transfer\n\nimport data.safebox.money\n\n"
        'hold contains {"code": "site.look", "message": "Look."} if not _small\n\n'
        f'_small if money.charged_at_most("wallet", {{"asset": "ETH", "units": "{100:078d}"}})\n'
    )
    report = replay(ledger, load_bundle([pack_folder(), tmp_path / "c"]))
    # the recorded digest isn't that of the arguments here: nobody could carry out from the record what was held
    assert report.counts == {"newly_allowed": 0, "unanswered": 0, "newly_held": 0, "newly_denied": 1, "changed": 0}
    assert report.would_not_move == (Price("wallet", "ETH", 510),)
    assert [reason.code for reason in report.changes[0].after.reasons] == ["hold.unusable"]  # type: ignore[union-attr]


def test_the_firewalls_own_no_stays_whatever_policy_would_say(ledger: Path, tmp_path: Path) -> None:
    poor = cases.changed(recordings.payment(5, None), "facts.money.charges.0.remaining", f"{1:078d}")
    document = recordings.payment(5, 600 * GWEI)
    recorded = [(poor, OVER_BUDGET), (document, REFUSED), (document, OVER_BUDGET)]
    write(ledger, [(each, {"answer": answer}) for each, answer in recorded])
    report = replay(ledger, raised(tmp_path))
    assert [(change.number, change.kind) for change in report.changes] == [(4, Kind.NEWLY_ALLOWED), (2, Kind.CHANGED)]


def test_what_policy_never_judged_is_counted_apart(ledger: Path) -> None:
    write(ledger, [(recordings.mail(), {"facts": msgspec.Raw(b"null")}), (recordings.mail(), {})])
    report = replay(ledger, pack())
    assert (report.judged, report.undecided) == (1, 1)


@pytest.mark.parametrize("passed", [True, False])
def test_money_that_people_let_pass_is_not_newly_moved(ledger: Path, tmp_path: Path, *, passed: bool) -> None:
    document = recordings.payment(5, None)
    held = cases.changed(document, "mandate.wallet.approve_above", None)
    terms = {"hold": {"group": "owners", "approvals": 1, "expires_s": 60}}
    first = (held, {"answer": Answer(Verdict.HOLD, (Reason("site.look", "Look at it."),), terms)})
    approval = {"hold": "dec_x", "group": "owners", "approved_by": ["a"], "challenge_passed": False, "waited_s": 1}
    used = (cases.changed(document, "facts.approval", approval), {"hold": f"dec_{0:026d}"})
    write(ledger, [first, *([used] if passed else [])])
    report = replay(ledger, pack())
    assert of(report, Kind.NEWLY_ALLOWED) == [f"dec_{0:026d}"]
    taken = (Price("wallet", "ETH", 15),)
    assert (report.moved_anyway, report.would_move) == ((taken, ()) if passed else ((), taken))


# --- what is wrong ----------------------------------------------------------------------------------------------


def test_a_ledger_is_replayed_while_a_firewall_holds_it(ledger: Path) -> None:
    write(ledger, [(recordings.mail(), {})])
    store = SqliteStore(ledger)
    assert replay(ledger.parent, pack()).judged == 1
    store.close()


@pytest.mark.parametrize("body", [b"{}x", b'{"event":"decided","run":"nobody"}', b'{"event":"decided"}'])
def test_a_damaged_ledger_is_an_error_that_names_the_record(ledger: Path, body: bytes) -> None:
    write(ledger, [(recordings.mail(), dict[str, Any]()) for _ in range(3)])
    with sqlite3.connect(ledger) as db:
        db.execute("UPDATE events SET body = ? WHERE seq = 3", (body,))
    db.close()
    with pytest.raises(ConfigError, match="record 3 "):
        replay(ledger, pack())


def test_of_an_empty_ledger_nothing_is_judged(ledger: Path) -> None:
    recordings.append(ledger, [])
    assert (replay(ledger, pack()).judged, replay(ledger, pack()).records) == (0, 0)


def test_there_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no ledger"):
        replay(tmp_path, pack())


def test_amounts_that_are_none_are_no_answer(ledger: Path, tmp_path: Path) -> None:
    write(ledger, [(recordings.payment(5, 600 * GWEI), {})])
    with sqlite3.connect(ledger) as db:
        (body,) = db.execute("SELECT body FROM events WHERE seq = 2").fetchone()
        event = json.loads(body)
        event["facts"]["money"]["charges"][0]["remaining"] = "1"
        db.execute("UPDATE events SET body = ? WHERE seq = 2", (json.dumps(event).encode(),))
    db.close()
    report = replay(ledger, raised(tmp_path))
    assert report.counts["newly_allowed"] == 0
    with pytest.raises(PolicyUnavailable, match="would not come into force"):
        replay(ledger, cases.alone("decision := 1"))
