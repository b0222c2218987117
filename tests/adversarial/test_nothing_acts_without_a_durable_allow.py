"""Laws 1, 2 and 3: whatever port fails, and however, no effect happens without a durable allow before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from safebox.firewall import effects as effects_module
from safebox.firewall import pipeline as pipeline_module
from safebox.firewall.core.action import Call
from safebox.firewall.core.record import Decided, Settled
from safebox.firewall.core.reply import Status
from safebox.firewall.errors import EffectError, FactsUnavailable, PolicyUnavailable
from tests.twins import PAYEE, Rig

PAY = {"to": PAYEE, "amount": "1 ETH"}


def pay(key: str | None = None, amount: str = "1 ETH") -> Call:
    return Call(run="run_1", tool="wallet.transfer", arguments={"to": PAYEE, "amount": amount}, key=key)


def raising(error: BaseException) -> Callable[[], asyncio.Future[None]]:
    async def fail() -> None:
        raise error

    return fail  # type: ignore[return-value]


async def test_an_allow_is_recorded_before_the_effect_and_its_outcome_after() -> None:
    rig = Rig()
    seen: list[int] = []

    async def look() -> None:
        seen.append(sum(isinstance(event, Decided) for event in rig.store.events))

    rig.connectors["chain"].on_perform = look
    reply = await rig.pipeline.handle(pay())
    assert reply.status is Status.DONE
    assert seen == [1]
    decided, settled = rig.store.events[-2:]
    assert isinstance(decided, Decided)
    assert isinstance(settled, Settled)
    assert decided.decision == settled.decision == reply.decision_id


@pytest.mark.parametrize(
    "error",
    [
        PolicyUnavailable("no pack", kind="missing"),
        PolicyUnavailable("undefined", kind="undefined"),
        PolicyUnavailable("panic", kind="panic"),
        PolicyUnavailable("slow", kind="timeout"),
    ],
)
async def test_an_engine_that_cannot_answer_is_a_deny(error: PolicyUnavailable) -> None:
    rig = Rig()
    rig.engine.answer = error
    reply = await rig.pipeline.handle(pay())
    assert (reply.status, reply.code) == (Status.UNAVAILABLE, "firewall.policy_unavailable")
    assert rig.effects == 0
    assert rig.metric("safebox_port_failures_total", port="engine") == 1
    assert rig.metric("safebox_engine_errors_total", kind=error.kind) == 1
    decided = rig.store.events[-1]
    assert isinstance(decided, Decided)
    assert decided.answer.reasons[0].code == "firewall.policy_unavailable"


async def test_a_ledger_that_cannot_write_is_a_deny_and_reserves_nothing() -> None:
    rig = Rig()
    rig.store.broken = True
    reply = await rig.pipeline.handle(pay())
    assert (reply.status, reply.code) == (Status.UNAVAILABLE, "firewall.ledger_unavailable")
    assert rig.effects == 0
    assert rig.metric("safebox_port_failures_total", port="ledger") == 1
    assert rig.metric("safebox_ledger_failures_total", cause="full") == 1
    assert rig.run.book.lines["wallet", "ETH"].reserved == 0
    rig.store.broken = False
    assert (await rig.pipeline.handle(pay())).status is Status.DONE


@pytest.mark.parametrize("error", [FactsUnavailable("the node is down"), EffectError("odd")])
async def test_facts_that_cannot_be_learned_are_a_deny(error: FactsUnavailable | EffectError) -> None:
    rig = Rig()
    rig.connectors["chain"].on_quote = raising(error)
    reply = await rig.pipeline.handle(pay())
    assert reply.status is Status.UNAVAILABLE
    assert rig.effects == 0
    assert rig.metric("safebox_port_failures_total", port=error.port) == 1


async def test_facts_that_take_too_long_are_a_deny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "FACTS_SECONDS", 0.01)
    rig = Rig()
    rig.connectors["chain"].on_quote = lambda: asyncio.sleep(5)
    reply = await rig.pipeline.handle(pay())
    assert (reply.status, reply.code) == (Status.UNAVAILABLE, "firewall.facts_unavailable")
    assert rig.effects == 0


async def test_an_effect_that_certainly_failed_gives_its_money_back() -> None:
    rig = Rig()
    rig.connectors["chain"].on_perform = raising(EffectError("refused"))
    reply = await rig.pipeline.handle(pay())
    assert (reply.status, reply.code) == (Status.FAILED, "firewall.effect_failed")
    line = rig.run.book.lines["wallet", "ETH"]
    assert (line.spent, line.reserved) == (0, 0)
    assert rig.metric("safebox_port_failures_total", port="connector") == 1


async def test_an_effect_that_may_have_happened_stays_reserved() -> None:
    rig = Rig()
    rig.connectors["chain"].on_perform = raising(EffectError("no answer", unknown=True))
    reply = await rig.pipeline.handle(pay())
    assert (reply.status, reply.code) == (Status.UNKNOWN, "firewall.effect_unknown")
    assert rig.run.book.lines["wallet", "ETH"].reserved == 10**18


async def test_an_effect_that_never_ends_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects_module, "EFFECT_SECONDS", 0.01)
    rig = Rig()
    rig.connectors["chain"].on_perform = lambda: asyncio.sleep(5)
    assert (await rig.pipeline.handle(pay())).status is Status.UNKNOWN
    assert rig.run.book.lines["wallet", "ETH"].reserved == 10**18


async def test_a_connector_that_breaks_in_an_unforeseen_way_leaves_its_money_reserved() -> None:
    rig = Rig()
    rig.connectors["chain"].on_perform = raising(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        await rig.pipeline.handle(pay())
    assert rig.run.book.lines["wallet", "ETH"].reserved == 10**18
    settled = rig.store.events[-1]
    assert isinstance(settled, Settled)
    assert settled.status == "unknown"


async def test_an_outcome_that_cannot_be_written_is_owed_and_stays_reserved() -> None:
    rig = Rig()

    async def disk_fills() -> None:
        rig.store.broken = True

    rig.connectors["chain"].on_perform = disk_fills
    reply = await rig.pipeline.handle(pay())
    assert (reply.status, reply.code) == (Status.UNKNOWN, "firewall.effect_unknown")
    assert rig.ledger.owes
    assert rig.run.book.lines["wallet", "ETH"].reserved == 10**18
    rig.store.broken = False
    await rig.ledger.pay_what_is_owed()
    line = rig.run.book.lines["wallet", "ETH"]
    assert (line.spent, line.reserved, rig.ledger.owes) == (10**18, 0, False)


async def test_a_deny_and_a_hold_do_nothing_and_burn_no_budget() -> None:
    rig = Rig()
    rig.engine.deny("transfer.payee_not_listed")
    reply = await rig.pipeline.handle(pay())
    assert (reply.status, reply.code) == (Status.DENIED, "transfer.payee_not_listed")
    assert rig.effects == 0
    assert rig.run.book.lines["wallet", "ETH"].remaining == 7 * 10**18


async def test_an_allow_beyond_the_budget_is_refused_whatever_policy_says() -> None:
    rig = Rig()
    replies = [await rig.pipeline.handle(pay(amount="2 ETH")) for _ in range(5)]
    assert [reply.status for reply in replies] == [Status.DONE] * 3 + [Status.DENIED] * 2
    assert replies[-1].code == "budget.exceeded"
    assert rig.effects == 3


async def test_a_hundred_at_once_get_exactly_what_fits() -> None:
    rig = Rig()
    rig.connectors["chain"].on_perform = lambda: asyncio.sleep(0.001)
    replies = await asyncio.gather(*(rig.pipeline.handle(pay()) for _ in range(100)))
    assert sum(reply.status is Status.DONE for reply in replies) == 7
    assert rig.effects == 7


async def test_a_stopped_run_starts_no_effect_even_when_already_allowed() -> None:
    rig = Rig()
    rig.store.stall = asyncio.Event()
    calling = asyncio.create_task(rig.pipeline.handle(pay()))
    await asyncio.sleep(0.01)
    rig.run.stopped = "killed"
    rig.store.stall.set()
    assert (await calling).status is Status.FAILED
    assert rig.effects == 0
    assert rig.run.book.lines["wallet", "ETH"].remaining == 7 * 10**18
    assert (await rig.pipeline.handle(pay())).code == "firewall.run_not_live"


async def test_a_run_nobody_knows_gets_nothing() -> None:
    rig = Rig()
    reply = await rig.pipeline.handle(Call(run="run_2", tool="email.list", arguments={}))
    assert (reply.status, reply.code) == (Status.UNAVAILABLE, "firewall.run_not_live")


@pytest.mark.parametrize(
    "tool", ["wallet.fund", "wallet.sweep", "Wallet.transfer", "wallet.transfer ", "", "\uff57allet.transfer"]
)
async def test_an_agent_finds_no_tool_that_is_not_its_own(tool: str) -> None:
    rig = Rig()
    reply = await rig.pipeline.handle(Call(run="run_1", tool=tool, arguments=PAY))
    assert (reply.status, reply.code) == (Status.INVALID, "request.unknown_tool")
    assert rig.effects == 0


async def test_the_same_key_and_body_have_one_effect_and_one_answer() -> None:
    rig = Rig()
    rig.connectors["chain"].on_perform = lambda: asyncio.sleep(0.01)
    together = await asyncio.gather(*(rig.pipeline.handle(pay(key="k")) for _ in range(5)))
    later = await rig.pipeline.handle(pay(key="k"))
    assert {reply.decision_id for reply in [*together, later]} == {together[0].decision_id}
    assert later.result == together[0].result
    assert rig.effects == 1


async def test_the_same_key_with_another_body_is_an_error() -> None:
    rig = Rig()
    await rig.pipeline.handle(pay(key="k"))
    reply = await rig.pipeline.handle(pay(key="k", amount="0.5 ETH"))
    assert (reply.status, reply.code) == (Status.INVALID, "request.idempotency_conflict")
    assert rig.effects == 1


async def test_a_key_is_remembered_over_a_restart() -> None:
    rig = Rig()
    first = await rig.pipeline.handle(pay(key="k"))
    again = Rig(store=rig.store)
    assert await again.pipeline.handle(pay(key="k")) == first
    assert again.effects == 0


async def test_asking_again_after_a_failure_of_the_firewall_is_a_new_question() -> None:
    rig = Rig()
    rig.engine.answer = PolicyUnavailable("restarting", kind="missing")
    assert (await rig.pipeline.handle(pay(key="k"))).status is Status.UNAVAILABLE
    rig.engine.answer = Rig().engine.answer
    assert (await rig.pipeline.handle(pay(key="k"))).status is Status.DONE
