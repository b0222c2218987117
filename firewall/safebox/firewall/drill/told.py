"""What an agent was told, in the three words of policy, whichever gateway told it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Final, NamedTuple, cast

from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.drill.wire import Answered, error_of

STRICT: Final = {Verdict.ALLOW: 0, Verdict.HOLD: 1, Verdict.DENY: 2}
"""How much each answer keeps from happening."""
_TRIED: Final = (502, 504)
"""It was allowed and went wrong afterwards."""
_OK, _HELD = 200, 202


class Told(NamedTuple):
    """One answer: the verdict, its first code, the decision's name, and what else is worth a word."""

    verdict: Verdict
    code: str = ""
    decision: str = ""
    note: str = ""
    result: Any = None


def allowed(note: str = "") -> Told:
    """It was let through."""
    return Told(Verdict.ALLOW, note=note)


def stopped(code: str = "", note: str = "") -> Told:
    """It was stopped."""
    return Told(Verdict.DENY, code, note=note)


def mildest(told: Sequence[Told]) -> Told:
    """Of several answers to attacks, the one that let most through: it is what counts."""
    return min(told, key=lambda each: STRICT[each.verdict])


def of_http(answered: Answered) -> Told:
    """What the tools or the inference gateway said."""
    error = error_of(answered.document)
    code, decision = str(error.get("code") or ""), str(error.get("decision_id") or "")
    if answered.status == _OK:
        return Told(Verdict.ALLOW, result=answered.document.get("result", answered.document))
    if answered.status == _HELD or error.get("type") == "action_held":
        return Told(Verdict.HOLD, code, decision)
    if answered.status in _TRIED:
        return Told(Verdict.ALLOW, code, decision, "it was tried, and failed afterwards")
    return Told(Verdict.DENY, code or "connection.closed", decision)


def of_rpc(answered: Answered, holds: Container[str]) -> Told:
    """What the wallet said to one request."""
    if answered.status != _OK:
        return of_http(answered)
    return of_rpc_answer(answered.document, holds)


def of_rpc_answer(document: Any, holds: Container[str]) -> Told:
    """What it said to one element of a batch."""
    error = error_of(document)
    if not error:
        return Told(Verdict.ALLOW, result=document.get("result") if isinstance(document, dict) else document)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    found = error.get("data")
    data = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    decision = str(data.get("decision_id") or "")
    code = str(data.get("code") or f"rpc {error.get('code')}")
    if code.startswith("firewall.effect_"):
        return Told(Verdict.ALLOW, code, decision, "it was tried, and failed afterwards")
    return Told(Verdict.HOLD if decision in holds else Verdict.DENY, code, decision)


def of_reply(reply: Reply) -> Told:
    """What the pipeline itself said."""
    match reply.status:
        case Status.DONE | Status.FAILED | Status.UNKNOWN:
            verdict = Verdict.ALLOW
        case Status.HELD:
            verdict = Verdict.HOLD
        case _:
            verdict = Verdict.DENY
    return Told(verdict, reply.code, reply.decision_id or "", result=reply.result)
