"""What the agent is told: a status, a code, a short message, when to retry, a decision id. Never a threshold."""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec

from safebox.firewall.core.decision import Reason, Verdict
from safebox.firewall.core.holds import SECOND, Hold, parse_terms
from safebox.firewall.core.record import Decided, Settled
from safebox.firewall.errors import CallerError, FirewallError, OutcomeUnrecorded, Withheld

ASK_AGAIN_S: Final = 5
"""After how many seconds an agent may look again for what people decided."""
_OVER: Final = {
    "refused": Reason("hold.refused", "A person said no to this."),
    "expired": Reason("hold.expired", "Nobody answered in time."),
}
_VOID: Final = Reason("hold.void", "What was held can no longer be done.")


class Status(enum.StrEnum):
    """How a call ended, in the protocol-neutral words each gateway translates."""

    DONE = "done"
    DENIED = "denied"
    HELD = "held"
    LIMITED = "limited"
    INVALID = "invalid"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The pipeline's answer to one call.

    `result` is there when `status` is done, and when it is unknown what is known nevertheless: a payment's hash.
    """

    status: Status
    decision_id: str | None = None
    code: str = ""
    message: str = ""
    reasons: tuple[Reason, ...] = ()
    result: dict[str, Any] | None = None
    retry_after_s: int | None = None


def refused(decided: Decided) -> Reply:
    """Say a deny or a hold. A deny whose obligations name `retry_after_s` is a limit: asking later may pass."""
    answer = decided.answer
    retry: int | None
    if answer.verdict is Verdict.HOLD:
        terms = parse_terms(answer.obligations)
        status, retry = Status.HELD, ASK_AGAIN_S if terms is None else terms.window_s or ASK_AGAIN_S
    else:
        later = answer.obligations.get("retry_after_s")
        retry = later if type(later) is int and later > 0 else None
        status = Status.DENIED if retry is None else Status.LIMITED
    return Reply(
        status=status,
        decision_id=decided.decision,
        code=answer.reasons[0].code,
        message=answer.reasons[0].message,
        reasons=answer.reasons,
        retry_after_s=retry,
    )


def told(decided: Decided, settled: Settled | None) -> Reply:
    """Say what became of an allowed action; without an outcome it is unknown."""
    known = None
    if settled is not None and settled.status == "done":
        return Reply(status=Status.DONE, decision_id=decided.decision, result=settled.result)
    if settled is not None and settled.status == "failed":
        status, code, message = Status.FAILED, "firewall.effect_failed", settled.detail
    else:
        status, code, message = Status.UNKNOWN, "firewall.effect_unknown", "it is not known whether this was done"
        known = settled.result or None if settled is not None else None
    reasons = (Reason(code, message),)
    return Reply(status=status, decision_id=decided.decision, code=code, message=message, reasons=reasons, result=known)


def about(hold: Hold, now: int) -> Reply:
    """Say what became of a held decision so far. It keeps the name it was given when it was held."""
    if hold.used is None:
        return _waiting(hold, now)
    if not hold.used.allowed:
        return msgspec.structs.replace(refused(hold.used), decision_id=hold.id)
    if hold.outcome is None:
        return msgspec.structs.replace(refused(hold.decided), retry_after_s=1)
    return msgspec.structs.replace(told(hold.used, hold.outcome), decision_id=hold.id)


def _waiting(hold: Hold, now: int) -> Reply:
    if hold.is_open(now):
        left = None if hold.passes_ns is None else max(1, (hold.passes_ns - now) // SECOND + 1)
        return msgspec.structs.replace(refused(hold.decided), retry_after_s=left or ASK_AGAIN_S)
    reason = _OVER.get(hold.closed or "expired", _VOID)
    return Reply(status=Status.DENIED, decision_id=hold.id, code=reason.code, message=reason.message, reasons=(reason,))


def repeated(decided: Decided, settled: Settled | None) -> Reply:
    """Say again what was said under the same idempotency key."""
    return told(decided, settled) if decided.allowed else refused(decided)


def invalid(error: CallerError) -> Reply:
    """Say that the request can't be understood, and why."""
    return Reply(
        status=Status.INVALID, code=error.code, message=error.cause, reasons=(Reason(error.code, error.cause),)
    )


def could_not(error: FirewallError, decision_id: str | None = None) -> Reply:
    """Say that the firewall couldn't answer; the cause stays in the firewall's own log."""
    if isinstance(error, Withheld):
        return _withheld(error, decision_id)
    if isinstance(error, OutcomeUnrecorded):
        status, message = Status.UNKNOWN, "it was allowed, but its outcome could not be recorded yet"
    else:
        status, message = Status.UNAVAILABLE, error.told
    return Reply(
        status=status,
        decision_id=decision_id,
        code=error.code,
        message=message,
        reasons=(Reason(error.code, message),),
        retry_after_s=error.retry_after_s,
    )


def _withheld(error: Withheld, decision_id: str | None) -> Reply:
    return Reply(
        status=Status.DENIED if error.again_s is None else Status.LIMITED,
        decision_id=decision_id,
        code=error.code,
        message=error.cause,
        reasons=(Reason(error.code, error.cause),),
        retry_after_s=error.again_s,
    )
