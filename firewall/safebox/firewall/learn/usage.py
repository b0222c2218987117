"""What a recorded run used: each value with the decision it comes from, each number at its most."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from safebox.firewall.core.books import Books, RunBook
from safebox.firewall.core.mandate import Mandate, decode_mandate
from safebox.firewall.core.record import Decided, LedgerEvent, RunStarted, Settled, decode_event
from safebox.firewall.core.tools import Caller
from safebox.firewall.core.windows import MINUTE, SECOND
from safebox.firewall.errors import ConfigError
from safebox.firewall.policytools.recorded import ledger_file, records

_HOUR: Final = slice(11, 13)
"""Where the hour is in an RFC 3339 time."""


class Most:
    """The largest of some numbers, and the decision it was seen in."""

    def __init__(self) -> None:
        self.value = 0
        self.decision = ""

    def see(self, value: int, decision: str) -> None:
        """Take one more into account."""
        if not self.decision or value > self.value:
            self.value, self.decision = value, decision


class Flow:
    """What went through one budget line: all in all, in an hour, in a day."""

    def __init__(self) -> None:
        self.total, self.hour, self.day = Most(), Most(), Most()
        self.beside = 0
        """What included decisions would have taken; the books don't know of it."""


class Usage:
    """One run: what it was allowed, and what was decided otherwise but is to be allowed from now on (`included`).

    Every dict goes from a value to the decision it was first seen in.
    """

    def __init__(self, started: RunStarted, included: frozenset[str]) -> None:
        self.started = started
        self.included = included
        self.mandate: Mandate = decode_mandate(bytes(started.mandate))
        self.view: dict[str, Any] = json.loads(bytes(started.run_view))
        self.allowed = self.denied = 0
        self.tools: dict[str, str] = {}
        self.hours: dict[str, str] = {}
        self.ends = Most()
        self.flows: dict[tuple[str, str], Flow] = {}
        self.payees: dict[str, str] = {}
        self.payee_names: dict[str, str] = {}
        self.paid: dict[str, Most] = {}
        self.fee = Most()
        self.recipients: dict[str, str] = {}
        self.mails, self.files = Most(), Most()
        self.leases: dict[tuple[str, tuple[str, ...]], str] = {}
        self.instances, self.minutes = Most(), Most()
        self.models: dict[str, str] = {}
        self.tokens: dict[str, Most] = {}
        self.delivered: list[tuple[str, str]] = []
        """Texts that the firewall delivered to the run, with the tool they came by."""
        self.doubts: dict[str, str] = {}

    def see(self, event: Decided, book: RunBook) -> None:
        """Take a decision into account, before it is in the books."""
        if not (event.allowed or event.decision in self.included):
            self.denied += event.caller is Caller.AGENT
            return
        action, facts = json.loads(bytes(event.action)), fields(json.loads(bytes(event.facts)))
        name = event.decision
        self.allowed += 1
        self.tools.setdefault(event.tool, name)
        self.hours.setdefault(action["time"][_HOUR], name)
        self.ends.see(event.at_ns + action["args"].get("minutes", 0) * MINUTE, name)
        self._charges(fields(facts.get("money")), book, event)
        see = {
            "transfer": self._transfer,
            "email": self._email,
            "compute": self._compute,
            "inference": self._inference,
        }.get(event.kind)
        if see is not None:
            see(action["args"], facts, event)

    def _charges(self, money: dict[str, Any], book: RunBook, event: Decided) -> None:
        for charge in money.get("charges", ()):
            line = charge["rail"], charge["asset"]
            flow, units = self.flows.setdefault(line, Flow()), int(charge["units"])
            known = book.lines.get(line)
            flow.beside += 0 if event.allowed else units
            before = flow.beside if event.allowed else flow.beside - units
            flow.total.see((0 if known is None else known.committed) + before + units, event.decision)
            flow.hour.see((0 if known is None else known.hour.count(event.at_ns)) + before + units, event.decision)
            flow.day.see((0 if known is None else known.day.count(event.at_ns)) + before + units, event.decision)

    def _transfer(self, args: dict[str, Any], facts: dict[str, Any], event: Decided) -> None:
        to, name = args["to"], event.decision
        if to not in self.payees:
            self.payees[to] = name
            self.payee_names[to] = fields(facts.get("payee")).get("name") or f"payee-{len(self.payees)}"
            self._doubt(to, name)
        self.paid.setdefault(to, Most()).see(int(args["amount"]["units"]), name)
        for fee in (args.get("max_fee_per_gas"), event.plan.get("max_fee_per_gas")):
            if fee is not None:
                self.fee.see(int(fee["units"]), name)

    def _email(self, args: dict[str, Any], facts: dict[str, Any], event: Decided) -> None:
        for to in args["to"]:
            if to not in self.recipients:
                self.recipients[to] = event.decision
                self._doubt(to, event.decision)
        self.mails.see(fields(facts.get("rates")).get("hour", 0) + 1, event.decision)
        self.files.see(len(args["attachments"]), event.decision)

    def _compute(self, args: dict[str, Any], facts: dict[str, Any], event: Decided) -> None:
        lease = args["image"], tuple(args["command"])
        if lease not in self.leases:
            self.leases[lease] = event.decision
            self._doubt(args["image"], event.decision)
        self.instances.see((fields(facts.get("compute")).get("running") or 0) + 1, event.decision)
        self.minutes.see(args["minutes"], event.decision)

    def _inference(self, args: dict[str, Any], _: dict[str, Any], event: Decided) -> None:
        if args["model"] not in self.models:
            self.models[args["model"]] = event.decision
            self._doubt(args["model"], event.decision)
        self.tokens.setdefault(args["model"], Most()).see(args["max_tokens"] or 0, event.decision)

    def settled(self, event: Settled) -> None:
        """Remember what was delivered to the run."""
        if event.result:
            self.delivered.append((event.tool, json.dumps(event.result, ensure_ascii=False).lower()))

    def _doubt(self, value: str, decision: str) -> None:
        """Note what no human named before: it may have been talked into the run."""
        if value.lower() in bytes(self.started.mandate).decode().lower():
            return
        by = next((tool for tool, text in self.delivered if value.lower() in text), None)
        came = f"it first stood in what {by} delivered" if by is not None else "nothing delivered to the run has it"
        self.doubts[value] = f"the mandate of the recorded run doesn't name it, and {came} ({decision})"


