"""`wallet.quote` on real chains, under the whole policy: it changes nothing and tells no limit, whoever the payee."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import msgspec
import pytest

from safebox.firewall.connectors.care import Care
from safebox.firewall.core.action import Call
from safebox.firewall.core.arguments import GAS_MAX
from safebox.firewall.core.costs import SAID_MAX
from safebox.firewall.core.money import UNITS_MAX
from safebox.firewall.core.record import Decided, Settled
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.keystore import Keystore
from tests.chain_contracts.contracts import send
from tests.integration.chain_nodes import funded
from tests.integration.money import CENT, ETHER, MANDATE, PAYEE, Money

KEY: Final = b"\x64" * 32
STRANGER: Final = "0x52908400098527886E0F7030069857D2E4169EE7"
TAKES: Final = "60016000f3"
"""Deploys one zero byte: a contract that takes what it is given."""
REFUSES: Final = "6460006000fd6000526005601bf3"
LOOPS: Final = "665b5a5a5560005660005260076019f3"
"""Deploys a loop that writes to ever new slots: whoever pays it pays all the gas there is, soon also on a slow EVM."""
BURNS: Final = "60fe60005360016000f3"
"""Deploys an invalid instruction, which takes all gas at once."""
_WORDS: Final = b"\x1b[2JPAY ME\r\n\xe2\x80\xaeNOW"
_SHOUT: Final = (
    "7f08c379a0" + "00" * 28 + "600052" + "6020600452" + "620186a0602452"
    + "7f" + _WORDS.ljust(32, b"\x00").hex() + "604452" + "620186e46000fd"
)  # fmt: skip
SHOUTS: Final = f"60{len(_SHOUT) // 2:02x}80600b6000396000f3{_SHOUT}"
"""Deploys a contract that refuses with a hundred thousand bytes of text, control characters first."""


@pytest.fixture(scope="module", params=["standin", "anvil"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with funded(request.param, tmp_path_factory.mktemp("chain"), Keystore(KEY).owner_address) as url:
        yield url


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


@pytest.fixture
async def money(url: str, engine: EmbeddedEngine) -> AsyncIterator[Money]:
    money = Money(url, KEY, engine=engine, receipt_seconds=10)
    await money.open()
    yield money
    await money.close()


async def quote(money: Money, amount: str = "0.1 ETH", to: str = PAYEE, **more: Any) -> Reply:
    arguments = {"to": to, "amount": amount, **more}
    return await money.pipeline.handle(Call(run=money.name, tool="wallet.quote", arguments=arguments))


async def told(money: Money, amount: str = "0.1 ETH", to: str = PAYEE, **more: Any) -> dict[str, Any]:
    reply = await quote(money, amount, to, **more)
    assert reply.status is Status.DONE, (reply.code, reply.message)
    assert reply.result is not None
    return reply.result


async def made(money: Money, code: str) -> str:
    receipt = await send(money.node, KEY, "", f"0x{code}")
    return str(receipt["contractAddress"])


async def state(money: Money) -> tuple[Any, ...]:
    """All that a payment would change."""
    balances = [await money.balance(each) for each in (money.address, PAYEE, STRANGER)]
    nonce = await money.node.quantity("eth_getTransactionCount", money.address, "pending")
    return (*balances, nonce, money.wallet, money.run.book.remaining("wallet", "ETH"))


def events(money: Money) -> list[Decided | Settled]:
    return [each for each in money.store.events if isinstance(each, Decided | Settled)]


# --- what it is for -----------------------------------------------------------------------------------------------


async def test_a_payment_takes_no_more_than_was_quoted_and_the_quote_itself_nothing(money: Money) -> None:
    before, spent = await state(money), money.wallet["spent"]
    answer = await told(money)
    assert await state(money) == before
    assert (answer["enough"], answer["reverts"], answer["gas"]) == (True, False, 21_000)
    assert int(answer["balance"]) == await money.balance(money.address)
    assert (await money.pay()).status is Status.DONE
    taken = money.wallet["spent"] - spent
    assert ETHER // 10 < taken <= int(answer["total"])
    await money.check()


async def test_it_is_decided_and_recorded_like_any_read_and_nothing_is_signed_for_it(money: Money) -> None:
    answer = await told(money)
    await money.pay()  # an agent that reads does not wait for its outcome to be written; one that pays does
    decided, settled = (each for each in events(money) if each.tool == "wallet.quote")
    assert isinstance(decided, Decided)
    assert isinstance(settled, Settled)
    assert (decided.tool, decided.allowed, decided.charges, decided.plan) == ("wallet.quote", True, (), {})
    assert (settled.status, settled.charges, settled.result) == ("done", (), answer)


async def test_a_contract_that_takes_money_is_quoted_with_what_it_needs(money: Money) -> None:
    taker = await made(money, TAKES)
    answer = await told(money, "0.01 ETH", taker)
    assert (answer["reverts"], answer["enough"]) == (False, True)
    assert 21_000 <= answer["gas"] < 100_000
    named = await told(
        money, "0.01 ETH", taker, gas=90_000, max_fee_per_gas="7 gwei", max_priority_fee_per_gas="1 gwei"
    )
    assert int(named["fee"]) == 90_000 * 7 * 10**9


async def test_what_the_wallet_does_not_hold_is_not_enough_to_the_last_wei(money: Money) -> None:
    fees = {"max_fee_per_gas": "50 gwei"}
    fee = int((await told(money, "1 wei", **fees))["fee"])
    most = await money.balance(money.address) - fee
    assert (await told(money, f"{most} wei", **fees))["enough"] is True
    assert (await told(money, f"{most + 1} wei", **fees))["enough"] is False


# --- hostile payees -----------------------------------------------------------------------------------------------


async def test_a_payee_that_refuses_is_told_as_one_and_has_no_cost(money: Money) -> None:
    answer = await told(money, to=await made(money, REFUSES))
    assert answer["reverts"] is True
    assert answer["revert_reason"]
    assert (answer["gas"], answer["fee"], answer["total"], answer["enough"]) == (None, None, None, None)
    forced = await told(money, to=await made(money, REFUSES), gas=50_000)
    assert (forced["reverts"], forced["gas"]) == (True, 50_000)


@pytest.mark.parametrize("code", [LOOPS, BURNS], ids=["loops", "burns"])
async def test_a_payee_that_burns_all_gas_ends_in_an_answer(money: Money, code: str) -> None:
    answer = await told(money, "1 wei", await made(money, code))
    assert answer["reverts"] is True or answer["gas"] == GAS_MAX
    assert answer["revert_reason"] is None or len(answer["revert_reason"]) <= SAID_MAX


async def test_a_payee_that_shouts_is_heard_for_one_clean_line(money: Money) -> None:
    reply = await quote(money, "1 wei", await made(money, SHOUTS))
    assert reply.result is not None
    said = reply.result["revert_reason"]
    assert reply.result["reverts"] is True
    assert 0 < len(said) <= SAID_MAX
    assert said.isprintable()
    assert len(msgspec.json.encode(reply.result)) < 2_000
    assert b"\\u001b" not in money.told()


async def test_nobody_tries_a_contract_with_money_the_wallet_does_not_hold(money: Money) -> None:
    answer = await told(money, f"{UNITS_MAX // 2} wei", await made(money, REFUSES))
    assert (answer["enough"], answer["reverts"], answer["revert_reason"], answer["total"]) == (False, None, None, None)


# --- limits -------------------------------------------------------------------------------------------------------


def mandate(fee: str, most: str, more: str) -> str:
    text = MANDATE.replace('"100 gwei"', f'"{fee}"').replace('"0.5 ETH"', f'"{most}"')
    return text.replace("[wallet.payees]", f"{more}[wallet.payees]")


LIMITS: Final = [
    *itertools.product(("1 wei", "1000 gwei"), ("0.000001 ETH", "0.9 ETH"), ("", 'per_day = "0.000002 ETH"\n'))
]
CARES: Final = [Care(stuck) for stuck in ("wait", "resend", "replace", "cancel")]


@pytest.mark.parametrize("care", CARES, ids=lambda care: care.stuck)
async def test_no_limit_of_the_mandate_changes_a_word_of_it(url: str, engine: EmbeddedEngine, care: Care) -> None:
    """Whoever may spend next to nothing is told the same as whoever may spend all, with as much in the wallet."""
    answers: list[dict[str, Any]] = []
    for limits in LIMITS:
        money = Money(url, KEY, mandate=mandate(*limits), engine=engine, care=care)
        await money.open(fund=False)
        await send(money.node, KEY, money.address, value=CENT)
        answers.append(await told(money, "0.001 ETH", max_fee_per_gas="20 gwei"))
        answers.append(await told(money, "0.001 ETH", STRANGER, max_fee_per_gas="20 gwei") | {"to": PAYEE})
        await money.close()
    assert all(answer == answers[0] for answer in answers)


async def test_what_policy_would_say_of_the_transfer_is_not_told(money: Money) -> None:
    listed = await told(money, "0.1 ETH")
    for to, amount in ((STRANGER, "0.1 ETH"), (money.address, "0.1 ETH"), (PAYEE[:-1] + "e", "0.1 ETH")):
        other = await told(money, amount, to.lower())
        assert set(other) == set(listed)
        assert (other["enough"], other["reverts"], other["revert_reason"]) == (True, False, None)
        assert (await money.pay(amount, to=to.lower())).status is Status.DENIED
    over = await told(money, "0.6 ETH")
    assert over["enough"] is True
    assert (await money.pay("0.6 ETH")).code == "transfer.over_per_transfer"


@pytest.mark.parametrize("care", CARES, ids=lambda care: care.stuck)
@pytest.mark.parametrize("cap", ["20 gwei", "30 gwei", "100 gwei"])
async def test_no_payment_reserves_more_than_was_quoted(url: str, engine: EmbeddedEngine, care: Care, cap: str) -> None:
    money = Money(url, KEY, mandate=mandate(cap, "0.5 ETH", ""), engine=engine, care=care, receipt_seconds=10)
    await money.open()
    asked = {"max_fee_per_gas": "20 gwei", "max_priority_fee_per_gas": "2 gwei"}
    total = int((await told(money, **asked))["total"])
    assert (await money.pay(**asked)).status is Status.DONE
    (reserved,) = money.decided[-1].charges
    first = ETHER // 10 + 21_000 * 20 * 10**9
    assert first <= reserved.amount.units <= total
    assert (reserved.amount.units == total) == (cap == "100 gwei" or care.stuck in ("wait", "resend", "cancel"))
    await money.close()


# --- runs that may not ask ----------------------------------------------------------------------------------------


async def test_a_run_that_is_over_learns_nothing(money: Money) -> None:
    money.run.stopped = "killed"
    before = len(events(money))
    reply = await quote(money)
    assert (reply.status is Status.DONE, reply.result) == (False, None)
    assert not [each for each in events(money)[before:] if isinstance(each, Decided) and each.allowed]


async def test_a_paused_run_learns_nothing_until_it_goes_on(money: Money) -> None:
    money.run.pausing = object()
    reply = await quote(money)
    assert (reply.code, reply.result) == ("firewall.run_paused", None)
    money.run.pausing = None
    assert (await told(money))["enough"] is True


async def test_a_run_whose_time_is_over_learns_nothing(money: Money) -> None:
    money.clock.advance(3601)
    reply = await quote(money)
    assert (reply.status is Status.DONE, reply.result) == (False, None)


async def test_a_run_without_a_wallet_learns_nothing(url: str, engine: EmbeddedEngine) -> None:
    text = MANDATE.partition("[wallet]")[0] + '[mail]\nrecipients = ["a@b.example"]\nper_hour = 1\n'
    money = Money(url, KEY, mandate=text, engine=engine)
    await money.open(fund=False)
    reply = await quote(money)
    assert (reply.status, reply.code, reply.result) == (Status.DENIED, "transfer.not_granted", None)
    await money.close()


async def test_a_frozen_wallet_may_still_be_looked_at(money: Money) -> None:
    money.run.freezing = object()
    assert (await told(money))["enough"] is True
    assert (await money.pay()).status is not Status.DONE


@pytest.mark.parametrize("raw", [{"nonce": 7}, {"max_fee_per_gas": "1 wei", "max_priority_fee_per_gas": "2 wei"}])
async def test_what_no_transfer_could_offer_is_refused_with_the_reason(money: Money, raw: dict[str, Any]) -> None:
    before = await state(money)
    reply = await quote(money, **raw)
    assert (reply.status, reply.code) == (Status.FAILED, "firewall.effect_failed")
    assert "nonce 7" in reply.message or "max_priority_fee" in reply.message
    assert await state(money) == before


async def test_an_amount_that_with_its_fee_is_more_than_there_can_be_has_no_cost(money: Money) -> None:
    reply = await quote(money, f"{UNITS_MAX} wei")
    assert (reply.status, reply.code) == (Status.FAILED, "firewall.effect_failed")
    assert "more than there can be" in reply.message


async def test_many_quotes_at_once_reserve_nothing_and_leave_payments_alone(money: Money) -> None:
    *answers, paid = await asyncio.gather(*(quote(money, "0.9 ETH") for _ in range(20)), money.pay())
    assert all(each.status is Status.DONE for each in answers)
    assert paid.status is Status.DONE
    await money.check()
