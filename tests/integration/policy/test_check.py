"""`safebox.firewall.policytools.review`: each thing that goes wrong is found, at its line, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safebox.firewall.engines.bundle import pack_folder
from safebox.firewall.engines.validate import examine
from safebox.firewall.policytools import check, review

HEAD = """# METADATA
# title: Site rules about mail
# description: For tests.
package safebox.site.email

"""
RULE = """# METADATA
# title: No mail on Sundays
# description: For tests.
# custom:
#   code: site.sunday
#   threat: spam
#   severity: low
#   remedy: Wait for Monday.
deny contains {"code": "site.sunday", "message": "Not today."} if not _good
"""
GOOD = f'{HEAD}{RULE}\n_good if input.action.args.subject != "Sunday"\n'
TEST = 'package safebox.site.email_test\n\ntest_it if {\n\t"site.sunday" != ""\n}\n'


def found(
    folder: Path, text: str, *, name: str = "safebox/site/email/email.rego", test: str = TEST
) -> list[tuple[str, int]]:
    for path, content in ((name, text), ("safebox/site/email/email_test.rego", test)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return [(finding.code, finding.line) for finding in check([pack_folder(), folder])]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests write ends no process, so the child that costs most of the time can be left out."""
    monkeypatch.setattr(review, "validate", examine)


def test_the_pack_has_no_findings() -> None:
    assert check([pack_folder()]) == []


def test_a_good_rule_has_no_findings(tmp_path: Path) -> None:
    assert found(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ("if not _good", "if not", "policy.syntax", 16),
        ("package safebox.site.email", "package safebox.site.mail", "policy.path", 4),
        ('args.subject != "Sunday"', "time > time.now_ns()", "policy.function", 16),
        ("if not _good", "if not deny", "policy.recursion", 14),
        ("# METADATA\n# title: No", "# No", "policy.metadata", 13),
        ("# title: No mail on Sundays\n", "", "policy.metadata", 13),
        ("#   remedy: Wait for Monday.\n", "", "policy.metadata", 13),
        ("severity: low", "severity: terrible", "policy.metadata", 14),
        ("remedy: Wait for Monday.", "remedy: [Wait]", "policy.metadata", 13),
        ("remedy: Wait for Monday.", "remedy: Wait: then", "policy.metadata", 13),
        ("#   code: site.sunday", "#   code: site.monday", "policy.code", 14),
        ('"code": "site.sunday"', '"code": "email.sunday"', "policy.code", 14),
        ('"Not today."', '"At most 5 a day."', "policy.message", 14),
        ('"message": "Not today."', '"message": input.action.tool', "policy.reason", 14),
        ("if not _good", "if input.facts.rates.hour > 5", "policy.unsafe_deny", 14),
        ("if not _good", "if not input.facts.rates.hour < 5", "policy.unguarded_order", 14),
        ('args.subject != "Sunday"', "args.minutes < 5", "policy.unguarded_order", 16),
        ("_good if", "default allowed := true\n\n_good if", "policy.default_allow", 16),
        (
            "package safebox.site.email\n",
            "package safebox.site.email\n\nimport data.data.limits\n",
            "policy.unused_import",
            6,
        ),
        ('args.subject != "Sunday"', 'args.subjekt != "Sunday"', "policy.unknown_field", 16),
        ('args.subject != "Sunday"', 'args["subjekt"] != "Sunday"', "policy.unknown_field", 16),
        ('action.args.subject != "Sunday"', 'facts.payee.listet != "Sunday"', "policy.unknown_field", 16),
        (
            'if input.action.args.subject != "Sunday"',
            "if {\n\tsubject := input.action.args\n}",
            "policy.unused_variable",
            17,
        ),
        ("_good if", "_other(a, b) := a\n\n_good if", "policy.unused_variable", 16),
    ],
)
def test_it_is_found_where_it_is(tmp_path: Path, old: str, new: str, code: str, line: int) -> None:
    assert old in GOOD
    assert (code, line) in found(tmp_path, GOOD.replace(old, new))


GUARDED = "if {\n\tis_number(input.facts.rates.minute)\n\tinput.facts.rates.minute < 5\n}"


def test_a_guarded_comparison_is_fine(tmp_path: Path) -> None:
    text = GOOD.replace('if input.action.args.subject != "Sunday"', GUARDED)
    assert found(tmp_path, text) == []


HOUR = "is_number(input.facts.rates.hour)\n\tinput.facts.rates.hour"


@pytest.mark.parametrize(
    ("rules", "lines"),
    [
        ('_good if not startswith(input.action.args.subject, "S")', [16]),
        ('_good if {\n\tis_string(input.action.args.subject)\n\tnot startswith(input.action.args.subject, "S")\n}', []),
        (f"_good if not _worse\n\n_worse if {{\n\t{HOUR} > 5\n}}", [20]),
        (f"_good if _better\n\n_better if {{\n\t{HOUR} <= 5\n}}", []),
        ('_good if not _worse\n\n_worse if input.action.caller == "agent"', []),
        ('_good if not _worse\n\n_worse if not _fine\n\n_fine if not input.action.args.subject == "x"', [20]),
    ],
)
def test_a_helper_that_an_absent_field_turns_round_is_found(tmp_path: Path, rules: str, lines: list[int]) -> None:
    text = GOOD.replace('_good if input.action.args.subject != "Sunday"', rules)
    assert [line for code, line in found(tmp_path, text) if code == "policy.unsafe_helper"] == lines


