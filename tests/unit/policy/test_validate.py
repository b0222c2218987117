"""`safebox.firewall.engines.validate`: what keeps a bundle from coming into force."""

from __future__ import annotations

import pytest

from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine, restore_program
from safebox.firewall.engines.validate import check_bundle, examine
from safebox.firewall.errors import PolicyUnavailable
from tests.unit.policy import cases

REASON = '{"code": "site.no", "message": "No."}'


def test_the_pack_may_come_into_force() -> None:
    assert examine(load_bundle([pack_folder()])) is None


def test_a_site_rule_may_come_into_force() -> None:
    assert examine(cases.with_site(f"deny contains {REASON} if not input.action.tool")) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("deny contains", "expecting expression"),
        ('deny contains "text"', "wrong shape"),
        (f"deny contains {REASON} if some_unknown_function(1)", "not an allowed function"),
        (f"deny contains {REASON} if data.nobody.knows(1)", "not an allowed function"),
        ("deny contains x if some x in data.safebox.site.all.deny", "depend on themselves"),
        ("deny contains x if some x in data.safebox.main.decision.reasons", "depend on themselves"),
        (f"deny contains {REASON} if count(data.safebox) > 0", "depend on themselves"),
        (f"deny contains {REASON} if a\n\na if not b\n\nb if not a", "depend on themselves"),
        (f"deny contains {REASON} if f(1)\n\nf(n) if f(n + 1)", "depend on themselves"),
        (f"deny contains {REASON} if input.x with input as 1", "with"),
    ],
)
def test_what_would_not_work_is_refused(text: str, why: str) -> None:
    problem = examine(cases.with_site(text))
    assert problem is not None
    assert why in problem


@pytest.mark.parametrize(
    "text",
    [
        'decision := {"verdict": "allow", "reasons": [], "obligations": {}}',
        'default decision := {"verdict": "allow", "reasons": [], "obligations": {}}',
        'decision := {"verdict": "hold", "reasons": [{"code": "a.b", "message": "m"}], "obligations": {}}',
        'decision := {"verdict": "allow", "reasons": [], "obligations": {}} if not input.action',
        'decision := {"verdict": "allow", "reasons": [], "obligations": {}} if input.action.tool == "no.such_tool"',
        "decision := true",
        "decision := {}",
        "decision := []",
        'other := "x"',
        'decision := {"verdict": "deny", "reasons": [{"code": "a", "message": "m"}], "obligations": {}} if input.run',
    ],
)
def test_a_pack_that_says_anything_but_no_to_nothing_is_refused(text: str) -> None:
    assert examine(cases.alone(text))


def test_what_the_child_compiled_judges_as_what_is_compiled_here() -> None:
    pack = load_bundle([pack_folder()])
    program = check_bundle(pack).program
    assert program is not None
    ours, childs = EmbeddedEngine(pack), EmbeddedEngine(pack, program=restore_program(program))
    for document in map(cases.encode, cases.good().values()):
        assert childs.answer(document) == ours.answer(document)


@pytest.mark.parametrize("cut", [0, 3, 100, -1])
def test_a_program_that_was_cut_off_is_refused(cut: int) -> None:
    program = check_bundle(load_bundle([pack_folder()])).program
    assert program is not None
    with pytest.raises(PolicyUnavailable, match="can't be read"):
        restore_program(program[:cut])
