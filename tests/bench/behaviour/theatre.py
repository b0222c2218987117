"""A stage on which traces are played: the real books, facts and policies, a clock that is told, no world.

An action is made and judged as the pipeline does it. What connectors would have told is what the policies' own tests
say of a good action of that tool, so nothing but the run's behaviour speaks against it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec

from safebox.firewall.core.action import Call, canonical
from safebox.firewall.core.behaving import launch_text
from safebox.firewall.core.books import Books
from safebox.firewall.core.decision import Answer, Verdict
from safebox.firewall.core.document import decided_event, shown_action, understand
from safebox.firewall.core.mandate import Mandate, decode_mandate, encode_mandate, mandate_digest
from safebox.firewall.core.money import Amount
from safebox.firewall.core.objectives import objective_facts
from safebox.firewall.core.record import Charge, Received, RunStarted, Settled
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from tests.unit.policy.cases import Document, good

START_NS = 1_790_000_000 * 10**9
SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ALLOWED = Answer(Verdict.ALLOW, (), {})
NOTHING_OWN: dict[str, Any] = {"matched": 0, "share_bp": 0, "source": None, "secrets": [], "truncated": False}


class Seen(NamedTuple):
    """One action as policy was shown it."""

    at_ns: int
    tool: str
    facts: dict[str, Any]
    document: bytes
    paid: int


@cache
def engine() -> EmbeddedEngine:
    """The pack as it is."""
    return EmbeddedEngine(load_bundle([pack_folder()]))


@cache
def _good() -> dict[str, Document]:
    return good()


def mandate_of(agent: str = "bookkeeper") -> Mandate:
    """The mandate of the policies' own tests, for an agent of this name."""
    text = json.dumps(_good()["wallet.transfer"]["mandate"])
    return msgspec.structs.replace(decode_mandate(text.encode()), agent=agent)


class Theatre:
    """One ledger's worth of runs; every action is let happen, and what policy was shown of it is kept."""

    def __init__(self) -> None:
        self.books = Books()
        self.seen: list[Seen] = []
        self._count = 0

    def start(self, at_ns: int, run: str, *, agent: str = "bookkeeper", task: str = "", purpose: str = "") -> None:
        """Start a run, and see what policy was shown of that."""
        mandate = mandate_of(agent)
        mandate = msgspec.structs.replace(mandate, purpose=purpose or mandate.purpose)
        view = {**_good()["run.start"]["run"], "id": run, "root": run, "agent": agent}
        text = launch_text(agent, view["image"], task, mandate)
        population = self.books.owner.population.facts(at_ns, text)
        arguments = {"agent": agent, "image": view["image"], "command": ["python", "main.py"], "task": task}
        tool = TOOLS["run.start"]
        action = understand(Call(run=run, tool=tool.name, arguments=arguments, caller=tool.caller), tool, "act", at_ns)
        facts = {"behaviour": None, "objective": objective_facts(action.args, mandate), "population": population}
        self._keep(at_ns, "run.start", mandate, facts, 0)
        started = RunStarted(
            at_ns=at_ns,
            run=run,
            run_view=msgspec.Raw(canonical(view)),
            mandate=msgspec.Raw(encode_mandate(mandate)),
            mandate_digest=mandate_digest(mandate),
            folder=None,
            task=task,
            inbox=None,
        )
        self.books.apply(started)

    def act(
        self,
        at_ns: int,
        run: str,
        name: str,
        arguments: Mapping[str, Any],
        *,
        own: int = 0,
        cost: Amount | None = None,
        result: dict[str, Any] | None = None,
        denied: bool = False,
    ) -> None:
        """Do something; `denied` says that a limit of the mandate refused it, whatever policy says of behaviour."""
        self._count += 1
        book, tool = self.books.runs[run], TOOLS[name]
        action = understand(Call(run=run, tool=name, arguments=dict(arguments)), tool, f"act_{self._count}", at_ns)
        rail = "compute" if name == "compute.start" else "inference" if name == "inference.chat" else "wallet"
        charges = () if cost is None else (Charge(rail, cost),)
        overlap = {**NOTHING_OWN, "matched": own}
        facts: dict[str, Any] = {
            "behaviour": book.behaving.facts(action, overlap=overlap, charges=charges),
            "objective": objective_facts(action.args, book.mandate),
        }
        shown = shown_action(action, tool)
        paid = cost.units if cost is not None and rail == "wallet" and not denied else 0
        self._keep(at_ns, name, book.mandate, facts, paid)
        answer = Answer(Verdict.DENY, (), {}) if denied else ALLOWED
        recorded = msgspec.Raw(canonical(facts))
        decided = decided_event(action, answer, f"dec_{self._count}", "sha256:0", charges, {}, shown, recorded)
        self.books.apply(decided)
        if not denied:
            settled = Settled(
                at_ns=at_ns, decision=decided.decision, action_id=action.id, run=run, tool=name, status="done",
                charges=charges, refunds=(), result=result or {}, detail="",
            )  # fmt: skip
            self.books.apply(settled)

    def receive(self, at_ns: int, run: str, units: int) -> None:
        """Let money arrive."""
        self.books.apply(Received(at_ns=at_ns, run=run, amount=Amount(units, "ETH")))

    def _keep(self, at_ns: int, name: str, mandate: Mandate, facts: dict[str, Any], paid: int) -> None:
        document = copy.deepcopy(_good()[name])
        document["mandate"]["agent"] = mandate.agent
        plain = json.loads(canonical(facts))
        document["facts"].update(plain)
        self.seen.append(Seen(at_ns, name, plain, json.dumps(document).encode(), paid))
