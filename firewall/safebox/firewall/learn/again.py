"""The recorded run once more, under the proposal: what was allowed must be, and nothing else.

Each recorded action is judged again by the real engine, with what the firewall learned then, and with what it would
know by the proposed mandate: budgets, windows, rates, who is listed. Then what was recorded of it goes into the books.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from safebox.firewall.core.action import canonical
from safebox.firewall.core.books import Books, RunBook
from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.document import policy_input
from safebox.firewall.core.facts import build_facts
from safebox.firewall.core.mandate import ACCOUNT_TOTAL, Mandate, encode_mandate, mandate_digest
from safebox.firewall.core.money import Amount
from safebox.firewall.core.record import Charge, Decided, LedgerEvent, RunStarted, Settled
from safebox.firewall.core.tools import Caller
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.learn.usage import fields
from safebox.firewall.ports import Engine
from safebox.firewall.recovery import action_of

_LEARNED = ("payee", "wallet", "simulation", "compute", "inference")
"""What a connector told, by the names of the policy input."""
_KEPT = (
    "self_overlap", "frozen", "approval", "provenance", "lineage", "population", "token", "spender", "call",
    "signature", "payment", "web", "mcp", "launch", "behaviour", "objective",
)  # fmt: skip
"""Facts that a mandate changes nothing about; an older ledger lacks some, and they are as for a run nobody touched."""


class Judged(msgspec.Struct, frozen=True):
    """One recorded action under the proposal."""

    decision: str
    tool: str
    was: str
    wanted: str
    got: str
    codes: tuple[str, ...]
    document: bytes

    @property
    def fine(self) -> bool:
        """Whether it is as it should be: an allow where one is wanted, and none where none is."""
        return (self.got == Verdict.ALLOW) == (self.wanted == Verdict.ALLOW)


async def judge_again(
    engine: Engine, mandate: Mandate, events: Sequence[LedgerEvent], included: frozenset[str]
) -> list[Judged]:
    """Judge every recorded action of one run.

    Args:
        engine: the policies with the proposed overlay.
        mandate: the proposed one.
        events: of the run, from its start.
        included: decisions that were no yes and are to be one.
    """
    books, judged = Books(), list[Judged]()
    for event in events:
        if isinstance(event, Decided) and event.caller is Caller.AGENT and bytes(event.facts) != b"null":
            judged.append(await _judged(engine, books.runs[event.run], event, included=event.decision in included))
        _apply(books, _under(mandate, event) if isinstance(event, RunStarted) else event)
    return judged


def _under(mandate: Mandate, started: RunStarted) -> RunStarted:
    return msgspec.structs.replace(
        started, mandate=msgspec.Raw(encode_mandate(mandate)), mandate_digest=mandate_digest(mandate)
    )


def _apply(books: Books, event: LedgerEvent) -> None:
    """Take a recorded event in; what took from a line the proposal doesn't grant was not allowed under it."""
    if isinstance(event, Decided) and event.allowed:
        lines = books.runs[event.run].lines
        granted = tuple(charge for charge in event.charges if (charge.rail, charge.amount.asset) in lines)
        event = msgspec.structs.replace(event, charges=granted)
    if isinstance(event, Settled):
        event = _without_total(event, books.runs[event.run])
    books.apply(event)


def _without_total(settled: Settled, book: RunBook) -> Settled:
    """A proposal has no total; what was counted of one is on no line of it."""

    def stays(charge: Charge) -> bool:
        return charge.rail != ACCOUNT_TOTAL or (charge.rail, charge.amount.asset) in book.lines

    return msgspec.structs.replace(
        settled,
        charges=tuple(filter(stays, settled.charges)),
        refunds=tuple(filter(stays, settled.refunds)),
        exposures={name: charge for name, charge in settled.exposures.items() if stays(charge)},
    )


async def _judged(engine: Engine, book: RunBook, event: Decided, *, included: bool) -> Judged:
    recorded: dict[str, Any] = json.loads(bytes(event.facts))
    charges = tuple(
        Charge(charge["rail"], Amount(int(charge["units"]), charge["asset"]))
        for charge in fields(recorded["money"]).get("charges", ())
    )
    facts = recorded | {
        name: value
        for name, value in _facts(book, event, charges, recorded).items()
        if name not in _KEPT or name not in recorded
    }
    document = policy_input(event.action, book.started.run_view, book.started.mandate, msgspec.Raw(canonical(facts)))
    got, codes = await _answer(engine, document)
    if got == Verdict.ALLOW and not book.fits(charges):
        got, codes = str(Verdict.DENY), ("budget.exceeded",)
    was = str(event.answer.verdict)
    wanted = str(Verdict.ALLOW) if event.allowed or included else was
    return Judged(event.decision, event.tool, was, wanted, got, codes, document)


def _facts(book: RunBook, event: Decided, charges: tuple[Charge, ...], recorded: dict[str, Any]) -> dict[str, Any]:
    return build_facts(
        action_of(event),
        book,
        address=json.loads(bytes(book.started.run_view))["address"],
        charges=charges,
        learned={name: recorded.get(name) for name in _LEARNED},
        self_overlap=recorded.get("self_overlap"),
    )


async def _answer(engine: Engine, document: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        answer = await engine.decide(document)
    except PolicyUnavailable as error:
        return str(Verdict.DENY), (error.code,)
    return str(answer.verdict), tuple(reason.code for reason in answer.reasons)
