"""What the firewall makes of policy's answer about a recorded action: the same as then, where policy says the same.

A yes of policy is not the last word: the books refuse what no budget is left for, and a person's no or a hold that
nobody could approve stays a no. What is asked here is what `Holds.rule` and the pipeline would have made of another
answer, as far as the record tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from safebox.firewall.core.action import digest_of
from safebox.firewall.core.books import OVER_BUDGET
from safebox.firewall.core.decision import Answer, Reason, Verdict, overruled
from safebox.firewall.core.holds import (
    MORE_ASKED,
    NO_LAUNCH,
    NOT_KEPT,
    REFUSED,
    TOO_MANY,
    VOID,
    WITHOUT_TERMS,
    parse_terms,
)
from safebox.firewall.core.money import UNITS_WIDTH
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.policytools.recorded import Recorded

LAUNCH: Final = "run.start"
"""The tool whose answer can't wait: there is no run yet that would."""


class Price(msgspec.Struct, frozen=True, order=True):
    """What an action takes at worst from one budget line, in the asset's smallest unit."""

    rail: str
    asset: str
    units: int


class _Charge(msgspec.Struct, frozen=True):
    rail: str
    asset: str
    units: str
    remaining: str | None


class _Money(msgspec.Struct, frozen=True):
    charges: tuple[_Charge, ...] = ()


class _Cost(msgspec.Struct, frozen=True):
    units: str


class _Total(msgspec.Struct, frozen=True):
    cost: _Cost | None
    remaining: str


class _Facts(msgspec.Struct, frozen=True):
    money: _Money = _Money()
    total: _Total | None = None


class _Action(msgspec.Struct, frozen=True):
    args: Any = None


class _Document(msgspec.Struct, frozen=True):
    facts: _Facts = _Facts()
    action: msgspec.Raw = msgspec.Raw(b"null")


_DOCUMENT: Final = msgspec.json.Decoder(_Document)


def enforced(recorded: Recorded, answer: Answer) -> Answer:
    """Say what the firewall would have acted on, had policy answered this.

    Raises:
        msgspec.ValidationError: if the recorded document isn't one of this firewall's.
    """
    if answer == recorded.answer or answer.verdict is Verdict.DENY:
        return answer
    if recorded.hold is not None:
        return _released(recorded, answer)
    if _said(recorded, REFUSED):
        return overruled(answer, REFUSED)
    return _admitted(recorded, answer) if answer.verdict is Verdict.HOLD else _paid(recorded, answer)


def prices(recorded: Recorded) -> tuple[Price, ...]:
    """What the action would have taken at worst, whatever was decided.

    Raises:
        msgspec.ValidationError: if the recorded document isn't one of this firewall's.
    """
    return tuple(Price(each.rail, each.asset, _units(each.units)) for each in _charges(recorded))


def _said(recorded: Recorded, reason: Reason) -> bool:
    """Whether the firewall itself said no for this reason then."""
    return recorded.answer.reasons == (reason,)


def _released(recorded: Recorded, answer: Answer) -> Answer:
    """The last look at an action that people had let pass."""
    for reason in (REFUSED, VOID):
        if _said(recorded, reason):
            return overruled(answer, reason)
    if answer.verdict is Verdict.HOLD:
        return overruled(answer, MORE_ASKED) if _said(recorded, MORE_ASKED) else answer
    return _paid(recorded, answer)


def _admitted(recorded: Recorded, answer: Answer) -> Answer:
    if recorded.tool == LAUNCH:
        return overruled(answer, NO_LAUNCH)
    if parse_terms(answer.obligations) is None:
        return overruled(answer, WITHOUT_TERMS)
    if recorded.caller != Caller.AGENT or not _kept_whole(recorded):
        return overruled(answer, NOT_KEPT)
    return overruled(answer, TOO_MANY) if _said(recorded, TOO_MANY) else answer


def _paid(recorded: Recorded, answer: Answer) -> Answer:
    """A yes, unless the books had too little left."""
    enough = recorded.caller != Caller.AGENT or (_fits(_charges(recorded)) and _in_total(recorded))
    return answer if enough else overruled(answer, OVER_BUDGET)


def _fits(charges: Iterable[_Charge]) -> bool:
    wanted: dict[tuple[str, str], int] = {}
    left: dict[tuple[str, str], int] = {}
    for charge in charges:
        line = charge.rail, charge.asset
        wanted[line] = wanted.get(line, 0) + _units(charge.units)
        left[line] = -1 if charge.remaining is None else _units(charge.remaining)
    return all(units <= left[line] for line, units in wanted.items())


def _in_total(recorded: Recorded) -> bool:
    total = _DOCUMENT.decode(recorded.document).facts.total
    return total is None or (total.cost is not None and _units(total.cost.units) <= _units(total.remaining))


def _kept_whole(recorded: Recorded) -> bool:
    """Whether the action could be done from its record."""
    tool = TOOLS.get(recorded.tool)
    if tool is None:
        return False
    args = msgspec.json.decode(_DOCUMENT.decode(recorded.document).action, type=_Action).args
    return digest_of((tool.name, tool.recall(args))) == recorded.digest


def _charges(recorded: Recorded) -> tuple[_Charge, ...]:
    return _DOCUMENT.decode(recorded.document).facts.money.charges


def _units(text: str) -> int:
    if len(text) != UNITS_WIDTH or not (text.isascii() and text.isdigit()):
        raise msgspec.ValidationError(f"no amount: {text[:UNITS_WIDTH]!r}")
    return int(text)
