"""Policies that call out, or say something else every time, are refused: by what they call, not how it is spelt."""

from __future__ import annotations

import pytest

from safebox.firewall.engines.builtins import ALLOWED, REASONS
from safebox.firewall.engines.validate import examine
from tests.unit.policy import cases

DENY = '{"code": "site.no", "message": "No."}'
CALLS = {
    "http.send": 'http.send({"method": "get", "url": "http://169.254.169.254/"})',
    "net.lookup_ip_addr": 'net.lookup_ip_addr("example.org")',
    "opa.runtime": "opa.runtime()",
    "time.now_ns": "time.now_ns() > 0",
    "rand.intn": 'rand.intn("x", 2) == 1',
    "uuid.rfc4122": 'uuid.rfc4122("x") != ""',
    "trace": 'trace("x")',
    "print": 'print("x")',
    "numbers.range": "numbers.range(1, 1000000000)",
    "walk": "walk(input, [_, _])",
}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_rule_that_calls_it_is_refused_with_its_place(name: str) -> None:
    problem = examine(cases.with_site(f"deny contains {DENY} if {CALLS[name]}"))
    assert problem is not None
    assert name in problem
    assert problem.startswith("1/safebox/site/all/all.rego:3:")


@pytest.mark.parametrize(
    "text",
    [
        "deny contains {DENY} if {{\n\tx := http\n\t.send({{}})\n}}",
        'deny contains {DENY} if http["send"]({{}})',
        "deny contains {DENY} if count([x | x := http.send({{}})]) > 0",
        "deny contains {DENY} if not http.send({{}})",
        "deny contains {DENY} if every x in [http.send({{}})] {{ x }}",
        "deny contains {DENY} if _helper(http.send({{}}))\n\n_helper(_)",
        "default later := 1\n\nlater := http.send({{}})",
        "_f(x) := http.send(x)\n\ndeny contains {DENY} if _f({{}})",
        'deny contains {{"code": "site.no", "message": http.send({{}})}}',
        "deny contains {DENY} if {{\n\tinput.a\n}} else := http.send({{}})",
    ],
)
def test_no_place_in_a_rule_hides_a_call(text: str) -> None:
    assert examine(cases.with_site(text.format(DENY=DENY))) is not None


def test_a_helper_file_hides_no_call() -> None:
    assert examine(cases.with_module("1/x/x.rego", "package x\n\ny := opa.runtime()\n")) is not None


def test_naming_them_in_texts_and_comments_is_fine() -> None:
    text = (
        '# http.send is not for us\ndeny contains {"code": "site.no", "message": "http.send"} if not input.action.tool'
    )
    assert examine(cases.with_site(text)) is None


def test_own_functions_may_be_called() -> None:
    own = f"_is(x) if x == 1\n\ndeny contains {DENY} if _is(input.x)"
    anothers = f"deny contains {DENY} if data.safebox.money.padded(2)"
    assert examine(cases.with_site(f"{own}\n\n{anothers}")) is None


def test_nothing_is_both_allowed_and_refused() -> None:
    assert not ALLOWED & REASONS.keys()
