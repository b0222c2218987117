"""What the agent is told: a status, a code, a short message, when to retry, a decision id. Never a threshold."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from safebox.firewall.core.decision import Decision, Reason, Verdict
from safebox.firewall.errors import CallerError, EffectError, SafeboxError


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
    """The pipeline's answer to one call. `result` is there only when `status` is done."""

    status: Status
    decision_id: str | None = None
    code: str = ""
    message: str = ""
    reasons: tuple[Reason, ...] = ()
    result: dict[str, Any] | None = None
    retry_after_s: int | None = None


def refused(decision: Decision) -> Reply:
    """Say a deny or a hold. A deny whose obligations name `retry_after_s` is a limit: asking later may pass."""
    first = decision.answer.reasons[0]
    later = decision.answer.obligations.get("retry_after_s")
    retry = later if type(later) is int and later > 0 else None
    if decision.verdict is Verdict.HOLD:
        status = Status.HELD
    else:
        status = Status.DENIED if retry is None else Status.LIMITED
    return Reply(
        status=status,
        decision_id=decision.id,
        code=first.code,
        message=first.message,
        reasons=decision.answer.reasons,
        retry_after_s=retry,
    )


def invalid(error: CallerError) -> Reply:
    """Say that the request can't be understood, and why."""
    return Reply(status=Status.INVALID, code=error.code, message=error.cause)


def could_not(error: SafeboxError, decision_id: str | None = None) -> Reply:
    """Say that the firewall couldn't answer or act; the cause stays in the firewall's own log."""
    status = Status.UNAVAILABLE
    if isinstance(error, EffectError):
        status = Status.UNKNOWN if error.unknown else Status.FAILED
    message = error.cause if isinstance(error, EffectError) else "the firewall can't answer now; nothing was done"
    return Reply(status=status, decision_id=decision_id, code=error.code, message=message)
