"""One budget, however payments are cut up, hurried, repeated or broken off: counted on the chain itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

import aiohttp
import pytest

from safebox.firewall.core.action import Call
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.transaction import transaction_action
from safebox.firewall.keystore import Keystore
from tests.integration.chain_nodes import funded
from tests.integration.money import CENT, ETHER, MANDATE, PAYEE, Money
from tests.twin_desk import TwinDesk, serving

KEY: Final = b"\x61" * 32
OTHER: Final = "0x52908400098527886E0F7030069857D2E4169EE7"
CAP: Final = 14 * CENT
"""Seven of these fit a budget of 1 ETH, with their fees; the eighth doesn't."""
FIT: Final = 7
CUT: Final = MANDATE.replace('"0.5 ETH"', '"0.14 ETH"') + f'other = "{OTHER}"\n'


@pytest.fixture(scope="module", params=["standin", "anvil"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with funded(request.param, tmp_path_factory.mktemp("chain"), Keystore(KEY).owner_address) as url:
        yield url


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


@pytest.fixture
async def money(url: str, engine: EmbeddedEngine) -> AsyncIterator[Money]:
    money = Money(url, KEY, mandate=CUT, engine=engine, receipt_seconds=10)
    await money.open()
    yield money
    await money.close()


async def signed(money: Money) -> int:
    """How many of the wallet's transactions the chain has."""
    return await money.node.quantity("eth_getTransactionCount", money.address, "pending")


def done(replies: list[Reply]) -> int:
    return sum(reply.status is Status.DONE for reply in replies)


async def test_of_a_hundred_asked_at_once_as_many_are_signed_as_fit(money: Money) -> None:
    replies = await asyncio.gather(*(money.pay(f"{CAP} wei") for _ in range(100)))
    assert (done(replies), await signed(money), await money.paid()) == (FIT, FIT, FIT * CAP)
    assert {reply.status for reply in replies} == {Status.DONE, Status.DENIED}
    await money.check()


async def test_many_just_under_the_cap_to_several_payees_end_with_the_budget(money: Money) -> None:
    before = await money.balance(OTHER)
    over = await money.pay(f"{CAP + 1} wei")
    assert (over.status, over.code) == (Status.DENIED, "transfer.over_per_transfer")
    replies = [await money.pay(f"{CAP - 1} wei", to=(PAYEE, OTHER)[number % 2]) for number in range(9)]
    assert (done(replies), await signed(money)) == (FIT, FIT)
    assert replies[-1].code == "transfer.over_budget"
    assert await money.paid() + await money.balance(OTHER) - before == FIT * (CAP - 1)
    assert (await money.pay("0.001 ETH")).status is Status.DONE, "what is left may be spent"


async def test_sessions_and_agents_of_other_names_within_a_run_share_its_budget(money: Money) -> None:
    desk = TwinDesk(views={money.name: money.run.view}, answer=money.pipeline.handle)
    async with serving(desk) as served:

        async def pay(number: int) -> int:
            names = {"User-Agent": f"agent-{number}", "X-Agent": f"agent-{number}", "Cookie": f"session={number}"}
            asked = {"to": (PAYEE, OTHER)[number % 2], "amount": f"{CAP} wei"}
            url = f"{served.url('tools', money.name)}/v1/tools/wallet.transfer"
            async with aiohttp.ClientSession(headers=names) as http, http.post(url, json=asked) as answer:
                return answer.status

        statuses = await asyncio.gather(*(pay(number) for number in range(2 * FIT)))
    assert sorted(statuses) == [200] * FIT + [403] * FIT
    assert await signed(money) == FIT


async def test_what_a_firewall_that_died_had_begun_is_still_counted(money: Money) -> None:
    for _ in range(5):
        await money.pay(f"{CAP} wei")
    await money.die()
    replies = await asyncio.gather(*(money.pay(f"{CAP} wei") for _ in range(5)))
    assert (done(replies), await signed(money)) == (2, FIT)


async def test_a_clock_set_back_gives_nothing_back(money: Money) -> None:
    await asyncio.gather(*(money.pay(f"{CAP} wei") for _ in range(FIT)))
    money.clock.advance(-1800)
    assert (await money.pay(f"{CAP} wei")).status is Status.DENIED
    assert await signed(money) == FIT


async def test_an_hours_limit_holds_over_every_seam(url: str, engine: EmbeddedEngine) -> None:
    limited = CUT.replace('expires = "1h"', 'expires = "3h"')
    limited = limited.replace("[wallet.payees]", 'per_hour = "0.29 ETH"\n[wallet.payees]')  # two, with their fees
    money = Money(url, KEY, mandate=limited, engine=engine, receipt_seconds=10)
    await money.open()
    assert (await money.pay(f"{CAP} wei")).status is Status.DONE
    money.clock.advance(3000)
    assert (await money.pay(f"{CAP} wei")).status is Status.DONE
    money.clock.advance(500)  # another hour of the clock or of the run has begun by now, whichever is counted
    over = await money.pay(f"{CAP} wei")
    assert (over.status, over.code) == (Status.DENIED, "transfer.over_per_hour")
    assert await signed(money) == 2
    money.clock.advance(500)
    assert (await money.pay(f"{CAP} wei")).status is Status.DONE, "the first is more than an hour old"
    over = await money.pay(f"{CAP} wei")
    assert (over.status, over.code) == (Status.DENIED, "transfer.over_per_hour")
    assert (await signed(money), await money.paid()) == (3, 3 * CAP)
    await money.close()


async def test_a_key_used_twice_pays_once_and_for_something_else_not_at_all(money: Money) -> None:
    async def ask(amount: str) -> Reply:
        arguments = {"to": PAYEE, "amount": amount}
        return await money.pipeline.handle(Call(run=money.name, tool="wallet.transfer", arguments=arguments, key="one"))

    first, second = await asyncio.gather(ask("0.1 ETH"), ask("0.1 ETH"))
    assert (first.status, second.result) == (Status.DONE, first.result)
    other = await ask("0.11 ETH")
    assert (other.status, other.code) == (Status.INVALID, "request.idempotency_conflict")
    assert (await signed(money), await money.paid()) == (1, ETHER // 10)


async def test_the_next_nonce_may_be_named_and_no_other(money: Money) -> None:
    async def ask(nonce: int) -> Reply:
        fields = {"from": money.address, "to": PAYEE, "value": "0x1", "nonce": hex(nonce)}
        tool, arguments = transaction_action(fields, money.run.view)
        return await money.pipeline.handle(Call(run=money.name, tool=tool, arguments=arguments))

    assert (await ask(1)).status is not Status.DONE
    assert (await ask(0)).status is Status.DONE
    assert (await ask(0)).status is not Status.DONE, "what was paid is not paid again under its nonce"
    assert (await ask(1)).status is Status.DONE
    assert await signed(money) == 2


@pytest.mark.parametrize(
    "value", ["0x00", "0x", "100", 100, 1.5, float("nan"), "-0x1", "1e18", "0x" + "f" * 65, " 0x1", "0X1", True]
)
async def test_a_number_that_can_be_read_in_two_ways_is_none(money: Money, value: object) -> None:
    with pytest.raises(CallerError):
        transaction_action({"from": money.address, "to": PAYEE, "value": value}, money.run.view)


async def test_numbers_on_both_sides_of_what_programs_round_are_decided_exactly(money: Money) -> None:
    for odd in (2**53 + 1, CAP):
        assert (await money.pay(f"{odd} wei")).status is Status.DONE
    for odd in (CAP + 1, 2**64 + 1, 2**200 + 1, 2**255):
        assert (await money.pay(f"{odd} wei")).status is Status.DENIED
    assert (await money.pay(f"{2**256 - 1} wei")).status is Status.INVALID, "with its fee it is more than there can be"
    assert await money.paid() == 2**53 + 1 + CAP
