"""The chain connector on the stand-in chain and, where one is installed, on a real anvil node."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, web

from safebox.firewall.connectors.chain import ChainConnector
from safebox.firewall.connectors.jsonrpc import Node
from safebox.firewall.core.action import Action
from safebox.firewall.core.money import Amount, encode_amount
from safebox.firewall.errors import CallerError, EffectError, FactsUnavailable
from safebox.firewall.keystore import Keystore
from safebox.firewall.ports import RunView
from safebox.firewall.runs import RunNotLive
from safebox.firewall.signer.trusting import TrustingSigner
from tests.integration.chain_nodes import CHAIN_ID, TREASURY, anvil, standin
from tests.unit.connectors.actions import PAYEE, action, mandate, run_it, units, view

ETHER, GWEI = 10**18, 10**9
KEY = bytes([7]) * 32


class Bench:
    """A node, a connector on it, and a run whose wallet holds one ether."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keystore = Keystore(KEY)
        self.chain = ChainConnector(url, CHAIN_ID, TrustingSigner(self.keystore), receipt_seconds=5)
        self.run = view(address=self.keystore.create_for_run("run_01"))
        self.node = Node(url)

    async def balance(self, address: str) -> int:
        return await self.node.quantity("eth_getBalance", address, "latest")

    async def fund(self, amount: int) -> None:
        asked = action("wallet.fund", {"to": self.run.address, "amount": encode_amount(Amount(amount, "ETH"))})
        _, outcome = await run_it(self.chain, asked, self.run)
        assert outcome.status == "done"

    async def close(self) -> None:
        await self.chain.close()
        await self.node.close()


