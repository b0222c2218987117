"""Ledgers of many recorded decisions, made fast: what the pack itself answers, written by the store's own writer."""

from __future__ import annotations

import asyncio
import copy
import functools
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from safebox.firewall.core.action import canonical
from safebox.firewall.core.document import policy_input
from safebox.firewall.core.money import Amount, pad
from safebox.firewall.core.record import Charge, Decided, LedgerEvent, RunStarted, encode_event
from safebox.firewall.core.tools import Caller
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.store.reader import read_events
from safebox.firewall.store.sqlite import SqliteStore
from tests.unit.policy import cases

RUNS: Final = 20
BATCH: Final = 2_000
AT_NS: Final = 1_780_000_000 * 10**9
GWEI: Final = 10**9
CAP: Final = 500 * GWEI
"""The pack's cap on fees where the mandate names none."""
RAISED: Final = 800 * GWEI
PER_TRANSFER: Final = 1_000
"""Of the fixtures' mandate."""


def fee_cap(folder: Path, units: int = RAISED) -> Path:
    """A candidate: an overlay that changes the pack's cap on fees and nothing else."""
    data = folder / "data/limits"
    data.mkdir(parents=True)
    cap = {"transfer": {"max_fee_per_gas": {"asset": "ETH", "units": pad(units)}}}
    (data / "data.json").write_text(json.dumps(cap))
    (folder / "relax.json").write_text(json.dumps({"data.data.limits.transfer.max_fee_per_gas": "a test of replay"}))
    return folder


def record(folder: Path, count: int, seed: int = 1) -> Path:
    """Write a ledger of so many decisions about payments, mails and reads; returns its file."""
    path = folder / "ledger.sqlite3"
    asyncio.run(_append(path, _events(count, random.Random(seed))))  # noqa: S311
    return path


def append(path: Path, events: Sequence[LedgerEvent]) -> None:
    """Write these events into a ledger."""
    asyncio.run(_append(path, iter(events)))


async def _append(path: Path, events: Iterator[LedgerEvent]) -> None:
    store = SqliteStore(path)
    while batch := [encode_event(event) for event in itertools.islice(events, BATCH)]:
        await store.append(batch)
    store.close()


def started(run: str, document: dict[str, Any]) -> RunStarted:
    """The start of a run, whose decisions show this document's run and mandate."""
    return RunStarted(
        at_ns=AT_NS,
        run=run,
        run_view=msgspec.Raw(canonical({**document["run"], "id": run})),
        mandate=msgspec.Raw(canonical(document["mandate"])),
        mandate_digest="sha256:0",
        folder=None,
        task="t",
        inbox=None,
    )


class Judged:
    """Makes records of documents: the pack answers, and what it answers is recorded."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._engine = EmbeddedEngine(load_bundle([pack_folder(), *folders]))

    def event(self, number: int, run: str, document: dict[str, Any], start: RunStarted, **changes: Any) -> Decided:
        """The record of one decision."""
        action, facts = msgspec.Raw(canonical(document["action"])), msgspec.Raw(canonical(document["facts"]))
        answer = self._engine.answer(policy_input(action, start.run_view, start.mandate, facts))
        charges = [Charge(each["rail"], Amount(int(each["units"]), each["asset"])) for each in _charges(document)]
        event = Decided(
            at_ns=AT_NS + number * 1_000_000,
            decision=f"dec_{number:026d}",
            action_id=f"act_{number:026d}",
            run=run,
            tool=document["action"]["tool"],
            kind=document["action"]["kind"],
            caller=Caller(document["action"]["caller"]),
            key=None,
            digest="sha256:0",
            bundle=self._engine.bundle,
            answer=answer,
            charges=tuple(charges) if answer.verdict == "allow" else (),
            plan={},
            action=action,
            facts=facts,
        )
        return msgspec.structs.replace(event, **changes)


def _charges(document: dict[str, Any]) -> list[dict[str, Any]]:
    charges: list[dict[str, Any]] = document["facts"]["money"]["charges"]
    return charges


def payment(amount: int, fee: int | None, *, listed: bool = True) -> dict[str, Any]:
    """A payment under a mandate that caps no fees; the pack does. A copy of its own."""
    return copy.deepcopy(_payment(amount, fee, listed=listed))


def mail(*, listed: bool = True) -> dict[str, Any]:
    """A mail, to somebody listed or not. A copy of its own."""
    return copy.deepcopy(_mail(listed=listed))


@functools.cache
def _model(tool: str) -> dict[str, Any]:
    """The good input of a tool, under a mandate that grants a wallet, mail and people's approval: few grant all."""
    document = cases.good()[tool]
    granted = document["mandate"]
    for section, terms in granted.items():
        if isinstance(terms, dict) and section not in ("wallet", "mail", "approvals"):
            granted[section] = None
    granted["wallet"]["max_fee_per_gas"] = None
    return document


