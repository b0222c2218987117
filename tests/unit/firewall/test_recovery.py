"""After a crash the world is asked about what was left open, nothing is done a second time, and doubts are kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from safebox.firewall.core.action import Call
from safebox.firewall.core.outcome import Outcome
from safebox.firewall.core.record import Charge, Decided, Settled
from safebox.firewall.errors import EffectError, LedgerUnavailable
from safebox.firewall.recovery import Doubts, action_of, recover, view_of
from tests.twins import ADDRESS, PAYEE, Rig
from tests.unit.core.test_books import eth

ETH = 10**18


class Crashed:
    """A firewall that was cut off after each decision it allowed, and the one that is started after it."""

    def __init__(self) -> None:
        self.before = Rig()
        self.decided: list[Decided] = []

    async def allow(self, *calls: Call) -> Rig:
        for call in calls:
            records = len(self.before.store.records)
            await self.before.pipeline.handle(call)
            del self.before.store.records[records + 1 :]  # the outcome never became durable
        self.decided = [event for event in self.before.store.events if isinstance(event, Decided)]
        return Rig(store=self.before.store)


def pay(amount: str = "1 ETH", key: str | None = None) -> Call:
    return Call(run="run_1", tool="wallet.transfer", arguments={"to": PAYEE, "amount": amount}, key=key)


def mail() -> Call:
    arguments = {"to": ["a@b.example"], "subject": "s", "body": "b", "attachments": []}
    return Call(run="run_1", tool="email.send", arguments=arguments)


def line(rig: Rig) -> tuple[int, int]:
    found = rig.run.book.lines["wallet", "ETH"]
    return found.spent, found.reserved


async def test_what_was_done_is_found_and_charged_and_not_done_again() -> None:
    crashed = Crashed()
    rig = await crashed.allow(pay(key="k"))
    assert line(rig) == (0, ETH)
    action = crashed.decided[0].action_id
    rig.connectors["chain"].world[action] = Outcome(status="done", charges=(eth(ETH),), result={"number": 1})
    settled = await recover(rig.ledger, rig.connectors, rig.clock)
    assert [(each.action_id, each.status, each.recovered) for each in settled] == [(action, "done", True)]
    assert (line(rig), rig.effects) == ((ETH, 0), 0)
    again = await rig.pipeline.handle(pay(key="k"))
    assert (again.status, again.result, rig.effects) == ("done", {"number": 1}, 0)


async def test_what_was_never_done_gives_its_money_back() -> None:
    rig = await Crashed().allow(pay())
    settled = await recover(rig.ledger, rig.connectors, rig.clock)
    assert [each.status for each in settled] == ["failed"]
    assert line(rig) == (0, 0)
    assert rig.ledger.unsettled() == []


async def test_each_is_asked_about_once_oldest_first_and_by_its_own_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    crashed = Crashed()
    rig = await crashed.allow(pay(), mail(), pay("2 ETH"))
    asked: list[tuple[str, str]] = []
    for name, connector in rig.connectors.items():

        async def reconcile(action: Any, run: Any, plan: Any, name: str = name) -> Outcome:
            asked.append((name, action.id))
            return Outcome(status="failed")

        monkeypatch.setattr(connector, "reconcile", reconcile)
    await recover(rig.ledger, rig.connectors, rig.clock)
    names = [event.action_id for event in crashed.decided]
    assert asked == list(zip(("chain", "mail", "chain"), names, strict=True))
    assert await recover(rig.ledger, rig.connectors, rig.clock) == []


async def test_a_world_that_cannot_be_asked_leaves_it_unknown_and_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = await Crashed().allow(pay())

    async def away(*_: Any) -> Outcome:
        raise EffectError("the node is away")

    monkeypatch.setattr(rig.connectors["chain"], "reconcile", away)
    settled = await recover(rig.ledger, rig.connectors, rig.clock)
    assert [(each.status, each.detail) for each in settled] == [("unknown", "the node is away")]
    assert line(rig) == (0, ETH)
    assert len(rig.ledger.unsettled()) == 1


async def test_a_start_does_not_wait_for_what_was_unknown_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = await Crashed().allow(pay())
    asked: list[str] = []

    async def away(action: Any, *_: Any) -> Outcome:
        asked.append(action.id)
        raise EffectError("the node is away")

    monkeypatch.setattr(rig.connectors["chain"], "reconcile", away)
    for _ in range(3):
        await recover(rig.ledger, rig.connectors, rig.clock)
    assert len(asked) == 1
    await Doubts(rig.ledger, rig.connectors, rig.clock).ask()
    assert len(asked) == 2
    assert line(rig) == (0, ETH)


async def test_a_ledger_that_cannot_be_written_stops_the_start() -> None:
    rig = await Crashed().allow(pay())
    rig.store.broken = True
    with pytest.raises(LedgerUnavailable):
        await recover(rig.ledger, rig.connectors, rig.clock)
    assert line(rig) == (0, ETH)


async def test_a_recorded_action_is_the_one_that_was_decided() -> None:
    crashed = Crashed()
    await crashed.allow(pay(key="k"), mail())
    transfer, sent = (action_of(event) for event in crashed.decided)
    acted = crashed.before.connectors["chain"].done[0]
    assert transfer == acted
    assert sent == crashed.before.connectors["mail"].done[0]


def test_a_recorded_run_is_seen_by_connectors_as_it_was() -> None:
    rig = Rig()
    view = view_of(rig.run.book.started)
    assert msgspec.structs.replace(rig.run.view, last_look=view.last_look) == view
    assert (view.id, view.agent, view.address) == ("run_1", "tester", ADDRESS)


# --- doubts -----------------------------------------------------------------------------------------------------


class Doubtful:
    """A firewall with one payment whose outcome is unknown, and a clock that can be turned."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("safebox.firewall.recovery.time", SimpleNamespace(monotonic=lambda: self.now))
        self.rig = Rig()
        self.doubts = Doubts(self.rig.ledger, self.rig.connectors, self.rig.clock)
        self.asked = 0
        self.answer = Outcome(status="unknown")
        monkeypatch.setattr(self.rig.connectors["chain"], "reconcile", self._reconcile)

    async def begin(self) -> None:
        async def no_answer() -> None:
            raise EffectError("no answer", unknown=True)

        self.rig.connectors["chain"].on_perform = no_answer
        assert (await self.rig.pipeline.handle(pay())).status == "unknown"

    async def _reconcile(self, *_: Any) -> Outcome:
        self.asked += 1
        return self.answer


