"""Where policy is evaluated elsewhere, no run's action is judged while another one of the run is; other runs go on."""

from __future__ import annotations

import asyncio
import json

from safebox.firewall.core.action import Call
from safebox.firewall.core.decision import Answer
from safebox.firewall.core.reply import Status
from safebox.firewall.recovery import view_of
from safebox.firewall.runs import Run
from tests.twins import MANDATE, PAYEE, Rig, ScriptedEngine, run_started


class FarEngine(ScriptedEngine):
    """Takes its time, as a server does, and keeps count of whose actions it has at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.most: dict[str, int] = {}
        self.most_of_all = 0

    async def decide(self, document: bytes) -> Answer:
        run = json.loads(document)["run"]["id"]
        self.inside.append(run)
        self.most[run] = max(self.most.get(run, 0), self.inside.count(run))
        self.most_of_all = max(self.most_of_all, len(self.inside))
        await asyncio.sleep(0.01)
        self.inside.remove(run)
        return await super().decide(document)


def calls(run: str) -> list[Call]:
    """On connectors of their own, so that no turn of a wallet orders them."""
    return [
        Call(run=run, tool="wallet.transfer", arguments={"to": PAYEE, "amount": "1 wei"}),
        Call(run=run, tool="email.send", arguments={"to": ["a@b.example"], "subject": "s", "body": "b"}),
        Call(run=run, tool="compute.status", arguments={"instance": "i"}),
        Call(run=run, tool="email.list", arguments={}),
    ]


async def test_the_actions_of_one_run_are_judged_one_after_the_other_and_two_runs_at_once() -> None:
    engine = FarEngine()
    rig = Rig(engine=engine)
    rig.ledger.books.apply(run_started("run_2", MANDATE, rig.clock.now_ns()))
    book = rig.ledger.book("run_2")
    rig.runs.add(Run(view_of(book.started), book, rig.run.evidence))
    replies = await asyncio.gather(*(rig.pipeline.handle(call) for run in ("run_1", "run_2") for call in calls(run)))
    assert [reply.status for reply in replies] == [Status.DONE] * 8
    assert engine.most == {"run_1": 1, "run_2": 1}
    assert engine.most_of_all == 2


async def test_a_run_and_its_children_are_judged_one_after_the_other() -> None:
    rig = Rig()
    book = rig.ledger.book("run_1")
    other = Run(rig.run.view, book, rig.run.evidence)
    rig.runs.add(other)
    assert other.judging is rig.run.judging
