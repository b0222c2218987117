"""People who approve, with keys and a file of approvers, and a pipeline whose policy asks them."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from safebox.firewall.approvals import Approvals
from safebox.firewall.core.action import Call
from safebox.firewall.core.approval import Signer, Statement
from safebox.firewall.core.decision import Answer, Reason, Verdict, refusal
from safebox.firewall.core.holds import SECOND, Hold
from safebox.firewall.core.record import Decided, Settled
from safebox.firewall.core.reply import Reply
from safebox.firewall.metrics import Metrics
from safebox.firewall.roster import FILE_NAME, Roster
from tests.twins import PAYEE, Rig, ScriptedEngine

TWO_OWNERS: dict[str, Any] = {"group": "owners", "approvals": 2, "expires_s": 3600}
A_MINUTE: dict[str, Any] = {"group": "owners", "challenge_s": 60, "expires_s": 3600}
HELD = Reason("test.held", "Ask people.")


@functools.cache
def signer(name: str, number: int = 0) -> Signer:
    """The key of a person; another number is another key of the same name."""
    return Signer.make(name)


def statement(hold: Hold, name: str, verdict: Literal["approve", "deny"] = "approve", /, **changes: Any) -> Statement:
    held = hold.decided
    said = Statement(
        hold=held.decision,
        run=held.run,
        digest=held.digest,
        bundle=held.bundle,
        group=hold.terms.group,
        verdict=verdict,
        approver=name,
        signed_ns=held.at_ns + SECOND,
    )
    return msgspec.structs.replace(said, **changes)


def signed(said: Statement, key: Signer) -> dict[str, Any]:
    """A vote as it comes over the control socket."""
    return {"statement": msgspec.to_builtins(said), "signature": key.sign(said)}


def write_roster(folder: Path, **groups: list[Signer]) -> Path:
    """The file of approvers of a state folder."""
    path = folder / FILE_NAME
    lines: list[str] = []
    for group, members in groups.items():
        lines += [f"[{group}]", *(f'{member.name} = "{member.verifier.text()}"' for member in members)]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


class AskingEngine(ScriptedEngine):
    """Holds everything under `terms` until the facts say that they were met, as the pack does."""

    def __init__(self, terms: dict[str, Any]) -> None:
        super().__init__()
        self.terms = terms
        self.allows = self.denies = False
        self.bundle = "sha256:test"
        self.while_deciding: Callable[[], None] = lambda: None

    async def decide(self, document: bytes) -> Answer:
        await super().decide(document)
        await asyncio.sleep(0)
        self.while_deciding()
        approval = json.loads(document)["facts"]["approval"]
        if self.denies:
            return refusal("test.denied", "no")
        return Answer(Verdict.ALLOW, (), {}) if self.allows or self._met(approval) else self._hold()

    def _hold(self) -> Answer:
        return Answer(Verdict.HOLD, (HELD,), {"hold": self.terms})

    def _met(self, approval: dict[str, Any] | None) -> bool:
        if approval is None or approval["group"] != self.terms["group"]:
            return False
        enough = len(approval["approved_by"]) >= self.terms.get("approvals", 1)
        silent = approval["challenge_passed"] and approval["waited_s"] >= self.terms.get("challenge_s", 10**9)
        return bool(enough or silent)


class Waiting(Rig):
    """A pipeline over twins whose policy holds, and the desk for alice, bob and carol."""

    engine: AskingEngine

    def __init__(
        self,
        folder: Path,
        terms: dict[str, Any] = TWO_OWNERS,
        *,
        before: Waiting | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        engine = AskingEngine(terms)
        if before is None:
            super().__init__(engine=engine, metrics=metrics)
        else:  # the world outlives a firewall
            super().__init__(
                before.store,
                clock=before.clock,
                engine=engine,
                connectors=before.connectors,
                metrics=before.metrics,
            )
        self.engine = engine
        self.folder = folder
        self.ready = True
        if not (folder / FILE_NAME).exists():
            write_roster(folder, owners=[signer("alice"), signer("bob"), signer("carol")], others=[signer("mallory")])
        self.desk = Approvals(
            path=self.pipeline,
            ledger=self.ledger,
            runs=self.runs,
            clock=self.clock,
            metrics=self.metrics,
            roster=Roster(folder / FILE_NAME),
            bundle=lambda: self.engine.bundle,
            ready=lambda _: self.ready,
        )

    def restarted(self) -> Waiting:
        """What the next firewall makes of the same ledger."""
        again = Waiting(self.folder, self.engine.terms, before=self)
        again.engine.bundle = self.engine.bundle
        again.run.stopped = None if again.run.book.killed is None else "killed"
        return again

    async def ask(self, amount: str = "1 ETH", key: str | None = None) -> Reply:
        arguments = {"to": PAYEE, "amount": amount}
        return await self.pipeline.handle(Call(run="run_1", tool="wallet.transfer", arguments=arguments, key=key))

    def hold(self, reply: Reply) -> Hold:
        return self.run.book.holds.all[str(reply.decision_id)]

    async def vote(self, reply: Reply, name: str, verdict: Literal["approve", "deny"] = "approve") -> dict[str, Any]:
        return await self.desk.vote(signed(statement(self.hold(reply), name, verdict), signer(name)))

    async def rest(self) -> None:
        """Let what is going on come to its end."""
        await self.desk.finish(5)

    async def later(self, seconds: int) -> None:
        """So much time passes; the desk looks."""
        self.clock.now += seconds * SECOND
        await self.desk.tick()
        await self.rest()

    @property
    def allowed(self) -> list[Decided]:
        return [event for event in self.store.events if isinstance(event, Decided) and event.allowed]

    @property
    def settled(self) -> list[Settled]:
        return [event for event in self.store.events if isinstance(event, Settled)]
