"""What the firewall makes of another answer of policy about a recorded action."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from safebox.firewall.core import books, holds
from safebox.firewall.core.action import Call
from safebox.firewall.core.decision import Answer, Reason, Verdict, refusal
from safebox.firewall.core.document import shown_action, understand
from safebox.firewall.core.money import pad
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.policytools.enforced import Price, enforced, prices
from safebox.firewall.policytools.recorded import Recorded
from tests.unit.policy import cases

ALLOW = Answer(Verdict.ALLOW, (), {})
DENY = refusal("transfer.fee_cap", "The fee offered is too high.")
HOLD = Answer(
    Verdict.HOLD,
    (Reason("site.look", "Look at it."),),
    {"hold": {"group": "owners", "approvals": 1, "expires_s": 60}},
)
REFUSED, VOID, MORE_ASKED, WITHOUT_TERMS, NOT_KEPT, TOO_MANY, OVER_BUDGET = (
    Answer(Verdict.DENY, (reason,), {})
    for reason in (
        holds.REFUSED,
        holds.VOID,
        holds.MORE_ASKED,
        holds.WITHOUT_TERMS,
        holds.NOT_KEPT,
        holds.TOO_MANY,
        books.OVER_BUDGET,
    )
)
NO_TERMS = Answer(Verdict.HOLD, (Reason("site.look", "Look at it."),), {})


def recorded(answer: Answer, *, left: int | None = 1_000_000, **changes: Any) -> Recorded:
    """A payment of the fixtures, whose digest is that of its arguments, recorded with this answer."""
    document = cases.good()["wallet.transfer"]
    tool = TOOLS["wallet.transfer"]
    to = document["action"]["args"]["to"]
    action = understand(Call(run="run_1", tool=tool.name, arguments={"to": to, "amount": "5 wei"}), tool, "act_1", 1)
    document["action"] = msgspec.json.decode(shown_action(action, tool))
    for charge in document["facts"]["money"]["charges"]:
        charge["remaining"] = None if left is None else pad(left)
    made = Recorded(
        number=1,
        decision="dec_1",
        action_id="act_1",
        run="run_1",
        tool=tool.name,
        caller=Caller.AGENT,
        digest=action.digest,
        at_ns=1,
        document=cases.encode(document),
        judged=True,
        answer=answer,
        bundle="sha256:0",
        charges=(),
        hold=None,
    )
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize("before", [ALLOW, DENY, HOLD, OVER_BUDGET, REFUSED, TOO_MANY, WITHOUT_TERMS, NOT_KEPT])
def test_a_no_of_policy_is_a_no(before: Answer) -> None:
    assert enforced(recorded(before), DENY) == DENY


def test_a_yes_is_a_yes_where_the_budget_has_enough_left() -> None:
    assert enforced(recorded(DENY), ALLOW) == ALLOW
    assert enforced(recorded(HOLD), ALLOW) == ALLOW


@pytest.mark.parametrize("left", [0, 420_999, None])
def test_a_yes_is_refused_by_the_books_where_the_budget_has_not_enough_left(left: int | None) -> None:
    assert enforced(recorded(DENY, left=left), ALLOW) == OVER_BUDGET
    assert enforced(recorded(OVER_BUDGET, left=left), ALLOW) == OVER_BUDGET


@pytest.mark.parametrize(
    ("cost", "left", "after"),
    [(5, 5, ALLOW), (6, 5, OVER_BUDGET), (None, 5, OVER_BUDGET)],
    ids=["all", "more", "no price"],
)
def test_a_yes_is_refused_by_the_books_where_the_total_has_not_enough_left(
    cost: int | None, left: int, after: Answer
) -> None:
    made = recorded(DENY)
    document = msgspec.json.decode(made.document)
    shown = None if cost is None else {"asset": "USD", "units": pad(cost)}
    document["facts"]["total"] = {"cost": shown, "remaining": pad(left), "prices": []}
    assert enforced(msgspec.structs.replace(made, document=cases.encode(document)), ALLOW) == after


def test_the_budget_is_not_asked_about_what_the_owner_does() -> None:
    assert enforced(recorded(DENY, left=0, caller=Caller.OWNER), ALLOW) == ALLOW


@pytest.mark.parametrize("after", [ALLOW, HOLD])
def test_what_a_person_said_no_to_stays_a_no(after: Answer) -> None:
    assert enforced(recorded(REFUSED), after) == REFUSED
    assert enforced(recorded(REFUSED, hold="dec_0"), after) == REFUSED


def test_a_hold_is_one_if_people_could_approve_it() -> None:
    assert enforced(recorded(DENY), HOLD) == HOLD
    assert enforced(recorded(DENY), NO_TERMS) == WITHOUT_TERMS
    assert enforced(recorded(DENY, caller=Caller.OWNER), HOLD) == NOT_KEPT
    assert enforced(recorded(DENY, digest="sha256:other"), HOLD) == NOT_KEPT
    assert enforced(recorded(DENY, tool="no.such_tool"), HOLD) == NOT_KEPT
    assert enforced(recorded(TOO_MANY), HOLD) == TOO_MANY
    assert enforced(recorded(DENY, tool="run.start"), HOLD).reasons == (holds.NO_LAUNCH,)


def test_what_people_let_pass_is_looked_at_once_more() -> None:
    assert enforced(recorded(ALLOW, hold="dec_0"), DENY) == DENY
    assert enforced(recorded(ALLOW, hold="dec_0"), HOLD) == HOLD
    assert enforced(recorded(MORE_ASKED, hold="dec_0"), HOLD) == MORE_ASKED
    assert enforced(recorded(MORE_ASKED, hold="dec_0"), ALLOW) == ALLOW
    assert enforced(recorded(VOID, hold="dec_0"), ALLOW) == VOID


def test_what_was_allowed_without_terms_for_its_hold_then_is_allowed_now() -> None:
    assert enforced(recorded(WITHOUT_TERMS), ALLOW) == ALLOW


def test_the_price_is_the_worst_case_whatever_was_decided() -> None:
    assert prices(recorded(DENY)) == (Price("wallet", "ETH", 421_000),)


@pytest.mark.parametrize("units", ["1", "x" * 78, "-" + "0" * 77, "٣" * 78])
def test_an_amount_that_is_none_is_an_error(units: str) -> None:
    document = cases.changed(cases.good()["wallet.transfer"], "facts.money.charges.0.units", units)
    broken = msgspec.structs.replace(recorded(DENY), document=cases.encode(document))
    with pytest.raises(msgspec.ValidationError):
        enforced(broken, ALLOW)


def test_what_was_monitored_is_kept_beside_the_firewalls_own_no() -> None:
    monitored = {"monitored": [{"code": "site.x", "message": "No."}]}
    answer = enforced(recorded(REFUSED), Answer(Verdict.ALLOW, (), monitored))
    assert (answer.reasons, answer.obligations) == (REFUSED.reasons, monitored)