def _payment(amount: int, fee: int | None, *, listed: bool) -> dict[str, Any]:
    model = _model("wallet.transfer")
    action, facts = model["action"], model["facts"]
    cap = None if fee is None else {"asset": "ETH", "units": pad(fee)}
    args = {**action["args"], "amount": {"asset": "ETH", "units": pad(amount)}, "max_fee_per_gas": cap}
    taken = dict.fromkeys(("units", "hour", "day"), pad(amount + 10))
    money = {"priced": True, "charges": [{**each, **taken} for each in facts["money"]["charges"]]}
    known = {**facts, "money": money, "payee": {**facts["payee"], "listed": listed}}
    return {**model, "action": {**action, "args": args}, "facts": known}


def _mail(*, listed: bool, sent: int = 0) -> dict[str, Any]:
    model = _model("email.send")
    facts = model["facts"]
    recipients = [{**each, "listed": listed} for each in facts["recipients"]]
    return {**model, "facts": {**facts, "recipients": recipients, "rates": {**facts["rates"], "hour": sent}}}


def _events(count: int, chance: random.Random) -> Iterator[LedgerEvent]:
    model, judged = _payment(1, None, listed=True), Judged()
    starts = {f"run_{number}": started(f"run_{number}", model) for number in range(RUNS)}
    yield from starts.values()
    for number in range(count):
        run = f"run_{number % RUNS}"
        yield judged.event(number, run, _document(chance), starts[run])


def _document(chance: random.Random) -> dict[str, Any]:
    """A quarter payments, a third mail, the rest reads, as agents ask."""
    kind = chance.random()
    if kind < 0.25:
        fee = None if chance.random() < 0.2 else chance.randrange(1, 1000) * GWEI
        return _payment(chance.randrange(1, 1200), fee, listed=chance.random() < 0.9)
    if kind < 0.6:
        return _mail(listed=chance.random() < 0.8, sent=chance.randrange(6))
    return _model("wallet.balance" if kind < 0.8 else "email.list")


@dataclass(frozen=True)
class Reckoned:
    """What a higher cap on fees lets through: the decisions, and what they take at worst."""

    decisions: list[str]
    units: int


def reckon(path: Path, cap: int = RAISED) -> Reckoned:
    """Reckon from the recorded amounts alone, in integers, which denied payments a higher cap would let through."""
    found = [event for _, event in read_events(path) if event["event"] == "decided" and _let_through(event, cap)]
    charged = [int(charge["units"]) for event in found for charge in event["facts"]["money"]["charges"]]
    return Reckoned([event["decision"] for event in found], sum(charged))


def _let_through(event: dict[str, Any], cap: int) -> bool:
    args, facts = event["action"]["args"], event["facts"]
    if event["tool"] != "wallet.transfer" or args["max_fee_per_gas"] is None:
        return False
    small = int(args["amount"]["units"]) <= PER_TRANSFER
    return small and facts["payee"]["listed"] and CAP < int(args["max_fee_per_gas"]["units"]) <= cap
