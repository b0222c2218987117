"""Tokens of a run are the owner's: lent as far as granted, what is earned in them pays for nothing, all comes home.

A token is a stranger's program: whatever one does, the rest comes home. All of it is read from the chain, under the
pack's own policy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from eth_account import Account

from safebox.firewall.core.action import Call
from safebox.firewall.core.addresses import checksummed
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.core.record import Received, RunEnded
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.core.tools import Caller
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.keystore import Keystore
from safebox.firewall.loans import PAUSE_SECONDS
from safebox.firewall.stranded import TRIES_MAX, Stranded
from tests.chain_contracts.contracts import Contract, deploy, send
from tests.integration.chain_nodes import funded
from tests.integration.money import CENT, ETHER, MANDATE, PAYEE, Money
from tests.twins import ScriptedEngine

KEY = b"\x33" * 32
OWNER = Keystore(KEY).owner_address
MAKER = b"\x34" * 32
"""Another's key: who pays in what the owner lacks."""
BUDGET, CEILING, ONCE = 1_000, 1_500, 600
FEES = CENT // 10
"""More than all fees of a test together."""
ASKS_BALANCE = bytes.fromhex("60003560e01c6370a0823114")
"""Whether the call is `balanceOf`."""
REVERTS, BURNS, SILENT = "60006000fd", "fe", "00"
GREEDY = "".join(f"60{at + 1:02x}60{at:02x}55" for at in range(15)) + "00"
"""Writes so much that it takes 300,000 gas."""


