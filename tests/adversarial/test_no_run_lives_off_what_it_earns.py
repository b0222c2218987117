"""What arrives in a run's wallet is the owner's: it pays for nothing, counts against the ceiling, and comes home.

All of it is read from the chain, under the pack's own policy.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from safebox.firewall.core.reply import Status
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.keystore import Keystore
from tests.chain_contracts.contracts import send
from tests.integration.chain_nodes import funded
from tests.integration.money import CENT, ETHER, MANDATE, Money

KEY = b"\x21" * 32
CAPPED = MANDATE.replace("[wallet.payees]", 'ceiling = "2 ETH"\n[wallet.payees]')
FEES = CENT // 10
"""More than all fees of a test together."""


@pytest.fixture(scope="module", params=["standin", "anvil"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with funded(request.param, tmp_path_factory.mktemp("chain"), Keystore(KEY).owner_address) as url:
        yield url


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


@pytest.fixture
async def money(url: str, engine: EmbeddedEngine) -> AsyncIterator[Money]:
    money = Money(url, KEY, mandate=CAPPED, engine=engine, receipt_seconds=10)
    await money.open()
    yield money
    await money.close()


async def _income(money: Money, amount: int) -> None:
    """Somebody pays the run; that it is the owner's own key means nothing to anybody."""
    await send(money.node, KEY, money.address, value=amount)
    await money.treasury.check()


async def test_a_run_that_earns_spends_what_it_was_granted_and_no_more(money: Money) -> None:
    await _income(money, ETHER // 2)
    assert await money.balance(money.address) == ETHER + ETHER // 2
    assert money.run.book.quarantined("ETH") == ETHER // 2
    for _ in range(2):
        assert (await money.pay("0.45 ETH")).status is Status.DONE
    refused = await money.pay("0.3 ETH")
    assert (refused.status, refused.code) == (Status.DENIED, "transfer.over_budget")
    assert await money.balance(money.address) > 55 * CENT, "it has the money, and may not spend it"
    assert await money.paid() == 90 * CENT
    await money.check()


async def test_income_above_the_ceiling_is_swept_and_what_was_granted_stays_spendable(money: Money) -> None:
    owner = Keystore(KEY).owner_address
    await money.pay("0.4 ETH")
    await _income(money, 5 * ETHER)
    before = await money.balance(owner)
    left = ETHER - money.wallet["spent"]
    assert left - FEES < await money.balance(money.address) <= left
    assert money.metrics.registry.get_sample_value("safebox_wallet_sweeps_total") == 1
    assert (await money.pay("0.4 ETH")).status is Status.DONE
    assert (await money.pay("0.4 ETH")).code == "transfer.over_budget"
    assert await money.balance(owner) == before


async def test_the_end_of_the_run_returns_the_rest_with_what_it_earned(money: Money) -> None:
    owner = Keystore(KEY).owner_address
    await money.pay("0.4 ETH")
    await _income(money, ETHER)
    before = await money.balance(owner)
    swept = await money.end()
    assert swept is not None
    assert swept.status is Status.DONE
    assert await money.balance(money.address) < FEES
    assert await money.balance(owner) > before + ETHER + 60 * CENT - FEES
    assert await money.paid() == 40 * CENT
    await money.check()


async def test_a_run_that_earns_for_a_long_time_never_spends_more_than_its_grant(money: Money) -> None:
    for _ in range(6):
        await _income(money, ETHER // 2)
        await money.pay("0.3 ETH")
    assert await money.paid() == 90 * CENT
    assert money.wallet["spent"] <= ETHER
    assert await money.balance(money.address) <= 2 * ETHER
    await money.check()