@pytest.fixture(params=["standin", "anvil"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    if request.param == "standin":
        async with standin(tmp_path, Keystore(KEY).owner_address) as child, _bench(child.url) as one:
            yield one
    else:
        async with anvil() as url, _bench(url) as one:
            yield one


@contextlib.asynccontextmanager
async def _bench(url: str) -> AsyncGenerator[Bench]:
    bench = Bench(url)
    try:
        if await bench.balance(bench.keystore.owner_address) == 0:
            await bench.node.call("anvil_setBalance", bench.keystore.owner_address, hex(TREASURY))
        await bench.fund(ETHER)
        yield bench
    finally:
        await bench.close()


def _pay(amount: str = "0.1 ETH", **more: Any) -> Any:
    return action("wallet.transfer", {"to": PAYEE, "amount": amount, **more})


async def test_a_payment_takes_exactly_what_its_outcome_says(bench: Bench) -> None:
    assert bench.run.address is not None
    before = await bench.balance(bench.run.address)
    quote = await bench.chain.quote(_pay(), bench.run)
    _, outcome = await run_it(bench.chain, _pay(), bench.run)
    assert outcome.status == "done"
    taken = units(outcome.charges, "ETH")
    assert await bench.balance(bench.run.address) == before - taken
    assert await bench.balance(PAYEE) == ETHER // 10
    assert ETHER // 10 < taken < units(quote.charges, "ETH")
    assert outcome.result["status"] == "success"
    assert quote.facts["payee"] == {"is_contract": False}
    assert quote.facts["wallet"]["chain_id"] == CHAIN_ID
    assert quote.facts["wallet"]["owner"] == bench.keystore.owner_address


async def test_a_plan_can_not_be_paid_twice_and_is_found_again_by_its_hash(bench: Bench) -> None:
    plan, outcome = await run_it(bench.chain, _pay(), bench.run)
    with pytest.raises(EffectError, match="nothing was signed") as caught:
        await bench.chain.perform(_pay(), bench.run, plan, None)
    assert not caught.value.unknown
    found = await bench.chain.reconcile(_pay(), bench.run, plan)
    assert found == outcome


async def test_a_payment_that_was_never_sent_is_sent_by_whoever_looks_for_it(bench: Bench) -> None:
    quote = await bench.chain.quote(_pay(), bench.run)
    found = await bench.chain.reconcile(_pay(), bench.run, quote.plan)
    async with asyncio.timeout(5):
        while found.status == "unknown":  # a node may answer before the block that it makes at once is there
            found = await bench.chain.reconcile(_pay(), bench.run, quote.plan)
    assert found.status == "done"
    assert await bench.balance(PAYEE) == ETHER // 10
    assert await bench.chain.reconcile(_pay(), bench.run, quote.plan) == found


async def test_a_payment_of_a_run_that_was_stopped_stays_unknown_until_its_nonce_is_used(bench: Bench) -> None:
    def stopped(_: Action) -> None:
        raise RunNotLive("the run is killed")

    quote = await bench.chain.quote(_pay(), bench.run)
    run = msgspec.structs.replace(bench.run, last_look=stopped)
    before = await bench.chain.reconcile(_pay(), run, quote.plan)
    assert (before.status, before.charges) == ("unknown", ())
    await run_it(bench.chain, _pay("0.2 ETH"), bench.run)
    after = await bench.chain.reconcile(_pay(), run, quote.plan)
    assert (after.status, after.charges) == ("failed", ())
    assert await bench.balance(PAYEE) == ETHER // 5


async def test_two_payments_planned_at_once_end_in_one_payment_and_one_refusal(bench: Bench) -> None:
    plans = [(await bench.chain.quote(_pay(), bench.run)).plan for _ in range(2)]
    tries = [bench.chain.perform(_pay(), bench.run, plan, None) for plan in plans]
    first, second = await asyncio.gather(*tries, return_exceptions=True)
    assert isinstance(second, EffectError)
    assert not isinstance(first, BaseException)
    assert await bench.balance(PAYEE) == ETHER // 10


async def test_a_payment_that_reverts_failed_and_its_gas_is_charged(bench: Bench) -> None:
    reverts = await _deploy(bench, "0x6460006000fd6000526005601bf3")
    asked = action("wallet.transfer", {"to": reverts, "amount": "1 wei"})
    tried = (await bench.chain.quote(asked, bench.run)).facts["simulation"]
    assert tried["reverts"] is True, "which policy denies"
    forced = action("wallet.transfer", {"to": reverts, "amount": "1 wei", "gas": 50_000})
    quote = await bench.chain.quote(forced, bench.run)
    assert quote.facts["payee"]["is_contract"] is True
    assert bench.run.address is not None
    before = await bench.balance(bench.run.address)
    _, outcome = await run_it(bench.chain, forced, bench.run)
    assert outcome.status == "failed"
    assert await bench.balance(bench.run.address) == before - units(outcome.charges, "ETH")
    assert units(outcome.charges, "ETH") > 0


async def _deploy(bench: Bench, code: str) -> str:
    from eth_account import Account

    nonce = await bench.node.quantity("eth_getTransactionCount", bench.keystore.owner_address, "latest")
    fields: dict[str, Any] = {"chainId": CHAIN_ID, "nonce": nonce, "to": "", "data": code, "gas": 200_000, "value": 0}
    fields |= {"maxFeePerGas": 3 * GWEI, "maxPriorityFeePerGas": GWEI}
    raw = Account.from_key(KEY).sign_transaction(fields).raw_transaction
    hashed = await bench.node.call("eth_sendRawTransaction", "0x" + bytes(raw).hex())
    for _ in range(100):
        receipt = await bench.node.call("eth_getTransactionReceipt", hashed)
        if receipt is not None:
            return str(receipt["contractAddress"])
        await asyncio.sleep(0.05)
    raise AssertionError("not mined")


async def test_fees_are_what_the_agent_asked_or_else_capped_by_the_mandate(bench: Bench) -> None:
    asked = await bench.chain.quote(_pay(max_fee_per_gas="7 gwei", max_priority_fee_per_gas="2 gwei"), bench.run)
    assert units(asked.charges, "ETH") == ETHER // 10 + 21_000 * 7 * GWEI
    capped = view(address=bench.run.address, grants=mandate(cap=GWEI + 5))
    quote = await bench.chain.quote(_pay(), capped)
    assert units(quote.charges, "ETH") == ETHER // 10 + 21_000 * (GWEI + 5)
    low = view(address=bench.run.address, grants=mandate(cap=1))
    with pytest.raises(EffectError, match="fee is above"):
        await run_it(bench.chain, _pay(), low)
    with pytest.raises(CallerError, match="priority"):
        await bench.chain.quote(_pay(max_fee_per_gas="1 gwei", max_priority_fee_per_gas="2 gwei"), bench.run)


async def test_more_than_there_is_or_a_wrong_nonce_is_not_signed(bench: Bench) -> None:
    with pytest.raises(EffectError, match="holds less"):
        await run_it(bench.chain, _pay("1 ETH"), bench.run)
    with pytest.raises(CallerError, match="nonce 5"):
        await bench.chain.quote(_pay(nonce=5), bench.run)
    with pytest.raises(CallerError, match="more than there can be"):
        await bench.chain.quote(_pay(f"{2**256 - 1} wei", gas=21_000), bench.run)
    assert await bench.balance(PAYEE) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"to": "0x" + "33" * 20},
        {"value": encode_amount(Amount(1, "ETH"))},
        {"chain_id": 1},
        {"signer": "owner"},
        {"sender": PAYEE},
        {"data": "0x00"},
        {"nonce": "0"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_plan_for_something_else_is_never_signed(change: dict[str, Any]) -> None:
    chain = ChainConnector("http://127.0.0.1:9", CHAIN_ID, TrustingSigner(Keystore(KEY)))
    address = Keystore(KEY).create_for_run("run_01")
    plan = {
        "signer": "run_01",
        "sender": address,
        "chain_id": CHAIN_ID,
        "nonce": 0,
        "to": PAYEE,
        "value": encode_amount(Amount(ETHER // 10, "ETH")),
        "gas": 21_000,
        "max_fee_per_gas": encode_amount(Amount(GWEI, "ETH")),
        "max_priority_fee_per_gas": encode_amount(Amount(1, "ETH")),
    }
    with pytest.raises(EffectError, match="plan"):
        await chain.perform(_pay(), view(address=address), plan | change, None)


async def test_a_sweep_brings_back_all_but_the_fee_and_a_second_one_finds_nothing(bench: Bench) -> None:
    owner, address = bench.keystore.owner_address, bench.run.address
    assert address is not None
    sweep = action("wallet.sweep", {"to": owner, "amount": None})
    before = await bench.balance(owner)
    _, outcome = await run_it(bench.chain, sweep, bench.run)
    assert outcome.status == "done"
    assert await bench.balance(owner) > before + ETHER - 200_000 * GWEI
    _, again = await run_it(bench.chain, sweep, bench.run)
    assert again.result == {"moved": "0"}
    _, balance = await run_it(bench.chain, action("wallet.balance", {}), bench.run)
    assert int(balance.result["balance"]) < 100_000 * GWEI


async def test_the_ceiling_is_held_against_the_balance(bench: Bench) -> None:
    for ceiling, over in ((ETHER, False), (ETHER - 1, True)):
        run = view(address=bench.run.address, grants=mandate(ceiling=ceiling))
        quote = await bench.chain.quote(action("wallet.balance", {}), run)
        assert quote.facts["wallet"]["over_ceiling"] is over


async def test_reads_pass_through_byte_for_byte(bench: Bench) -> None:
    payload = b'{"jsonrpc":"2.0","id":"x","method":"eth_chainId","params":[]}'
    assert msgspec.json.decode(await bench.node.forward(payload))["result"] == hex(CHAIN_ID)
    assert await bench.chain.healthy()


@contextlib.asynccontextmanager
async def _liar(behind: str, lies: dict[str, Any]) -> AsyncGenerator[ChainConnector]:
    """A connector on a node in between that lies about some methods, or hangs up when one is called."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        asked = msgspec.json.decode(body)
        lie = lies.get(asked["method"])
        if isinstance(lie, bytes):
            return web.Response(body=lie, content_type="application/json")
        if lie is not None and lie is not ConnectionError:
            return web.json_response({"jsonrpc": "2.0", "id": asked["id"]} | lie)
        kind = {"Content-Type": "application/json"}
        async with ClientSession() as session, session.post(behind, data=body, headers=kind) as real:
            content = await real.read()
        if lie is ConnectionError:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=content, content_type="application/json")

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    chain = ChainConnector(
        f"http://127.0.0.1:{runner.addresses[0][1]}", CHAIN_ID, TrustingSigner(Keystore(KEY)), receipt_seconds=1
    )
    try:
        yield chain
    finally:
        await chain.close()
        await runner.cleanup()


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "a receipt for more gas than there was": (
        {"eth_getTransactionReceipt": {"result": {"gasUsed": "0xffffffff"}}},
        "unknown",
    ),
    "a receipt without a status": ({"eth_getTransactionReceipt": {"result": {"blockNumber": "0x1"}}}, "unknown"),
    "no receipt": ({"eth_getTransactionReceipt": {"result": None}}, "unknown"),
    "a refusal of what it had taken": (
        {"eth_sendRawTransaction": {"error": {"code": -32000, "message": "already known"}}},
        "unknown",
    ),
    "another hash": ({"eth_sendRawTransaction": {"result": "0x" + "00" * 32}}, "unknown"),
    "a broken connection after the broadcast": ({"eth_sendRawTransaction": ConnectionError}, "done"),
}


@pytest.mark.parametrize("name", LIES)
async def test_after_the_signature_nothing_a_node_says_is_taken_for_a_no(name: str, bench: Bench) -> None:
    lies, expected = LIES[name]
    async with _liar(bench.url, lies) as chain:
        _, outcome = await run_it(chain, _pay(), bench.run)
    assert outcome.status == expected
    assert len(outcome.result["transaction_hash"]) == 66


async def test_a_node_on_another_chain_is_told_and_never_signed_for(bench: Bench) -> None:
    async with _liar(bench.url, {"eth_chainId": {"result": "0x1"}}) as chain:
        quote = await chain.quote(_pay(), bench.run)
        assert quote.facts["wallet"]["chain_id"] == 1
        with pytest.raises(EffectError, match="chain 1"):
            await chain.perform(_pay(), bench.run, quote.plan, None)
        assert not await chain.healthy()


@pytest.mark.parametrize("lie", [{"result": 5}, {"result": "12"}, {"result": "0x"}, {"result": "0x" + "f" * 65}, {}])
async def test_a_node_that_answers_garbage_gives_no_facts(lie: dict[str, Any]) -> None:
    async with _liar("http://127.0.0.1:9", {"eth_chainId": lie}) as chain:
        with pytest.raises(FactsUnavailable):
            await chain.quote(action("wallet.balance", {}), view())


async def test_a_node_that_answers_with_nested_json_gives_no_facts_and_ends_nothing() -> None:
    content = b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 90_000
    async with _liar("http://127.0.0.1:9", {"eth_chainId": content}) as chain:
        with pytest.raises(FactsUnavailable):
            await chain.quote(action("wallet.balance", {}), view())


async def test_a_run_without_a_wallet_is_quoted_but_has_no_plan(tmp_path: Path) -> None:
    async with standin(tmp_path, Keystore(KEY).owner_address) as child:
        chain = ChainConnector(child.url, CHAIN_ID, TrustingSigner(Keystore(KEY)))
        quote = await chain.quote(_pay(), RunView(id="run_01", agent="a", mandate=mandate(), address=None, folder=None))
        assert (quote.plan, quote.facts["wallet"]["balance"]) == ({}, None)
        await chain.close()
