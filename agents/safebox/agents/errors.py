"""Why a tool call has no result.

    ToolError
    ├── BadRequest      the call itself is wrong (400, 404, 409, 413): change it
    ├── Denied          policy says no (403): asking again changes nothing
    ├── Held            waits for people (202): ask again later, or look with `Client.decision`
    ├── Limited         too fast (429): ask again after `retry_after` seconds
    ├── Unavailable     the firewall could not decide (503) or was never reached: nothing was done
    ├── EffectFailed    it was allowed, was tried and failed (502)
    └── EffectUnknown   nobody can say whether it was done (504, or the answer was lost)

Codes that start with `client.` are made here, all others come from the firewall.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

UNREACHABLE = "client.unreachable"
ANSWER_LOST = "client.answer_lost"
MALFORMED_ANSWER = "client.malformed_answer"
BAD_ARGUMENTS = "client.bad_arguments"
UNKNOWN_TOOL = "request.unknown_tool"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason the firewall gave: a code that programs compare and a message that people read."""

    code: str
    message: str


class ToolError(Exception):
    """A tool call that has no result; raised only as one of the subclasses.

    Attributes:
        code: First reason's code, `<domain>.<reason>`.
        message: What it means, one sentence.
        reasons: All reasons given, possibly none.
        decision_id: The firewall's record of the decision, to show to the owner.
        retry_after: Seconds to wait before asking again, or None.
        idempotency_key: Asking again under this key never does the thing twice.
    """

    verdict: ClassVar[str] = "error"
    advice: ClassVar[str] = ""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        reasons: tuple[Reason, ...] = (),
        decision_id: str | None = None,
        retry_after: float | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.reasons = reasons
        self.decision_id = decision_id
        self.retry_after = retry_after
        self.idempotency_key = idempotency_key

    def document(self) -> dict[str, object]:
        """Return what a model should be told, as a JSON object: the code, the message, and what to do now."""
        return {
            "verdict": self.verdict,
            "code": self.code,
            "message": self.message,
            "reasons": [{"code": reason.code, "message": reason.message} for reason in self.reasons],
            "decision_id": self.decision_id,
            "retry_after": self.retry_after,
            "advice": self.advice,
        }


class BadRequest(ToolError):
    """The call itself is wrong: unknown tool, bad arguments, too large, or a key used for another call."""

    verdict = "invalid"
    advice = "Correct the call; the same call will be refused again."


class Denied(ToolError):
    """Policy says no."""

    verdict = "denied"
    advice = (
        "This is a rule your owner set; nothing was done. Do not repeat the call or look for a way around. "
        "Go on with the rest of your task and report this."
    )


class Held(ToolError):
    """The decision waits for people; nothing has been done yet."""

    verdict = "held"
    advice = (
        "A person must approve this first; nothing has been done yet. Go on with other work. "
        "The same call, made again later, tells what became of it; no other call gets around it."
    )


class Limited(ToolError):
    """Too many calls in too short a time."""

    verdict = "limited"
    advice = "Nothing was done. Wait for retry_after seconds before you call this again."


class Unavailable(ToolError):
    """The firewall could not decide or was never reached, so nothing was done."""

    verdict = "unavailable"
    advice = "Nothing was done. Try again later."


class EffectFailed(ToolError):
    """The action was allowed, was tried, and failed."""

    verdict = "failed"
    advice = "It was allowed but it failed. Read the message before you decide whether to try again."


class EffectUnknown(ToolError):
    """Nobody can say whether the action was done."""

    verdict = "unknown"
    advice = "It may have been done. Check (balance, status) before you do it again, or you may do it twice."


_BY_STATUS: Mapping[int, type[ToolError]] = {
    202: Held,
    400: BadRequest,
    403: Denied,
    404: BadRequest,
    409: BadRequest,
    413: BadRequest,
    429: Limited,
    502: EffectFailed,
    503: Unavailable,
}


def from_answer(status: int, document: object, *, retry_after: float | None, key: str | None) -> ToolError:
    """Read the gateway's error answer.

    Args:
        status: HTTP status. One that the gateway does not document is an `EffectUnknown`.
        document: The parsed body, `{"error": {...}}`; None if it was not JSON.
        retry_after: Seconds from the Retry-After header; the body's own number goes first.
        key: The idempotency key of the call.
    """
    kind = _BY_STATUS.get(status, EffectUnknown)
    fields = _fields(document, "error")
    code, message = fields.get("code"), fields.get("message")
    if not isinstance(code, str):
        code, message = MALFORMED_ANSWER, f"the gateway answered {status} without a code"
    decision_id = fields.get("decision_id")
    return kind(
        code,
        message if isinstance(message, str) else code,
        reasons=_reasons(fields.get("reasons")),
        decision_id=decision_id if isinstance(decision_id, str) else None,
        retry_after=seconds(fields.get("retry_after"), otherwise=retry_after),
        idempotency_key=key,
    )


def seconds(value: object, *, otherwise: float | None = None) -> float | None:
    """Return a finite, non-negative number of seconds, or `otherwise`."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    return otherwise


def _fields(document: object, name: str) -> Mapping[str, object]:
    if not isinstance(document, dict):
        return {}
    inner = cast("dict[str, object]", document).get(name)
    return cast("dict[str, object]", inner) if isinstance(inner, dict) else {}


def _reasons(value: object) -> tuple[Reason, ...]:
    if not isinstance(value, list):
        return ()
    entries = [cast("dict[str, object]", entry) for entry in cast("list[object]", value) if isinstance(entry, dict)]
    return tuple(Reason(str(entry.get("code", "")), str(entry.get("message", ""))) for entry in entries)