def test_a_bad_case_in_a_helper_is_found(tmp_path: Path) -> None:
    text = GOOD.replace("if not _good", "if _good").replace("Sunday", "Monday")
    assert ("policy.unsafe_helper", 16) in found(tmp_path, text)


@pytest.mark.parametrize(
    "path",
    [
        "action.args.to", "action.args.amount.units", "action.args.attachments[_].digest", "mandate.wallet.payees.acme",
        "facts.money.charges[_].remaining", "facts.self_overlap.share_bp", "facts.launch.live", "run.depth",
    ],
)  # fmt: skip
def test_every_field_there_is_may_be_read(tmp_path: Path, path: str) -> None:
    assert found(tmp_path, GOOD.replace("action.args.subject", path)) == []


def test_a_better_way_to_write_it_is_said(tmp_path: Path) -> None:
    found(tmp_path, GOOD.replace("if not _good", "if input.facts.rates.hour > data.data.limits.most"))
    (remedy,) = [each.remedy for each in check([pack_folder(), tmp_path]) if each.code == "policy.unsafe_deny"]
    good = "is_number(input.facts.rates.hour); input.facts.rates.hour <= data.data.limits.most"
    assert f"_good if {{ {good} }}" in remedy
    misspelt = GOOD.replace("args.subject", "args.subjekt")
    found(tmp_path, misspelt)
    assert "did you mean 'subject'?" in {each.remedy for each in check([pack_folder(), tmp_path])}


def test_a_code_that_no_test_names_is_found(tmp_path: Path) -> None:
    assert ("policy.untested", 14) in found(tmp_path, GOOD, test="package safebox.site.email_test\n")


def test_rules_about_a_kind_nobody_has_are_found(tmp_path: Path) -> None:
    text = GOOD.replace("site.email", "site.mails")
    assert ("policy.site_kind", 4) in found(tmp_path, text, name="safebox/site/mails/mails.rego")


def test_a_bundle_that_says_yes_to_nothing_is_found(tmp_path: Path) -> None:
    text = GOOD + '\nallow contains "site.all" if not input.facts.payee\n'
    # Without a mandate every domain denies, whatever else says yes: here only METADATA is missing.
    assert ("policy.metadata", 18) in found(tmp_path, text)
    main = tmp_path / "alone/safebox/main/main.rego"
    main.parent.mkdir(parents=True)
    main.write_text('package safebox.main\n\ndecision := {"verdict": "allow", "reasons": [], "obligations": {}}\n')
    assert "policy.refused" in {finding.code for finding in check([tmp_path / "alone"])}


def test_a_folder_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    assert [finding.code for finding in check([tmp_path / "nowhere"])] == ["policy.unreadable"]


@pytest.mark.parametrize(
    ("modes", "why"),
    [
        ({"codes": {"email.recipient_not_listed": "monitor", "rate.denials": "enforce"}}, None),
        ({"codes": {"main.caller": "monitor"}}, "main.caller can't be monitored; it is enforced"),
        ({"codes": {"main.no_rule_allows": "monitor"}}, "can't be monitored"),
        ({"codes": {"transfer.frozen": "monitor"}}, "can't be monitored"),
        ({"codes": {"email.recipient_not_listet": "monitor"}}, "no rule says email.recipient_not_listet"),
        ({"codes": {"budget.exceeded": "monitor"}}, "no rule says budget.exceeded"),
        (
            {"codes": {"email.recipient_not_listed": "warn"}},
            "'warn' is no mode; email.recipient_not_listed is enforced",
        ),
        ({"codes": {"email.recipient_not_listed": ["monitor"]}}, "is no mode"),
        ({"monitor": ["email.recipient_not_listed"]}, "monitor means nothing here"),
    ],
)
def test_a_mode_that_would_not_do_what_it_says_is_found(
    tmp_path: Path, modes: dict[str, object], why: str | None
) -> None:
    file = tmp_path / "data/modes/data.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(modes))
    findings = [found for found in check([pack_folder(), tmp_path]) if found.code != "policy.looser"]
    assert [(found.file, found.code) for found in findings] == ([(str(file), "policy.mode")] if why else [])
    assert why is None or why in findings[0].message


def test_a_rule_of_ones_own_may_be_monitored(tmp_path: Path) -> None:
    (tmp_path / "data/modes").mkdir(parents=True)
    (tmp_path / "data/modes/data.json").write_text('{"codes": {"site.sunday": "monitor"}}')
    assert found(tmp_path, GOOD) == []
