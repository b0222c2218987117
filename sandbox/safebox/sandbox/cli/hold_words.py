"""Words for held actions: what is missing, until when, and all there is to know about one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from safebox.sandbox.cli.event_lines import day_and_time
from safebox.sandbox.cli.words import clean, fields, money, outcome, summary

_ENDS: Final = {
    "refused": "refused",
    "expired": "expired",
    "policy_changed": "void: the policy changed",
    "impossible": "void: it makes no sense any more",
    "run_killed": "void: its run was stopped",
    "run_ended": "void: its run is over",
    "denied": "passed, then denied",
    "doing": "passed, under way",
    "done": "passed and done",
    "failed": "passed, then failed",
    "unknown": "passed, outcome unknown",
}
"""What a hold can have come to, by the firewall's word for it."""


def missing(hold: Mapping[str, Any]) -> str:
    """What a hold still needs, or what came of it."""
    if hold["state"] != "open":
        return _ENDS.get(str(hold["state"]), clean(hold["state"]))
    if hold["window_s"] is not None:
        return f"silence of {clean(hold['group'])}"
    return f"{len(hold['approved_by'])} of {hold['needed']} {clean(hold['group'])}"


def until(hold: Mapping[str, Any]) -> str:
    """When a hold passes by silence, or expires."""
    if hold["state"] != "open":
        return "-"
    passes = hold["passes_ns"]
    return f"passes {span(passes)}" if passes is not None else f"expires {span(hold['expires_ns'])}"


def span(at_ns: int) -> str:
    """How far off a moment is, roughly."""
    left = max(0, at_ns - time.time_ns()) // 10**9
    for size, word in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if left >= 2 * size or size == 1:
            number = left // size
            return f"in {number} {word}{'' if number == 1 else 's'}"
    raise AssertionError("a second always fits")


def rows(hold: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Everything about one hold, as (name, text)."""
    asked = fields(hold["asked"])
    yield "hold", clean(hold["hold"])
    yield "state", missing(hold) if hold["state"] != "open" else f"waits for {missing(hold)}"
    yield "what", summary(asked, full=True)
    yield "tool", clean(hold["asked"]["tool"])
    for name, value in fields(fields(asked.get("action")).get("args")).items():
        if value is not None:
            yield f"  {clean(name)}", _said(value)
    yield from _costs(asked)
    yield "agent", clean(hold["agent"])
    yield "run", clean(hold["run"])
    yield "purpose", clean(str(hold["purpose"]).strip())
    for reason in hold["reasons"]:
        yield "why", f"{clean(reason['code'])}: {clean(reason['message'])}"
    yield from _people(hold)
    yield "since", day_and_time(hold["since_ns"])
    if hold["passes_ns"] is not None:
        yield "passes", f"{day_and_time(hold['passes_ns'])}, unless one of them says no"
    yield "expires", day_and_time(hold["expires_ns"])
    yield "policy", clean(hold["bundle"])
    yield "action", clean(hold["digest"])
    yield from _came_of_it(hold)


def _said(value: Any) -> str:
    """One argument: money and texts as people write them, all else as JSON."""
    match value:
        case {"asset": str(), "units": str()}:
            return money(value)
        case str():
            return clean(value)
        case _:
            return clean(json.dumps(value, ensure_ascii=False))


def _costs(asked: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for charge in fields(fields(asked.get("facts")).get("money")).get("charges") or ():
        most = money({"asset": charge["asset"], "units": charge["units"]})
        left = charge["remaining"]
        kept = "" if left is None else f"; {money({'asset': charge['asset'], 'units': left})} were left"
        yield "takes", f"at most {most} of {clean(charge['rail'])}{kept}"


def _people(hold: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    members = ", ".join(map(clean, hold["members"])) or "nobody: see approvers.toml"
    yield "group", f"{clean(hold['group'])}: {members}"
    for vote in hold["votes"]:
        said = "yes" if vote["verdict"] == "approve" else "NO"
        yield "said", f"{said}, {clean(vote['approver'])} at {day_and_time(vote['at_ns'])}"


def _came_of_it(hold: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if hold["used"] is not None:
        answer = fields(hold["used"].get("answer"))
        why = "; ".join(f"{clean(each['code'])}: {clean(each['message'])}" for each in answer.get("reasons") or ())
        yield (
            "decided",
            f"{clean(answer.get('verdict', '?'))} as {clean(hold['used']['decision'])}{why and f' ({why})'}",
        )
    if hold["outcome"] is not None:
        told = outcome(hold["outcome"], full=True)
        yield "outcome", f"{clean(hold['outcome']['status'])}{told and f', {told}'}"
