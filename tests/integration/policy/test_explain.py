"""Why policy said what it said, on which lines and values, and what would have to differ: each of it true."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.money import pad
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.policytools.codes import reason_codes
from safebox.firewall.policytools.documents import put
from safebox.firewall.policytools.explain import Explanation, Line, Spoken, explain
from tests import recordings
from tests.unit.policy import cases

Document = cases.Document
SECRET = "hunter2-" + "x" * 40
FAULTS: dict[str, tuple[str, str, object]] = {
    "transfer.payee_not_listed": ("wallet.transfer", "facts.payee.listed", False),
    "transfer.payee_lookalike": ("wallet.transfer", "facts.payee.lookalike", "landlord"),
    "transfer.over_per_transfer": ("wallet.transfer", "action.args.amount.units", pad(1001)),
    "transfer.wrong_chain": ("wallet.transfer", "facts.wallet.chain_id", 1),
    "transfer.frozen": ("wallet.transfer", "facts.frozen", True),
    "transfer.fee_cap": ("wallet.transfer", "action.args.max_fee_per_gas.units", pad(51)),
    "transfer.approve_above": ("wallet.transfer", "mandate.wallet.approve_above.units", pad(5)),
    "email.recipient_not_listed": ("email.send", "facts.recipients.0.listed", False),
    "email.not_granted": ("email.send", "mandate.mail", None),
    "rate.email_per_hour": ("email.send", "facts.rates.hour", 9),
    "rate.denials": ("email.send", "facts.rates.denied_10m", 7),
    "rate.denials_on": ("email.send", "facts.rates.denied_10m", 12),
    "compute.too_many_instances": ("compute.start", "facts.compute.running", 2),
    "compute.image_not_listed": ("compute.start", "action.args.image", "evil:1"),
    "inference.model_not_listed": ("inference.chat", "action.args.model", "huge"),
    "main.expired": ("email.send", "facts.expired", True),
}
"""A field of a good input, and a value of it that brings each of these reasons up."""


@cache
def _explained(code: str) -> tuple[Document, Explanation]:
    tool, path, value = FAULTS[code]
    document = cases.changed(cases.good()[tool], path, value)
    return document, explain(load_bundle([pack_folder()]), cases.encode(document))


def _spoken(code: str) -> Spoken:
    _, explanation = _explained(code)
    return next(each for each in explanation.reasons if each.code == code)


each_fault = pytest.mark.parametrize("code", sorted(FAULTS))


@each_fault
def test_the_rule_that_spoke_is_named_with_its_line_and_metadata(code: str) -> None:
    known = {each.code: each for each in reason_codes([pack_folder()])}[code]
    spoken = _spoken(code)
    assert (spoken.file, spoken.line) == (known.file, known.line)
    assert (spoken.title, spoken.threat, spoken.remedy) == (known.title, known.threat, known.remedy)
    assert all(line.holds for line in spoken.lines)


@each_fault
def test_a_change_that_is_told_takes_the_reason_away(code: str) -> None:
    document, explanation = _explained(code)
    engine = EmbeddedEngine(load_bundle([pack_folder()]))
    spoken = _spoken(code)
    assert spoken.flips, code
    for flip in spoken.flips:
        steps = tuple(flip.path.split("."))
        if steps[0] != "input" or "…" in json.dumps(flip.after, ensure_ascii=False):
            continue
        changed = json.loads(json.dumps(document))
        assert put(changed, steps[1:], flip.after)
        assert engine.answer(cases.encode(changed)) == flip.answer
        assert code not in [reason.code for reason in flip.answer.reasons]
    assert explanation.answer.verdict is not Verdict.ALLOW


@each_fault
def test_the_field_that_was_broken_is_among_the_values_or_the_changes(code: str) -> None:
    field = "input." + FAULTS[code][1].removesuffix(".units")
    spoken = _spoken(code)
    shown = {value.path for line in _all(spoken.lines) for value in line.values}
    assert any(field.startswith(path) for path in shown | {flip.path for flip in spoken.flips})


def _all(lines: tuple[Line, ...]) -> list[Line]:
    return [each for line in lines for each in (line, *_all(line.because))]


def test_the_line_that_did_not_hold_is_the_innermost_one() -> None:
    innermost = [line for line in _all(_spoken("transfer.over_per_transfer").lines) if not line.holds][-1]
    assert innermost.text == "amount.units <= cap.units"
    assert innermost.file.endswith("safebox/money/money.rego")
    assert {value.path: value.value for value in innermost.values} == {
        "amount.units": pad(1001),
        "cap.units": pad(1000),
    }


def test_of_many_the_one_that_fails_is_named() -> None:
    document = recordings.mail()
    document["action"]["args"]["to"].append("x@evil.example")
    document["facts"]["recipients"].append({"address": "x@evil.example", "listed": False})
    (spoken,) = explain(load_bundle([pack_folder()]), cases.encode(document)).reasons
    notes = [line.note for line in _all(spoken.lines) if line.note]
    assert notes == ["for input.action.args.to[1]"]
    assert [flip.path for flip in spoken.flips] == ["input.facts.recipients.1.listed"]


@pytest.mark.parametrize(
    ("code", "path", "after"),
    [
        ("transfer.over_per_transfer", "input.mandate.wallet.per_transfer", {"asset": "ETH", "units": pad(1001)}),
        ("transfer.over_per_transfer", "input.action.args.amount", {"asset": "ETH", "units": pad(1000)}),
        ("rate.email_per_hour", "input.mandate.mail.per_hour", 10),
        ("rate.email_per_hour", "input.facts.rates.hour", 4),
        ("rate.denials", "data.data.limits.rate.denials_in_ten_minutes", 8),
        ("compute.image_not_listed", "input.action.args.image", "reports:1"),
    ],
)
def test_the_change_that_is_told_is_the_smallest(code: str, path: str, after: object) -> None:
    assert {flip.path: flip.after for flip in _spoken(code).flips}[path] == after


def test_a_boundary_that_stands_nowhere_is_found_by_halving() -> None:
    rule = 'deny contains {"code": "site.x", "message": "No."} if not _good\n\n_good if input.facts.rates.day * 3 < 100'
    document = cases.changed(recordings.mail(), "facts.rates.day", 90)
    (spoken,) = explain(cases.with_site(rule), cases.encode(document)).reasons
    assert [(flip.path, flip.after) for flip in spoken.flips] == [("input.facts.rates.day", 33)]


def test_where_no_single_change_helps_it_says_so() -> None:
    site = cases.with_site('deny contains {"code": "site.never", "message": "Never."} if input.action.kind == "email"')
    (spoken,) = explain(site, cases.encode(recordings.mail())).reasons
    assert spoken.flips == ()
    both = "not _one\n\n_one if {\n\tinput.facts.rates.day == 1\n\tinput.facts.rates.minute == 1\n}"
    site = cases.with_site(f'deny contains {{"code": "site.two", "message": "Two."}} if {both}')
    (spoken,) = explain(site, cases.encode(recordings.mail())).reasons
    assert spoken.flips == ()


def test_all_reasons_can_be_taken_away_at_once() -> None:
    document = recordings.payment(1100, 900 * recordings.GWEI, listed=False)
    found = explain(load_bundle([pack_folder()]), cases.encode(document))
    assert len(found.reasons) == 3
    assert found.together is not None
    assert found.together.verdict is Verdict.ALLOW


def test_where_no_rule_allows_that_is_what_is_explained() -> None:
    document = cases.changed(cases.good()["email.send"], "action.tool", "no.such_tool")
    (spoken,) = explain(load_bundle([pack_folder()]), cases.encode(document)).reasons
    assert (spoken.code, spoken.file) == ("main.no_rule_allows", "")


def test_what_is_allowed_is_explained_by_what_allows_it() -> None:
    found = explain(load_bundle([pack_folder()]), cases.encode(recordings.mail()))
    assert (found.reasons, [each.code for each in found.allowing]) == ((), ["email.send"])


def test_what_is_only_monitored_is_told_apart(tmp_path: Path) -> None:
    site = tmp_path / "safebox/site/email"
    site.mkdir(parents=True)
    (site / "email.rego").write_text(
        'package safebox.site.email\n\ndeny contains {"code": "site.x", "message": "No."} if input.action.args.to\n'
    )
    (tmp_path / "data/modes").mkdir(parents=True)
    (tmp_path / "data/modes/data.json").write_text('{"codes": {"site.x": "monitor"}}')
    found = explain(load_bundle([pack_folder(), tmp_path]), cases.encode(recordings.mail()))
    (watched,) = found.monitored
    assert (found.answer.verdict, found.reasons, watched.code, watched.effect) == ("allow", (), "site.x", "monitored")
    assert watched.file.endswith("email.rego")


def test_absent_fields_are_told_as_absent() -> None:
    document = cases.changed(cases.good()["wallet.transfer"], "mandate.wallet.per_transfer", cases.DELETED)
    (spoken,) = explain(load_bundle([pack_folder()]), cases.encode(document)).reasons
    absent = [value.path for line in _all(spoken.lines) for value in line.values if value.absent]
    assert absent == ["input.mandate.wallet.per_transfer"]


@pytest.mark.parametrize("path", ["action.args.body", "action.args.subject"])
def test_no_text_of_an_agents_is_in_an_explanation(path: str) -> None:
    rule = 'deny contains {"code": "site.x", "message": "No."} if not _good\n\n_good if input.%s == "fine"' % path  # noqa: UP031
    document: dict[str, Any] = cases.changed(recordings.mail(), path, SECRET + "y" * 200)
    text = str(explain(cases.with_site(rule), cases.encode(document)))
    assert "site.x" in text
    assert "yyyyyyyyyy" * 10 not in text
    assert (SECRET in text) == (path == "action.args.subject")


def test_a_mails_body_stays_unread_when_a_rule_hands_it_to_a_function() -> None:
    rule = 'deny contains {"code": "site.x", "message": "No."} if not _is(input.action.args.body, "fine")\n\n'
    rule += "_is(what, wanted) if what == wanted"
    document = cases.changed(recordings.mail(), "action.args.body", "short hunter2")
    found = explain(cases.with_site(rule), cases.encode(document))
    assert [each.code for each in found.reasons] == ["site.x"]
    assert "what == wanted" in str(found)
    assert "hunter2" not in str(found)


def test_a_huge_document_is_explained_and_the_search_bounded() -> None:
    document = cases.changed(cases.good()["wallet.transfer"], "facts.payee.listed", False)
    document["facts"]["many"] = ["x" * 1000] * 3000
    found = explain(load_bundle([pack_folder()]), cases.encode(document))
    assert [each.code for each in found.reasons] == ["transfer.payee_not_listed"]
    assert len(str(found)) < 20_000
