"""From a call to what policy is shown, and from its answer to what the ledger keeps.

The policy input is one JSON document in which every field is always present. What the ledger keeps of a decision is
its parts, as they were shown, so that the decision can be made again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from safebox.firewall.core.action import Action, Call, canonical, digest_of
from safebox.firewall.core.decision import Answer
from safebox.firewall.core.facts import rfc3339
from safebox.firewall.core.outcome import Outcome
from safebox.firewall.core.record import Charge, Decided, Settled
from safebox.firewall.core.tools import Tool
from safebox.firewall.core.total import with_total

_NULL = msgspec.Raw(b"null")


def understand(call: Call, tool: Tool, action_id: str, now_ns: int) -> Action:
    """Make a call an action.

    Raises:
        CallerError: if its arguments aren't exactly what the tool takes.
    """
    args = tool.parse(call.arguments)
    return Action(
        id=action_id,
        run=call.run,
        tool=tool.name,
        kind=tool.kind,
        effects=tool.effects,
        caller=call.caller,
        args=args,
        digest=digest_of((tool.name, args)),
        key=call.key,
        received_ns=now_ns,
    )


def shown_action(action: Action, tool: Tool) -> msgspec.Raw:
    """`action` of the policy input, as canonical JSON."""
    shown: dict[str, Any] = {
        "id": action.id,
        "tool": action.tool,
        "kind": action.kind,
        "effects": action.effects,
        "args": tool.view(action.args),
        "time": rfc3339(action.received_ns),
        "caller": action.caller,
    }
    return msgspec.Raw(canonical(shown))


def policy_input(action: msgspec.Raw, run: msgspec.Raw, mandate: msgspec.Raw, facts: msgspec.Raw) -> bytes:
    """Join the four parts."""
    return b'{"action":%b,"run":%b,"mandate":%b,"facts":%b}' % (action, run, mandate, facts)


def decided_event(
    action: Action,
    answer: Answer,
    decision: str,
    bundle: str,
    charges: tuple[Charge, ...],
    plan: dict[str, Any],
    shown: msgspec.Raw,
    facts: msgspec.Raw,
    firewall: str = "",
) -> Decided:
    """What the ledger keeps of a decision; only an allow carries charges and a plan."""
    allowed = answer.verdict == "allow"
    return Decided(
        at_ns=action.received_ns,
        decision=decision,
        action_id=action.id,
        run=action.run,
        tool=action.tool,
        kind=action.kind,
        caller=action.caller,
        key=action.key,
        digest=action.digest,
        bundle=bundle,
        answer=answer,
        charges=charges if allowed else (),
        plan=plan if allowed else {},
        action=shown,
        facts=facts,
        firewall=firewall,
        hold=None if action.approval is None else action.approval.hold,
    )


def undecided_event(action: Action, tool: Tool, answer: Answer, decision: str, bundle: str) -> Decided:
    """A refusal because something failed. It binds no idempotency key: asking again may have another answer."""
    shown = shown_action(action, tool)
    return msgspec.structs.replace(decided_event(action, answer, decision, bundle, (), {}, shown, _NULL), key=None)


def settled_event(decided: Decided, outcome: Outcome, *, at_ns: int, recovered: bool = False) -> Settled:
    """What the ledger keeps of an outcome; of the total at the prices that were recorded with the decision."""
    outcome = with_total(decided, outcome)
    return Settled(
        at_ns=at_ns,
        decision=decided.decision,
        action_id=decided.action_id,
        run=decided.run,
        tool=decided.tool,
        status=outcome.status,
        charges=outcome.charges,
        refunds=outcome.refunds,
        result=outcome.result,
        detail=outcome.detail,
        recovered=recovered,
        exposures=outcome.exposures,
    )
