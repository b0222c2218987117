"""Which of OPA's own compliance cases the embedded engine fails is known, checked in, and out of reach of policies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safebox.firewall.engines.builtins import ALLOWED, REASONS
from safebox.firewall.engines.validate import examine
from tests import opa_cases, real_parts
from tests.unit.policy import cases

KNOWN_CASES = 2_000
"""OPA 1.20.2 has 2,289."""
DENY = '{"code": "site.no", "message": "No."}'


def checked_in() -> dict[str, dict[str, str]]:
    listing: dict[str, dict[str, str]] = json.loads(opa_cases.LIST.read_text())
    return listing


@pytest.mark.opa
def test_the_list_is_what_both_forms_say_today(capsys: pytest.CaptureFixture[str]) -> None:
    folder, opa = real_parts.require("opa_cases"), real_parts.require("opa")
    asked, others = opa_cases.read(Path(folder))
    assert len(asked) > KNOWN_CASES
    assert others < len(asked) // 20, "cases that ask for something else than a rule"
    assert opa_cases.listing(asked, opa_cases.builtins(opa)) == opa_cases.LIST.read_text(), (
        "run python -m tests.opa_cases, and look at what changed"
    )
    failing = {case for found in checked_in().values() for case in found}
    with capsys.disabled():
        print(f"\n{len(asked)} of OPA's cases asked in both forms, {len(failing)} fail, all of them known")


def test_no_function_that_policies_may_call_is_on_it() -> None:
    assert not ALLOWED & checked_in().keys()


def test_a_policy_that_calls_one_on_it_is_refused_and_told_why() -> None:
    for name, found in checked_in().items():
        if name in (opa_cases.LANGUAGE, *REASONS):
            continue
        problem = examine(cases.with_site(f"deny contains {DENY} if {name}(input.x) == 1"))
        assert problem is not None, name
        assert problem.startswith(f"1/safebox/site/all/all.rego:3: {name} is not an allowed function: "), problem
        assert any(case in problem for case in found), problem
        assert "only OPA knows it" in problem or "another answer here than in OPA" in problem


def test_what_rego_itself_means_differs_only_as_is_written_down() -> None:
    """Refused at load, a conflict (no yes, see policies/README.md), or a question the firewall never asks."""
    odd = {
        case for case, wrong in checked_in()[opa_cases.LANGUAGE].items() if not wrong.startswith("compiled: refused")
    }
    assert {case for case in odd if not _is_conflict(case)} == NEVER_ASKED


def _is_conflict(case: str) -> bool:
    return checked_in()[opa_cases.LANGUAGE][case] == "compiled: no error"


NEVER_ASKED = {
    "aggregates/member check set with with both key and value",  # of the interpreter alone
    "semverisvalid/invalid type",
    "baseandvirtualdocs/base/virtual: missing input value",  # a whole package as a value
    "baseandvirtualdocs/base/virtual: undefined",
    "baseandvirtualdocs/base/virtual: undefined-2",
    "baseandvirtualdocs/enumerate virtual errors",
    "fix1863/is defined (test-fix1863-0708 0)",
    "data/nested integer",  # a number where an object has a text
    "inputvalues/loopback undefined",  # no input at all
    "virtualdocs/undefined: in array coprehension body",
    "virtualdocs/undefined: in array literal",
    "virtualdocs/undefined: in set coprehension body",
    "virtualdocs/undefined: in set literal",
    "ir/call-dynamic with mixed partial rules, ref heads",  # rules of dotted names, looked up by variables
    "ir/call-dynamic with ref heads, issue 5839, penultimate",
    "refheads/general, set leaf (shallow ref)",
    "regression/virtual-cache key scope",
}
"""Cases of which the compiled form says something else, and what they do that no policy here has cause to do."""