def read_usage(ledger: Path, run: str | None, include: frozenset[str]) -> tuple[Usage, list[LedgerEvent]]:
    """Read one run of a ledger: what it used, and its events in order.

    Args:
        ledger: the file, or a firewall's state folder.
        run: its name, or the end of it; None if there is only one.
        include: decisions that were no yes and are to be one.

    Raises:
        ConfigError: if there is no such ledger, run or decision, or the ledger is damaged.
    """
    events = list(_events(ledger_file(ledger)))
    started = _the_run([event for event in events if isinstance(event, RunStarted)], run)
    own = [event for event in events if getattr(event, "run", None) == started.run]
    missing = include - {event.decision for event in own if isinstance(event, Decided) and not event.allowed}
    if missing:
        remedy = "name decisions of this run, by their whole names: safebox audit tail shows them"
        raise ConfigError(f"{min(missing)} is no decision this run was refused", remedy=remedy)
    usage, books = Usage(started, include), Books()
    for event in events:
        if isinstance(event, Decided) and event.run == started.run and event.caller is Caller.AGENT:
            usage.see(event, books.runs[event.run])
        if isinstance(event, Settled) and event.run == started.run:
            usage.settled(event)
        books.apply(event)
    return usage, own


def _events(path: Path) -> Iterator[LedgerEvent]:
    for number, body in records(path):
        try:
            yield decode_event(body)
        except msgspec.DecodeError as error:
            remedy = "run safebox audit verify"
            raise ConfigError(f"record {number} of the ledger can't be understood: {error}", remedy=remedy) from error


def _the_run(started: list[RunStarted], named: str | None) -> RunStarted:
    found = [event for event in started if named is None or event.run.lower().endswith(named.lower())]
    if len(found) == 1:
        return found[0]
    names = ", ".join(event.run for event in (found or started)[-5:]) or "none"
    what = "several runs could be meant" if found else "there is no such run"
    raise ConfigError(f"{what}: the last are {names}", remedy="name one: --run RUN", code="config.no_run")


def fields(value: object) -> dict[str, Any]:
    """A JSON object's fields; none if it is anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def lasted_s(usage: Usage) -> int:
    """Seconds from the run's start to the end of the last thing it was allowed."""
    return max(0, -(-(usage.ends.value - usage.started.at_ns) // SECOND))
