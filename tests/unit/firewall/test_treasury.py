"""Wallets are leases: funded as granted, held to their ceiling, swept at the end, all through the one path."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from safebox.firewall.core.action import Call
from safebox.firewall.core.money import Amount
from safebox.firewall.core.record import Charge, Decided, Received
from safebox.firewall.core.reply import Status
from safebox.firewall.core.tools import Caller
from safebox.firewall.errors import CallerError, FactsUnavailable
from safebox.firewall.treasury import Treasury
from tests.twins import ADDRESS, MANDATE, PAYEE, Rig

OWNER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
ETH = 10**18


class Lent:
    """A treasury over a pipeline of twins; `balance` is what the chain says the run's wallet holds."""

    def __init__(self, mandate: str = MANDATE) -> None:
        self.rig = Rig(mandate=mandate)
        self.rig.connectors["chain"].price = lambda _: 0
        self.balance: int | None = 0
        self.treasury = Treasury(self.rig.pipeline, self.rig.runs, OWNER, self._balance, self.rig.metrics, self._note)

    async def _note(self, run: str, amount: Amount) -> None:
        await self.rig.ledger.note(Received(at_ns=self.rig.clock.now_ns(), run=run, amount=amount))

    async def _balance(self, address: str) -> int:
        assert address == ADDRESS
        if self.balance is None:
            raise FactsUnavailable("the node is away")
        return self.balance

    @property
    def moved(self) -> list[tuple[str, str, Any]]:
        return [(each.tool, each.args.to, each.args.amount) for each in self.rig.connectors["chain"].done]


CEILING = MANDATE.replace('per_transfer = "1 ETH"', 'per_transfer = "1 ETH"\nceiling = "8 ETH"')


async def test_a_run_is_given_what_its_mandate_grants() -> None:
    lent = Lent()
    reply = await lent.treasury.fund(lent.rig.run)
    assert reply is not None
    assert reply.status is Status.DONE
    assert lent.moved == [("wallet.fund", ADDRESS, Amount(7 * ETH, "ETH"))]


async def test_every_movement_is_judged_as_the_owners_and_recorded() -> None:
    lent = Lent()
    lent.rig.engine.deny("main.caller")
    reply = await lent.treasury.fund(lent.rig.run)
    assert reply is not None
    assert (reply.status, reply.code) == (Status.DENIED, "main.caller")
    decided = lent.rig.store.events[-1]
    assert isinstance(decided, Decided)
    assert (decided.tool, decided.caller) == ("wallet.fund", Caller.OWNER)
    assert lent.moved == []


async def test_a_run_without_a_wallet_is_given_nothing() -> None:
    none = MANDATE[: MANDATE.index("[wallet]")] + MANDATE[MANDATE.index("[mail]") :]
    assert await Lent(none).treasury.fund(Lent(none).rig.run) is None
    empty = Lent(MANDATE.replace('budget = "7 ETH"', 'budget = "0 ETH"').replace('"1 ETH"', '"0 ETH"'))
    assert await empty.treasury.fund(empty.rig.run) is None
    assert empty.moved == []


async def test_all_a_run_holds_is_taken_back_also_from_a_killed_one() -> None:
    lent = Lent()
    assert await lent.treasury.sweep(lent.rig.run) is None
    lent.balance = 5
    lent.rig.run.stopped = "killed by the owner"
    reply = await lent.treasury.sweep(lent.rig.run)
    assert reply is not None
    assert reply.status is Status.DONE
    assert lent.moved == [("wallet.sweep", OWNER, None)]


async def test_a_chain_that_is_away_at_the_end_is_said() -> None:
    lent = Lent()
    lent.balance = None
    with pytest.raises(FactsUnavailable):
        await lent.treasury.sweep(lent.rig.run)


@pytest.mark.parametrize(
    ("balance", "spent", "swept"),
    [
        (0, 0, None),
        (7 * ETH, 0, None),
        (8 * ETH, 0, None),
        (8 * ETH + 1, 0, ETH + 1),  # what was earned goes home, what was granted stays
        (20 * ETH, 0, 13 * ETH),
        (20 * ETH, 5 * ETH, 18 * ETH),  # earnings don't fill up what was spent
        (20 * ETH, 7 * ETH, 20 * ETH),
    ],
)
async def test_what_is_above_the_ceiling_goes_home_and_no_more_stays_than_may_be_spent(
    balance: int, spent: int, swept: int | None
) -> None:
    lent = Lent(CEILING)
    lent.rig.run.book.lines["wallet", "ETH"].spent = spent
    lent.balance = balance
    await lent.treasury.check()
    assert lent.moved == ([] if swept is None else [("wallet.sweep", OWNER, Amount(swept, "ETH"))])
    over = balance > 8 * ETH
    assert lent.rig.metric("safebox_wallet_over_ceiling") == over
    assert lent.rig.metric("safebox_wallet_sweeps_total") == over


