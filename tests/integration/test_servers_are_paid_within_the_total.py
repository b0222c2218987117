"""What servers are paid by authorisations (x402) is of the mandate's total, whatever the token's own budget leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from safebox.firewall.core.money import token_asset
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.core.total import LINE, Ask, Reading, no_prices, parse_price
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from tests.chain_contracts.contracts import send
from tests.integration.chain_nodes import CHAIN_ID, funded
from tests.integration.money import PAYEE
from tests.integration.signing_money import MAKER, OWNER, Signing, signing_run

TOTAL: Final = 40
"""Millionths of a dollar. A unit of the token is worth one, and of the token itself a hundred may be given."""
MINUTE: Final = 60


def at(token: str, usd: str, **ages: int) -> Ask:
    """A price of the token alone."""
    reading = Reading(usd=parse_price(usd), decimals=6, **ages)
    return lambda asset: reading if asset == token_asset(token) else None


@pytest.fixture(scope="module", params=["standin", "anvil"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with funded(request.param, tmp_path_factory.mktemp("chain"), OWNER) as url:
        yield url


@pytest.fixture(scope="module")
def pack() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


@pytest.fixture
async def money(url: str, pack: EmbeddedEngine) -> AsyncIterator[Signing]:
    async with signing_run(url, pack, more=f'[budget]\ntotal = "0.0000{TOTAL} USD"\n') as rig:
        await send(rig.node, MAKER, rig.token.address, rig.token.call("transfer", rig.address, 100))
        rig.prices = at(rig.token.address, "1")
        yield rig


async def pay(money: Signing, units: int) -> Reply:
    money.clock.advance(2 * MINUTE)  # too many denied in ten minutes would be a no of its own
    asked: dict[str, Any] = {
        "scheme": "exact", "network": f"eip155:{CHAIN_ID}", "asset": money.token.address, "payTo": PAYEE,
        "maxTimeoutSeconds": MINUTE, "extra": {"name": "US Dollar", "version": "1"}, "amount": str(units),
    }  # fmt: skip
    return await money.ask("wallet.pay_request", requirements=asked, version=2, resource="https://shop.example/day")


def codes(reply: Reply) -> set[str]:
    return {reason.code for reason in reply.reasons}


def left(money: Signing) -> int:
    return money.run.book.lines[LINE].remaining


async def test_servers_are_paid_until_the_total_is_used_up(money: Signing) -> None:
    assert (await pay(money, 30)).status is Status.DONE
    assert (money.exposed, left(money)) == (30, TOTAL - 30)
    over = await pay(money, 11)
    assert (over.status, codes(over), over.result) == (Status.DENIED, {"total.exceeded"}, None)
    assert (money.exposed, left(money)) == (30, TOTAL - 30)
    assert (await pay(money, 10)).status is Status.DONE
    assert (money.exposed, left(money)) == (TOTAL, 0)


async def test_a_restart_gives_nothing_of_the_total_back(money: Signing) -> None:
    assert (await pay(money, 30)).status is Status.DONE
    await money.die()
    assert left(money) == TOTAL - 30
    assert codes(await pay(money, 11)) == {"total.exceeded"}
    assert (await pay(money, 10)).status is Status.DONE


async def test_no_server_is_paid_in_what_has_no_price_or_an_old_one(money: Signing) -> None:
    token = money.token.address
    for prices, code in (
        (no_prices, "total.unpriced"),
        (at(token, "1", age_s=301, max_age_s=300), "total.stale"),
        (at(token, "41"), "total.exceeded"),
    ):
        money.prices = prices
        reply = await pay(money, 1)
        assert (reply.status, reply.result) == (Status.DENIED, None), code
        assert code in codes(reply)
        assert (money.exposed, left(money)) == (0, TOTAL)
    money.prices = at(token, "40", age_s=300, max_age_s=300)
    assert (await pay(money, 1)).status is Status.DONE
    assert left(money) == 0
