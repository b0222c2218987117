"""A node that is gone, slow, lying or elsewhere gives an agent no quote, and takes nothing from anybody else."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

import pytest

from safebox.firewall.connectors import costs
from safebox.firewall.connectors.chain import ChainConnector
from safebox.firewall.connectors.jsonrpc import NodeRefused, NodeUnavailable, quantity
from safebox.firewall.core.costs import SAID_MAX
from safebox.firewall.core.reply import Status
from safebox.firewall.drill.node import PLAIN_COST, MemoryNode
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.keystore import Keystore
from safebox.firewall.signer.trusting import TrustingSigner
from tests.adversarial.test_a_quote_pays_nothing_and_tells_no_limit import KEY, mandate, quote, told
from tests.integration.chain_nodes import CHAIN_ID
from tests.integration.money import ETHER, MANDATE, Money


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


class Troubled(MemoryNode):
    """A node that answers the firewall's facts, and then does what `trouble` says."""

    def __init__(self) -> None:
        super().__init__(CHAIN_ID)
        self.trouble: dict[str, Any] = {}
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def call(self, method: str, *params: Any) -> Any:
        what = self.trouble.get(method)
        if what == "hang":
            self.under_way[method] += 1
            self.most[method] = max(self.most[method], self.under_way[method])
            try:
                await asyncio.sleep(60)
            finally:
                self.under_way[method] -= 1
        if isinstance(what, Exception):
            raise what
        return await super().call(method, *params) if what is None else what

    async def quantity(self, method: str, *params: Any) -> int:
        return quantity(await self.call(method, *params))


@contextlib.asynccontextmanager
async def in_memory(engine: EmbeddedEngine, text: str = MANDATE) -> AsyncGenerator[tuple[Money, Troubled]]:
    node, money = Troubled(), Money("http://127.0.0.1:9", KEY, mandate=text, engine=engine)
    money.node = node  # type: ignore[assignment]
    node.funds = {Keystore(KEY).owner_address: 10 * ETHER}
    await money.open(fund=False)
    chain = ChainConnector(node, CHAIN_ID, TrustingSigner(Keystore(KEY)), receipt_seconds=0)
    await money.chain.close()
    money.connectors["chain"] = chain
    node.funds[money.address] = ETHER
    yield money, node
    await chain.close()


@pytest.fixture
async def troubled(engine: EmbeddedEngine) -> AsyncIterator[tuple[Money, Troubled]]:
    async with in_memory(engine) as both:
        yield both


@pytest.mark.parametrize("cap", ["1 wei", "2000 wei", "1000 gwei"])
async def test_the_fee_is_the_networks_where_the_agent_names_none(engine: EmbeddedEngine, cap: str) -> None:
    async with in_memory(engine, mandate(cap, "0.5 ETH", "")) as (money, _):
        assert int((await told(money))["fee"]) == PLAIN_COST


LONG: Final = "\x1b[31m" + "x" * 5_000 + "\u202e"


@pytest.mark.parametrize("method", ["eth_getCode", "eth_feeHistory", "eth_maxPriorityFeePerGas"])
@pytest.mark.parametrize(
    "trouble",
    [
        NodeUnavailable("the node did not answer (ClientError)"),
        NodeRefused(-32000, LONG),
        "not a number",
        7,
        [],
        "hang",
    ],
    ids=["gone", "refuses", "text", "number", "list", "hangs"],
)
async def test_a_node_that_fails_is_a_clear_no_and_nothing_stays_reserved(
    troubled: tuple[Money, Troubled], method: str, trouble: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "ASK_SECONDS", 0.2)
    money, node = troubled
    node.trouble = {method: trouble}
    before = money.wallet
    reply = await quote(money)
    assert (reply.status, reply.code, reply.result) == (Status.FAILED, "firewall.effect_failed", None)
    assert "chain" in reply.message
    assert len(reply.message) < 2 * SAID_MAX
    assert reply.message.isprintable()
    assert money.wallet == before
    node.trouble = {}
    assert (await told(money))["enough"] is True


@pytest.mark.parametrize("method", ["eth_chainId", "eth_getBalance", "eth_getTransactionCount"])
async def test_a_node_that_is_down_is_a_clear_no_before_anything_is_decided(
    troubled: tuple[Money, Troubled], method: str
) -> None:
    money, node = troubled
    node.trouble = {method: NodeUnavailable("the node did not answer (ClientError)")}
    reply = await quote(money)
    assert (reply.code, reply.result) == ("firewall.facts_unavailable", None)
    assert not money.decided


async def test_a_node_on_another_chain_is_told_and_quotes_nothing(troubled: tuple[Money, Troubled]) -> None:
    money, node = troubled
    node.trouble = {"eth_chainId": "0x1"}
    reply = await quote(money)
    assert (reply.status, reply.result) == (Status.FAILED, None)
    assert "chain 1" in reply.message


@pytest.mark.parametrize("balance", ["0x" + "f" * 64, "0x0"])
async def test_the_ends_of_what_a_wallet_can_hold_are_told_exactly(
    troubled: tuple[Money, Troubled], balance: str
) -> None:
    money, node = troubled
    node.trouble = {"eth_getBalance": balance}
    answer = await told(money)
    assert (int(answer["balance"]), answer["enough"]) == (int(balance, 16), balance != "0x0")


async def test_a_run_has_one_quote_asked_for_at_a_time_and_the_others_hear_no_in_time(
    troubled: tuple[Money, Troubled], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may ask sixty-four things at once. The firewall's connections to the node are for all runs' payments."""
    monkeypatch.setattr(costs, "ASK_SECONDS", 0.3)
    money, node = troubled
    node.trouble = {"eth_getCode": "hang"}
    async with asyncio.timeout(10):
        replies = await asyncio.gather(*(quote(money) for _ in range(64)))
    assert {(reply.status, reply.code) for reply in replies} == {(Status.FAILED, "firewall.effect_failed")}
    assert node.most["eth_getCode"] == 1
    node.trouble = {}
    assert (await told(money))["enough"] is True