async def test_a_wallet_over_its_ceiling_stays_in_sight_when_the_sweep_is_refused() -> None:
    lent = Lent(CEILING)
    lent.balance = 20 * ETH
    lent.rig.engine.deny()
    await lent.treasury.check()
    assert lent.rig.metric("safebox_wallet_over_ceiling") == 1
    assert lent.rig.metric("safebox_wallet_sweeps_total") == 0


async def test_without_a_ceiling_or_without_a_chain_nothing_is_moved() -> None:
    for lent, balance in ((Lent(), 100 * ETH), (Lent(CEILING), None)):
        lent.balance = balance
        await lent.treasury.check()
        assert lent.moved == []


async def test_an_agent_cannot_ask_for_either() -> None:
    lent = Lent()
    for tool in ("wallet.fund", "wallet.sweep"):
        reply = await lent.rig.pipeline.handle(Call(run="run_1", tool=tool, arguments={"to": PAYEE, "amount": None}))
        assert reply.code == "request.unknown_tool"
    assert lent.moved == []


async def test_what_arrives_is_noted_once_and_pays_for_nothing() -> None:
    lent = Lent()
    before = lent.rig.run.book.remaining("wallet", "ETH")
    for balance in (7 * ETH, 9 * ETH, 9 * ETH, 10 * ETH):
        lent.balance = balance
        await lent.treasury.check()
    noted = [event.amount.units for event in lent.rig.store.events if isinstance(event, Received)]
    assert noted == [2 * ETH, ETH]
    assert lent.rig.run.book.quarantined("ETH") == 3 * ETH
    assert lent.rig.run.book.remaining("wallet", "ETH") == before


async def test_income_is_taken_out_of_quarantine_by_the_sweep() -> None:
    lent = Lent(CEILING)
    lent.balance = 10 * ETH
    lent.rig.connectors["chain"].price = lambda action: action.args.amount.units
    await lent.treasury.check()
    assert lent.moved == [("wallet.sweep", OWNER, Amount(3 * ETH, "ETH"))]
    book = lent.rig.run.book
    assert (book.earned["ETH"], book.swept["ETH"], book.quarantined("ETH")) == (3 * ETH, 3 * ETH, 0)
    lent.balance = 7 * ETH
    await lent.treasury.check()
    assert [type(event) for event in lent.rig.store.events].count(Received) == 1


async def test_nothing_is_called_income_while_a_payment_is_under_way() -> None:
    lent = Lent()
    lent.balance = 9 * ETH
    lent.rig.ledger.books.apply(lent.rig.decided_for("run_1", charges=(Charge("wallet", Amount(1, "ETH")),)))
    await lent.treasury.check()
    assert lent.rig.run.book.earned == {}


async def test_income_that_cannot_be_written_down_is_seen_again() -> None:
    lent = Lent()
    lent.balance, lent.rig.store.broken = 9 * ETH, True
    await lent.treasury.check()
    assert lent.rig.run.book.earned == {}
    lent.rig.store.broken = False
    await lent.treasury.check()
    assert lent.rig.run.book.earned == {"ETH": 2 * ETH}


async def test_a_balance_that_cannot_be_is_not_believed() -> None:
    lent = Lent(CEILING)
    lent.balance = 2**256
    await lent.treasury.check()
    assert lent.moved == []
    assert lent.rig.run.book.earned == {}
    assert lent.rig.metric("safebox_port_failures_total", port="facts") == 1


async def test_a_run_that_ends_while_it_is_funded_keeps_nothing() -> None:
    lent, begun, mined = Lent(), asyncio.Event(), asyncio.Event()

    async def mine() -> None:
        begun.set()
        await mined.wait()
        lent.balance = 7 * ETH

    lent.rig.connectors["chain"].on_perform = mine
    funding = asyncio.ensure_future(lent.treasury.fund(lent.rig.run))
    await begun.wait()
    sweeping = asyncio.ensure_future(lent.treasury.sweep(lent.rig.run))
    await asyncio.sleep(0)
    mined.set()
    assert (await funding) is not None
    assert (await sweeping) is not None
    assert [tool for tool, *_ in lent.moved] == ["wallet.fund", "wallet.sweep"]