async def test_what_is_unknown_is_asked_about_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Doubtful(monkeypatch)
    await it.begin()
    records = len(it.rig.store.records)
    for _ in range(600):
        assert await it.doubts.ask() == []
        it.now += 1
    assert 10 <= it.asked <= 20
    assert len(it.rig.store.records) == records, "what stays unknown is not recorded again"
    assert line(it.rig) == (0, ETH)


async def test_what_becomes_known_is_settled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Doubtful(monkeypatch)
    await it.begin()
    it.answer = Outcome(status="done", charges=(Charge("wallet", eth(5).amount),))
    settled = await it.doubts.ask()
    assert [(each.status, each.recovered) for each in settled] == [("done", True)]
    assert line(it.rig) == (5, 0)
    it.now += 100
    assert await it.doubts.ask() == []
    assert it.asked == 1
    assert it.rig.ledger.books.effects_without_allow == 0
    assert sum(isinstance(event, Settled) for event in it.rig.store.events) == 2


async def test_what_is_under_way_is_not_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Doubtful(monkeypatch)
    seen: list[Any] = []

    async def look() -> None:
        seen.append(await it.doubts.ask())

    it.rig.connectors["chain"].on_perform = look
    await it.rig.pipeline.handle(pay())
    assert (seen, it.asked) == ([[]], 0)