@pytest.fixture(scope="module", params=["standin", "anvil"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with funded(request.param, tmp_path_factory.mktemp("chain"), OWNER) as url:
        yield url


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


def listed(name: str, address: str, ceiling: int = CEILING) -> str:
    return f"""
[tokens.{name}]
address = "{address}"
decimals = 0
budget = "{BUDGET} {name}"
ceiling = "{ceiling} {name}"
per_transfer = "{ONCE} {name}"
[tokens.{name}.payees]
acme = "{PAYEE}"
"""


@dataclass
class Lent:
    """A run with a token that the owner has twice of what is granted."""

    money: Money
    coin: Contract

    async def held(self, address: str, token: Contract | None = None) -> int:
        return int(await (token or self.coin).read(self.money.node, "balanceOf", address))

    async def pay(self, units: int) -> Reply:
        """Pay the payee in tokens, as an agent does."""
        asked = {"to": self.coin.address, "data": self.coin.call("transfer", PAYEE, units)}
        return await self.money.pipeline.handle(Call(run=self.money.name, tool="wallet.call", arguments=asked))

    async def earn(self, units: int, key: bytes = KEY) -> None:
        await send(self.money.node, key, self.coin.address, self.coin.call("transfer", self.money.address, units))
        await self.money.treasury.check()

    @property
    def asset(self) -> str:
        return token_asset(self.coin.address)

    @property
    def noted(self) -> list[int]:
        events = (each for each in self.money.store.events if isinstance(each, Received))
        return [each.amount.units for each in events if each.amount.asset == self.asset]

    def stranded(self) -> Stranded:
        return Stranded(self.money.ledger, self.money.runs, self.money.treasury, self.money.metrics)


@pytest.fixture
async def lent(url: str, engine: EmbeddedEngine) -> AsyncIterator[Lent]:
    async for each in _lent(url, engine):
        yield each


async def _lent(url: str, engine: EmbeddedEngine, more: str = "", **opening: bool) -> AsyncIterator[Lent]:
    money = Money(url, KEY, mandate=MANDATE, engine=engine, receipt_seconds=10)
    await money.have_treasury()
    coin = await deploy(money.node, KEY, "Token", "Coin", "COIN", 0, 1_000_000)
    money.mandate = MANDATE + listed("COIN", coin.address) + more
    await money.open(lend=True, **opening)
    yield Lent(money, coin)
    await money.close()


async def test_a_run_that_earns_tokens_spends_what_it_was_granted_and_no_more_and_the_rest_comes_home(
    lent: Lent,
) -> None:
    money = lent.money
    assert (await lent.held(money.address), money.notes) == (BUDGET, [])
    paid, home = await lent.held(PAYEE), await lent.held(OWNER)

    await lent.earn(400)
    assert (lent.noted, money.run.book.quarantined(lent.asset)) == ([400], 400)
    await money.treasury.check()
    assert lent.noted == [400], "once"

    assert (await lent.pay(600)).status is Status.DONE
    assert (await lent.pay(400)).status is Status.DONE
    refused = await lent.pay(1)
    assert (refused.status, refused.code) == (Status.DENIED, "call.over_budget")
    assert await lent.held(money.address) == 400, "it has the money, and may not spend it"
    assert await lent.held(PAYEE) == paid + BUDGET

    await lent.earn(CEILING)
    assert await lent.held(money.address) == 0, "above the ceiling all goes home that it may not spend"
    assert (money.run.book.quarantined(lent.asset), lent.noted) == (0, [400, CEILING])

    await lent.earn(7)
    before = await money.balance(OWNER)
    swept = await money.end()
    assert swept is not None
    assert swept.status is Status.DONE
    assert await lent.held(money.address) == 0
    assert await lent.held(OWNER) == home, "all that was earned, and it was the owner who paid"
    assert await money.balance(money.address) < FEES
    assert await money.balance(OWNER) > before + ETHER - FEES
    assert money.run.book.lines["wallet", "ETH"].spent < FEES, "no sweep took from the run's budget"
    await money.check()


async def test_a_ceiling_keeps_what_may_be_spent_and_dust_costs_one_fee_a_minute(lent: Lent) -> None:
    money = lent.money
    await lent.earn(501)
    assert await lent.held(money.address) == BUDGET
    await lent.earn(501)
    assert await lent.held(money.address) == CEILING + 1, f"the next is due in {PAUSE_SECONDS} s"
    assert money.metrics.registry.get_sample_value("safebox_wallet_over_ceiling") == 1
    await money.treasury.sweep_now(money.run)
    assert await lent.held(money.address) == 0


async def test_what_the_mandate_does_not_list_is_never_touched_or_counted(lent: Lent) -> None:
    money = lent.money
    other = await deploy(money.node, KEY, "Token", "Airdrop", "AIR", 0, 5)
    await send(money.node, KEY, other.address, other.call("transfer", money.address, 5))
    await money.treasury.check()
    assert money.run.book.earned == {}
    move = {"to": OWNER, "amount": Amount(5, token_asset(other.address))}
    refused = await money.pipeline.handle(
        Call(run=money.name, tool="wallet.sweep", arguments=move, caller=Caller.OWNER)
    )
    assert (refused.status, refused.code) == (Status.DENIED, "transfer.token_not_listed")
    await money.end()
    assert await lent.held(money.address, other) == 5
    assert await lent.held(money.address) == 0


async def test_what_is_no_token_is_not_lent_and_that_is_said(url: str, engine: EmbeddedEngine) -> None:
    async for lent in _lent(url, engine, listed("NONE", checksummed(b"\x07" * 20))):
        assert lent.money.notes == ["NONE is no token here"]


async def test_what_the_owner_lacks_is_said_and_no_income_takes_its_place(url: str, engine: EmbeddedEngine) -> None:
    async for lent in _lent(url, engine, fund=False):
        maker = Account.from_key(MAKER).address
        await send(lent.money.node, KEY, maker, value=ETHER)
        await send(lent.money.node, KEY, lent.coin.address, lent.coin.call("transfer", maker, 1_000_000 - 3))
        notes = await lent.money.treasury.fund_tokens(lent.money.run)
        assert notes == ["of 1000 COIN only 3 COIN could be lent"]
        assert await lent.held(lent.money.address) == 3
        await lent.money.treasury.fund(lent.money.run)
        await lent.earn(100, MAKER)
        refused = await lent.pay(4)
        assert (refused.status, refused.code) == (Status.DENIED, "call.over_budget"), "income fills nothing up"
        assert (await lent.pay(3)).status is Status.DONE


async def test_of_what_the_owner_has_not_lent_nothing_is_spent_that_was_earned(lent: Lent) -> None:
    money = lent.money
    await money.treasury.sweep_now(money.run)
    await lent.earn(CEILING)
    refused = await lent.pay(1)
    assert (refused.status, refused.code) == (Status.DENIED, "call.over_budget")
    assert await lent.held(money.address) == CEILING


async def made(money: Money, tail: str) -> str:
    """A token of which everybody has seven; what it does when it is told to move them is `tail`."""
    begun = ASKS_BALANCE + bytes.fromhex(f"60{15 + len(tail) // 2:02x}57" + tail)
    code = begun + bytes.fromhex("5b600760005260206000f3")
    init = bytes.fromhex(f"60{len(code):02x}600c60003960{len(code):02x}6000f3")
    receipt = await send(money.node, KEY, "", "0x" + (init + code).hex())
    return checksummed(bytes.fromhex(receipt["contractAddress"][2:]))


@pytest.mark.parametrize("does", [REVERTS, BURNS, SILENT, GREEDY], ids=["reverts", "burns", "nothing", "dear"])
async def test_a_token_that_will_not_come_home_keeps_nothing_else_from_it(
    url: str, engine: EmbeddedEngine, does: str
) -> None:
    probe = Money(url, KEY)
    await probe.have_treasury()
    bad = await made(probe, does)
    await probe.node.close()
    async for lent in _lent(url, engine, listed("BAD", bad)):
        money = lent.money
        before = await money.balance(OWNER)
        swept = await money.end()
        assert await lent.held(money.address) == 0
        assert await money.balance(money.address) < FEES
        assert await money.balance(OWNER) > before + ETHER - FEES
        assert swept is not None
        assert (swept.status is Status.DONE) is (does == SILENT), "it said so"


async def test_who_spent_all_is_given_the_gas_and_nothing_of_it_stays(url: str, engine: EmbeddedEngine) -> None:
    async for lent in _lent(url, engine, fund=False):
        money = lent.money
        await money.treasury.fund_tokens(money.run)
        assert (await money.balance(money.address), await lent.held(money.address)) == (0, BUDGET)
        swept = await money.end()
        assert swept is not None
        assert swept.status is Status.DONE, swept
        assert await lent.held(money.address) == 0
        assert await money.balance(money.address) < FEES


async def test_what_was_swept_before_a_crash_is_not_swept_again_and_the_rest_is(lent: Lent) -> None:
    money = lent.money
    move = {"to": OWNER, "amount": Amount(BUDGET, lent.asset)}
    swept = await money.pipeline.handle(Call(run=money.name, tool="wallet.sweep", arguments=move, caller=Caller.OWNER))
    assert swept.status is Status.DONE
    nonce = await money.node.quantity("eth_getTransactionCount", money.address, "latest")
    await money.die()
    await money.end()
    assert await money.node.quantity("eth_getTransactionCount", money.address, "latest") == nonce + 1
    assert await money.balance(money.address) < FEES


async def _end_without_sweep(money: Money) -> None:
    money.run.stopped = "over"
    await money.ledger.note(RunEnded(at_ns=money.clock.now_ns(), run=money.name, reason="exited", exit_code=0))
    money.runs.remove(money.name)


async def test_what_an_ended_run_left_behind_comes_home_also_after_a_restart(lent: Lent) -> None:
    money = lent.money
    before = await money.balance(OWNER)
    await _end_without_sweep(money)
    await money.die()
    money.runs.remove(money.name)
    stranded = lent.stranded()
    assert stranded.holds(money.ledger.book(money.name))
    await stranded.look()
    assert await lent.held(money.address) == 0
    assert await money.balance(money.address) < FEES
    assert await money.balance(OWNER) > before + ETHER - FEES
    assert not lent.stranded().holds(money.ledger.book(money.name)), "the ledger says so"
    assert money.metrics.registry.get_sample_value("safebox_wallet_stranded") == 0
    late = Call(run=money.name, tool="wallet.transfer", arguments={"to": PAYEE, "amount": "1 wei"})
    assert (await money.pipeline.handle(late)).code == "firewall.run_not_live"


async def test_an_agent_of_an_ended_run_gets_nothing_while_it_is_brought_home(lent: Lent) -> None:
    money = lent.money
    await _end_without_sweep(money)
    with money.runs.returning(money.run):
        late = Call(run=money.name, tool="wallet.transfer", arguments={"to": PAYEE, "amount": "1 wei"})
        assert (await money.pipeline.handle(late)).code == "firewall.run_not_live"
    sweep = Call(run=money.name, tool="wallet.sweep", arguments={"to": OWNER, "amount": None}, caller=Caller.OWNER)
    assert (await money.pipeline.handle(sweep)).code == "firewall.run_not_live", "nobody asked for it"


async def test_what_will_not_come_home_is_tried_so_often_and_no_more(url: str) -> None:
    money, now = Money(url, KEY, receipt_seconds=10), 0.0
    await money.have_treasury()
    await money.open()
    await _end_without_sweep(money)
    assert isinstance(money.engine, ScriptedEngine)
    money.engine.deny("test.no")
    stranded = Stranded(money.ledger, money.runs, money.treasury, money.metrics, lambda: now)
    for _ in range(3 * TRIES_MAX):
        await stranded.look()
        now += 10_000
    swept = [each for each in money.store.events if getattr(each, "tool", "") == "wallet.sweep"]
    assert len(swept) == TRIES_MAX
    assert money.metrics.registry.get_sample_value("safebox_wallet_stranded") == 1
    assert await money.balance(money.address) == ETHER
    money.engine.answer = ScriptedEngine().answer
    reply = await stranded.bring_home(money.ledger.book(money.name))
    assert reply is not None
    assert reply.status is Status.DONE
    assert await money.balance(money.address) < FEES
    await money.close()


async def test_income_counts_once_enough_blocks_hold_it(url: str) -> None:
    money = Money(url, KEY, receipt_seconds=1, confirmations=3)
    await money.have_treasury()
    await money.open()
    for _ in range(3):
        await send(money.node, KEY, OWNER)
    await money.look()
    await send(money.node, KEY, money.address, value=5)
    await money.treasury.check()
    assert money.run.book.earned == {}
    for _ in range(2):
        await send(money.node, KEY, OWNER)
    await money.treasury.check()
    assert money.run.book.earned == {"ETH": 5}
    await money.close()