async def test_a_run_that_was_stopped_before_its_funding_is_given_nothing() -> None:
    lent = Lent()
    lent.rig.run.stopped = "over"
    reply = await lent.treasury.fund(lent.rig.run)
    assert reply is not None
    assert reply.status is Status.UNAVAILABLE
    assert lent.moved == []


def fund_for_real(lent: Lent) -> None:
    """The wallet holds what the books say; the network takes nothing."""
    book = lent.rig.run.book

    def price(action: Any) -> int:
        return lent.balance or 0 if action.args.amount is None else action.args.amount.units

    lent.rig.connectors["chain"].price = price
    lent.balance = book.holding("wallet", "ETH")


async def test_a_run_is_given_again_what_was_taken_and_never_more_than_it_may_still_spend() -> None:
    lent = Lent()
    await lent.treasury.fund(lent.rig.run)
    fund_for_real(lent)
    book = lent.rig.run.book
    for asked in (None, Amount(1, "ETH"), Amount(0, "ETH")):
        with pytest.raises(CallerError, match="at most 0 ETH"):
            await lent.treasury.fund_again(lent.rig.run, asked)
    book.lines["wallet", "ETH"].spent = 2 * ETH
    lent.balance = 5 * ETH
    await lent.treasury.sweep_now(lent.rig.run)
    lent.balance = 0
    assert (book.holding("wallet", "ETH"), book.quarantined("ETH")) == (0, 0)
    with pytest.raises(CallerError, match="at most 5 ETH") as refused:
        await lent.treasury.fund_again(lent.rig.run, Amount(5 * ETH + 1, "ETH"))
    assert (refused.value.code, bool(refused.value.remedy)) == ("wallet.no_room", True)
    given, reply = await lent.treasury.fund_again(lent.rig.run, Amount(2 * ETH, "ETH"))
    assert (given.units, reply.status, book.holding("wallet", "ETH")) == (2 * ETH, Status.DONE, 2 * ETH)
    lent.balance = 2 * ETH
    given, _ = await lent.treasury.fund_again(lent.rig.run, None)
    assert given.units == 3 * ETH
    lent.balance = 5 * ETH
    await lent.treasury.check()
    assert book.earned == {}, "what the owner gives is no income"


async def test_what_was_earned_is_known_before_it_is_swept_and_after() -> None:
    lent = Lent()
    await lent.treasury.fund(lent.rig.run)
    fund_for_real(lent)
    book = lent.rig.run.book
    lent.balance = 8 * ETH
    await lent.treasury.sweep_now(lent.rig.run)
    assert (book.earned, book.quarantined("ETH"), book.holding("wallet", "ETH")) == ({"ETH": ETH}, 0, 0)
    lent.balance = 0
    await lent.treasury.fund_again(lent.rig.run, Amount(ETH, "ETH"))
    lent.balance = 3 * ETH
    await lent.treasury.check()
    assert book.quarantined("ETH") == 2 * ETH


async def test_policy_may_refuse_a_second_funding_and_a_stopped_run_gets_none() -> None:
    lent = Lent()
    await lent.treasury.fund(lent.rig.run)
    fund_for_real(lent)
    await lent.treasury.sweep_now(lent.rig.run)
    lent.balance = 0
    lent.rig.engine.deny("transfer.over_ceiling_receive")
    _, reply = await lent.treasury.fund_again(lent.rig.run, None)
    assert (reply.status, reply.code) == (Status.DENIED, "transfer.over_ceiling_receive")
    lent.rig.run.stopped = "killed by the owner"
    with pytest.raises(CallerError, match="killed by the owner"):
        await lent.treasury.fund_again(lent.rig.run, None)


async def test_no_run_is_funded_while_nobody_knows_what_it_holds() -> None:
    lent = Lent()
    lent.rig.ledger.books.apply(lent.rig.decided_for("run_1", charges=(Charge("wallet", Amount(1, "ETH")),)))
    with pytest.raises(FactsUnavailable, match="under way"):
        await lent.treasury.fund_again(lent.rig.run, None)
    other = Lent()
    other.balance = None
    with pytest.raises(FactsUnavailable, match="away"):
        await other.treasury.fund_again(other.rig.run, None)
