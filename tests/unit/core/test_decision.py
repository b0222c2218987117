"""A yes is exactly one shape; everything else is no answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core.decision import (
    ANSWER_BYTES_MAX,
    Answer,
    Decision,
    Reason,
    Verdict,
    overruled,
    parse_answer,
    refusal,
)
from safebox.firewall.errors import PolicyUnavailable

ALLOW: dict[str, Any] = {"verdict": "allow", "reasons": [], "obligations": {}}
DENY: dict[str, Any] = {"verdict": "deny", "reasons": [{"code": "a.b", "message": "No."}], "obligations": {}}


def test_the_three_answers_are_read() -> None:
    assert parse_answer(json.dumps(ALLOW)) == Answer(Verdict.ALLOW, (), {})
    assert parse_answer(json.dumps(DENY).encode()) == Answer(Verdict.DENY, (Reason("a.b", "No."),), {})
    held = parse_answer(json.dumps(DENY | {"verdict": "hold", "obligations": {"approvals": 2}}))
    assert (held.verdict, held.obligations) == (Verdict.HOLD, {"approvals": 2})


@pytest.mark.parametrize(
    "raw",
    [
        "",
        " ",
        "null",
        "true",
        '"allow"',
        "[]",
        "{}",
        json.dumps([ALLOW]),
        json.dumps({"result": ALLOW}),
        json.dumps(ALLOW) + json.dumps(ALLOW),
        json.dumps(ALLOW)[:-1],
        '{"verdict": "deny", "verdict": "allow", "reasons": [], "obligations": {}}',
        '{"verdict": "allow", "reasons": [], "obligations": {"a": 1, "a": 2}}',
        '{"verdict": "allow", "reasons": [], "obligations": {"a": NaN}}',
        "\ufeff" + json.dumps(ALLOW),
        "\ud800",
        b"\xff",
        b'{"verdict": "allow", "reasons": [], "obligations": {"a": "\xff"}}',
        '{"verdict": "allow", "reasons": [], "obligations": {"a": ' + "[" * 10_000 + "]" * 10_000 + "}}",
    ],
)
def test_what_is_no_answer_is_no_yes(raw: str | bytes) -> None:
    with pytest.raises(PolicyUnavailable) as caught:
        parse_answer(raw)
    assert caught.value.kind == "shape"


@pytest.mark.parametrize("field", ["verdict", "reasons", "obligations"])
@pytest.mark.parametrize("wrong", [None, True, 1, 1.5, "x", "ALLOW", "allow ", ["allow"], [1], [{}], {"x": 1}])
def test_each_field_is_of_its_type_or_there_is_no_answer(field: str, wrong: object) -> None:
    if field == "obligations" and isinstance(wrong, dict):
        return  # that is one
    with pytest.raises(PolicyUnavailable):
        parse_answer(json.dumps(ALLOW | {field: wrong}))


@pytest.mark.parametrize("field", ["verdict", "reasons", "obligations"])
def test_a_missing_field_is_no_answer(field: str) -> None:
    with pytest.raises(PolicyUnavailable):
        parse_answer(json.dumps({key: value for key, value in ALLOW.items() if key != field}))


@pytest.mark.parametrize("name", ["more", "Verdict", "allow", ""])
def test_a_field_too_many_is_no_answer(name: str) -> None:
    with pytest.raises(PolicyUnavailable):
        parse_answer(json.dumps(ALLOW | {name: 1}))


@pytest.mark.parametrize("verdict", ["deny", "hold"])
def test_a_refusal_without_a_reason_is_no_answer(verdict: str) -> None:
    with pytest.raises(PolicyUnavailable, match="without a reason"):
        parse_answer(json.dumps(ALLOW | {"verdict": verdict}))


def test_an_answer_that_is_too_long_is_none() -> None:
    long = json.dumps(ALLOW | {"obligations": {"x": "y" * ANSWER_BYTES_MAX}})
    with pytest.raises(PolicyUnavailable, match="too long"):
        parse_answer(long)


ODD: list[Any] = [None, True, 1, 0.5, "", "allow", [], ["allow"], [{}], {}, {"a": []}, [DENY], DENY]
odd = st.sampled_from(ODD)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "verdict": st.sampled_from(["allow", "deny", "hold"]) | odd,
            "reasons": st.sampled_from([ALLOW["reasons"], DENY["reasons"]]) | odd,
            "obligations": st.just(ALLOW["obligations"]) | odd,
            "more": odd,
        },
    )
)
def test_only_the_exact_shape_is_ever_an_allow(document: dict[str, Any]) -> None:
    try:
        answer = parse_answer(json.dumps(document))
    except PolicyUnavailable:
        return
    assert document.keys() == ALLOW.keys()
    assert document["verdict"] == answer.verdict
    assert isinstance(document["reasons"], list)
    assert isinstance(document["obligations"], dict)
    assert answer.verdict == "allow" or answer.reasons


def test_what_stands_in_for_a_missing_yes_is_a_deny() -> None:
    answer = refusal("firewall.policy_unavailable", "no")
    assert (answer.verdict, answer.obligations) == (Verdict.DENY, {})
    decision = Decision("dec_1", answer, "sha256:0")
    assert (decision.verdict, decision.code) == (Verdict.DENY, "firewall.policy_unavailable")
    assert Decision("dec_2", Answer(Verdict.ALLOW, (), {}), "").code == ""


SAID = [{"code": "site.hours", "message": "Not now."}]


@pytest.mark.parametrize("verdict", ["allow", "deny", "hold"])
def test_what_was_only_monitored_is_read_beside_any_verdict(verdict: str) -> None:
    reasons: list[Any] = [] if verdict == "allow" else DENY["reasons"]
    raw = json.dumps({"verdict": verdict, "reasons": reasons, "obligations": {"monitored": SAID, "hold": {}}})
    answer = parse_answer(raw)
    assert answer.verdict == verdict
    assert answer.monitored == (Reason("site.hours", "Not now."),)
    assert parse_answer(json.dumps(ALLOW)).monitored == ()


@pytest.mark.parametrize(
    "said",
    [
        *(None, True, 1, "site.hours", [], {}, ["site.hours"], [None], [[]], [{}], SAID[0]),
        *([{"code": "a.b"}], [{"message": "m"}], [{"code": 1, "message": "m"}], [{"code": "a.b", "message": None}]),
        *([SAID[0], {}], [SAID[0] | {"more": 1}]),
    ],
)
def test_what_was_monitored_is_a_list_of_reasons_or_there_is_no_answer(said: object) -> None:
    with pytest.raises(PolicyUnavailable) as caught:
        parse_answer(json.dumps(ALLOW | {"obligations": {"monitored": said}}))
    assert caught.value.kind == "shape"


def test_a_refusal_by_the_firewall_keeps_what_was_monitored() -> None:
    answer = Answer(Verdict.ALLOW, (), {"monitored": SAID, "retry_after_s": 5})
    assert overruled(answer, Reason("budget.exceeded", "no")) == Answer(
        Verdict.DENY, (Reason("budget.exceeded", "no"),), {"monitored": SAID}
    )
    assert overruled(parse_answer(json.dumps(ALLOW)), Reason("a.b", "no")) == refusal("a.b", "no")
