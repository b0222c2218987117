"""The ledger read from its file alone: what it says of each action, and whether it ever takes anything back.

The fold of money here is written a second time on purpose, so that it doesn't share a mistake with the firewall's.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safebox.firewall.core.mandate import decode_mandate
from safebox.firewall.core.record import GENESIS, chain
from safebox.firewall.store.reader import open_ledger

Charges = dict[tuple[str, str], int]


@dataclass(slots=True)
class Outcome:
    """One settlement of an action."""

    status: str
    charges: Charges
    refunds: Charges
    result: dict[str, Any]
    recovered: bool


@dataclass(slots=True)
class Decision:
    """One decision; `mark` is what its effect can be recognised by in the world."""

    seq: int
    at_ns: int
    id: str
    action: str
    run: str
    tool: str
    by_agent: bool
    key: str | None
    verdict: str
    code: str
    mark: str
    charges: Charges
    plan: dict[str, Any]
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    @property
    def allowed(self) -> bool:
        """Whether an effect may follow."""
        return self.verdict == "allow"

    @property
    def status(self) -> str:
        """How it stands: `open` until there is an outcome."""
        return self.outcomes[-1].status if self.outcomes else "open"


@dataclass(slots=True)
class Line:
    """One budget line of one run."""

    granted: int
    spent: int = 0
    reserved: int = 0


@dataclass
class Life:
    """What the ledger says of one run."""

    address: str | None
    lines: dict[tuple[str, str], Line]
    stopped: str = ""
    ended: bool = False


class Witness:
    """Reads the ledger's new records each time, and keeps what they amount to.

    `faults` are the ways in which the ledger contradicts itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seq = 0
        self.head = GENESIS
        self.recovered = 0
        self.faults: list[str] = []
        self.runs: dict[str, Life] = {}
        self.decisions: dict[str, Decision] = {}
        self.actions: dict[str, Decision] = {}
        self.marked: defaultdict[tuple[str, str], list[Decision]] = defaultdict(list)
        self.keyed: dict[tuple[str, str], Decision] = {}

    def read(self) -> None:
        """Take in what is new; what was there before must be there still."""
        if not self._path.exists():
            return
        with open_ledger(self._path) as db:
            if self.seq:
                row = db.execute("SELECT hash FROM events WHERE seq = ?", (self.seq,)).fetchone()
                if row is None or bytes(row[0]) != self.head:
                    self.faults.append(f"record {self.seq} was there before a kill and is gone or changed")
                    return
            for seq, body, stored in db.execute("SELECT * FROM events WHERE seq > ? ORDER BY seq", (self.seq,)):
                self._take(seq, body, bytes(stored))

    def _take(self, seq: int, body: bytes, stored: bytes) -> None:
        if seq != self.seq + 1 or chain(self.head, body) != stored:
            self.faults.append(f"record {seq} does not follow record {self.seq}")
        self.seq, self.head = seq, stored
        self._fold(json.loads(body))

    def _fold(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "run_started":
                grants = decode_mandate(json.dumps(event["mandate"]).encode()).grants()
                lines = {line: Line(granted) for line, granted in grants.items()}
                self.runs[event["run"]] = Life(event["run_view"]["address"], lines)
            case "decided":
                self._decided(event)
            case "settled":
                self._settled(event)
            case "run_killed":
                self.runs[event["run"]].stopped = "killed"
            case "run_ended":
                self.runs[event["run"]].stopped, self.runs[event["run"]].ended = "ended", True
            case _:
                pass

    def _decided(self, event: dict[str, Any]) -> None:
        reasons = event["answer"]["reasons"]
        decision = Decision(
            seq=self.seq,
            at_ns=event["at_ns"],
            id=event["decision"],
            action=event["action_id"],
            run=event["run"],
            tool=event["tool"],
            by_agent=event["caller"] == "agent",
            key=event["key"],
            verdict=event["answer"]["verdict"],
            code=reasons[0]["code"] if reasons else "",
            mark=mark_of(event["tool"], event["action"]["args"]),
            charges=_charges(event["charges"]),
            plan=event["plan"],
        )
        if decision.action in self.actions or decision.id in self.decisions:
            self.faults.append(f"{decision.action} was decided twice")
        if decision.key is not None and self.keyed.setdefault((decision.run, decision.key), decision) is not decision:
            self.faults.append(f"key {decision.key} of {decision.run} was decided twice")
        self.decisions[decision.id] = self.actions[decision.action] = decision
        self.marked[decision.tool, decision.mark].append(decision)
        if decision.allowed and decision.by_agent:
            self._reserve(decision)

    def _reserve(self, decision: Decision) -> None:
        run = self.runs[decision.run]
        if run.stopped:
            self.faults.append(f"{decision.action} was allowed after its run was {run.stopped}")
        for line, units in decision.charges.items():
            found = run.lines[line]
            found.reserved += units
            if found.spent + found.reserved > found.granted:
                self.faults.append(f"{decision.action} overspends {line} of {decision.run}: {found}")

    def _settled(self, event: dict[str, Any]) -> None:
        decision = self.actions.get(event["action_id"])
        if decision is None or not decision.allowed:
            self.faults.append(f"{event['action_id']} has an outcome and no allow before it")
            return
        if decision.status in ("done", "failed"):
            self.faults.append(f"{decision.action} was settled again after {decision.status}: {event['status']}")
        charges, refunds = _charges(event["charges"]), _charges(event["refunds"])
        outcome = Outcome(event["status"], charges, refunds, event["result"], event["recovered"])
        decision.outcomes.append(outcome)
        self.recovered += outcome.recovered
        if decision.by_agent and outcome.status != "unknown":
            self._spend(decision, outcome)

    def _spend(self, decision: Decision, outcome: Outcome) -> None:
        lines = self.runs[decision.run].lines
        for line, units in decision.charges.items():
            lines[line].reserved -= units
        for line, units in outcome.charges.items():
            lines[line].spent += units
            if units > decision.charges.get(line, 0):
                self.faults.append(f"{decision.action} cost more than was reserved for it")
        for line, units in outcome.refunds.items():
            lines[line].spent = max(0, lines[line].spent - units)


def mark_of(tool: str, args: dict[str, Any]) -> str:
    """What an action's effect can be recognised by: every action of the load has another one."""
    match tool:
        case "wallet.transfer":
            return str(int(args["amount"]["units"]))
        case "email.send":
            return str(args["subject"])
        case "compute.start":
            return str(args["input"])
        case "compute.status" | "compute.stop":
            return str(args["instance"])
        case "inference.chat":
            return str(args["request_digest"])
        case _:
            return ""


def _charges(charges: Iterable[dict[str, Any]]) -> Charges:
    found: Charges = {}
    for charge in charges:
        line = charge["rail"], charge["amount"]["asset"]
        found[line] = found.get(line, 0) + int(charge["amount"]["units"])
    return found
