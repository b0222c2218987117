"""What an agent is told: how it ended and what to do, never a threshold or an inner cause."""

import msgspec
import pytest

from safebox.firewall.core.decision import Answer, Reason, Verdict
from safebox.firewall.core.record import Decided, Settled
from safebox.firewall.core.reply import ASK_AGAIN_S, Status, could_not, invalid, refused, repeated, told
from safebox.firewall.errors import (
    CallerError,
    EffectError,
    FactsUnavailable,
    FirewallError,
    LedgerUnavailable,
    OutcomeUnrecorded,
    PolicyUnavailable,
)
from tests.unit.cli import sample_ledger

REASONS = (Reason("a.first", "First."), Reason("a.second", "Second."))
TRANSFER, SETTLED = sample_ledger.TRANSFER, sample_ledger.SETTLED


def decided(verdict: Verdict, obligations: dict[str, object] | None = None) -> Decided:
    return msgspec.structs.replace(TRANSFER, answer=Answer(verdict, REASONS, obligations or {}), charges=())


def settled(status: str) -> Settled:
    return msgspec.structs.replace(SETTLED, status=status, detail="the relay refused it")


@pytest.mark.parametrize(
    ("verdict", "obligations", "status", "retry"),
    [
        (Verdict.DENY, {}, Status.DENIED, None),
        (Verdict.HOLD, {}, Status.HELD, ASK_AGAIN_S),
        (Verdict.HOLD, {"hold": {"group": "g", "approvals": 3, "expires_s": 600}}, Status.HELD, ASK_AGAIN_S),
        (Verdict.HOLD, {"hold": {"group": "g", "challenge_s": 60, "expires_s": 600}}, Status.HELD, 60),
        (Verdict.DENY, {"retry_after_s": 60}, Status.LIMITED, 60),
        (Verdict.DENY, {"retry_after_s": 0}, Status.DENIED, None),
        (Verdict.DENY, {"retry_after_s": -5}, Status.DENIED, None),
        (Verdict.DENY, {"retry_after_s": True}, Status.DENIED, None),
        (Verdict.DENY, {"retry_after_s": "60"}, Status.DENIED, None),
        (Verdict.DENY, {"retry_after_s": 1.5}, Status.DENIED, None),
    ],
)
def test_a_refusal_is_told_with_all_its_reasons(
    verdict: Verdict, obligations: dict[str, object], status: Status, retry: int | None
) -> None:
    reply = refused(decided(verdict, obligations))
    assert (reply.status, reply.retry_after_s) == (status, retry)
    assert (reply.code, reply.message, reply.reasons) == ("a.first", "First.", REASONS)
    assert reply.decision_id == TRANSFER.decision
    assert reply.result is None


def test_what_was_done_has_a_result_and_what_is_unknown_what_is_known_of_it() -> None:
    done = told(TRANSFER, settled("done"))
    assert (done.status, done.result, done.code) == (Status.DONE, SETTLED.result, "")
    failed = told(TRANSFER, settled("failed"))
    assert (failed.status, failed.result, failed.code) == (Status.FAILED, None, "firewall.effect_failed")
    nothing = msgspec.structs.replace(settled("unknown"), result={})
    for outcome, known in ((settled("unknown"), SETTLED.result), (nothing, None), (None, None)):
        unknown = told(TRANSFER, outcome)
        assert (unknown.status, unknown.result, unknown.code) == (Status.UNKNOWN, known, "firewall.effect_unknown")


def test_under_the_same_key_the_same_is_said_again() -> None:
    assert repeated(TRANSFER, settled("done")) == told(TRANSFER, settled("done"))
    assert repeated(TRANSFER, None).status is Status.UNKNOWN
    denied = decided(Verdict.DENY)
    assert repeated(denied, None) == refused(denied)


@pytest.mark.parametrize(
    "error",
    [
        FirewallError("secret path /x"),
        PolicyUnavailable("secret path /x"),
        LedgerUnavailable("secret path /x"),
        FactsUnavailable("secret path /x"),
        EffectError("secret path /x"),
    ],
)
def test_the_cause_of_our_own_failure_stays_with_us(error: FirewallError) -> None:
    reply = could_not(error, "dec_1")
    assert (reply.status, reply.code, reply.retry_after_s) == (Status.UNAVAILABLE, error.code, 1)
    assert "secret" not in reply.message
    assert "nothing was done" in reply.message


def test_an_outcome_that_could_not_be_written_is_not_called_undone() -> None:
    reply = could_not(OutcomeUnrecorded("disk full"))
    assert (reply.status, reply.code) == (Status.UNKNOWN, "firewall.effect_unknown")
    assert "nothing was done" not in reply.message


def test_what_cannot_be_understood_is_told_why() -> None:
    reply = invalid(CallerError("an address is 0x and 40 hexadecimal digits"))
    assert (reply.status, reply.code, reply.decision_id) == (Status.INVALID, "request.invalid", None)
    assert reply.message == reply.reasons[0].message == "an address is 0x and 40 hexadecimal digits"
