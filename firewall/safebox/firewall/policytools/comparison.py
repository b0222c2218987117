"""What differs between two answers to one question, and what another policy would have done to one recorded action."""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec

from safebox.firewall.core.decision import Answer, Verdict
from safebox.firewall.policytools.enforced import Price


class Kind(enum.StrEnum):
    """How two answers differ; what is looser comes first."""

    NEWLY_ALLOWED = "newly_allowed"
    UNANSWERED = "unanswered"
    """The second policy gave no usable answer, which in force is a no."""
    NEWLY_HELD = "newly_held"
    NEWLY_DENIED = "newly_denied"
    CHANGED = "changed"
    """The same verdict, with other reasons or obligations."""


_NEW: Final = {
    Verdict.ALLOW: Kind.NEWLY_ALLOWED,
    Verdict.HOLD: Kind.NEWLY_HELD,
    Verdict.DENY: Kind.NEWLY_DENIED,
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded action that another policy answers otherwise.

    `after` is None where the other policy gave no usable answer; `why` says what it did instead. `asked` is the action
    as policy was shown it, long texts left out. `prices` is what the action takes at worst, whatever was decided.
    """

    number: int
    kind: Kind
    decision: str
    action_id: str
    run: str
    tool: str
    at_ns: int
    before: Answer
    after: Answer | None
    prices: tuple[Price, ...]
    asked: dict[str, Any]
    hold: str | None = None
    why: str = ""


def difference(before: Answer, after: Answer) -> Kind | None:
    """How the second answer differs from the first; None if it doesn't."""
    if before == after:
        return None
    return Kind.CHANGED if before.verdict is after.verdict else _NEW[after.verdict]


def codes(answer: Answer | None) -> tuple[str, ...]:
    """The reasons' codes."""
    return () if answer is None else tuple(reason.code for reason in answer.reasons)
