"""Section A for calls: targets, nesting, tokens and numbers, on the stand-in chain and on a real node.

The pack decides, over the real pipeline, ledger and connector. Of what is refused nothing is signed: the wallet's nonce
stays what it was. Each has a neighbour that goes through and is mined.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from eth_account import Account

from safebox.firewall.core.action import Call
from safebox.firewall.core.addresses import checksummed
from safebox.firewall.core.calldata import DEPTH_MAX, LEAVES_MAX
from safebox.firewall.core.money import token_asset
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.transaction import refuse_signed, transaction_action
from safebox.firewall.keystore import Keystore
from tests.calls import call, packed, safe
from tests.chain_contracts.contracts import Contract, deploy, send
from tests.integration.chain_nodes import CHAIN_ID, funded
from tests.integration.money import Money

KEY: Final = b"\x11" * 32
ME: Final = Keystore(KEY).owner_address
PAYEE: Final = checksummed(b"\x22" * 20)
IMITATION: Final = checksummed(b"\x22" * 4 + b"\x99" * 12 + b"\x22" * 4)
STRANGER: Final = checksummed(b"\x77" * 20)
CAP, BUDGET = 2**64 + 1, 2**65
"""On both sides of what engines round."""
VALUED: Final = "aggregate3Value((address,bool,uint256,bytes)[])"
GAS: Final = hex(400_000)
OWN_CODE: Final = Path(__file__).read_bytes()[:4000]
"""Any program, as a run would keep itself on a chain."""


class World:
    """A run with a wallet on a chain with contracts, and the whole way from a transaction object to the chain."""

    token: Contract
    other: Contract
    club: Contract
    batcher: Contract
    account: Contract

    def __init__(self, url: str, engine: EmbeddedEngine) -> None:
        self.money = Money(url, KEY, engine=engine, receipt_seconds=10)
        self.node = self.money.node
        self.address = Keystore(KEY).create_for_run(self.money.name)

    async def open(self) -> None:
        self.token = await deploy(self.node, KEY, "Token", "US Dollar", "USD", 6, 2**70)
        self.other = await deploy(self.node, KEY, "Token", "US Dollar", "USD", 6, 2**70)
        self.club = await deploy(self.node, KEY, "Collectible")
        self.batcher = await deploy(self.node, KEY, "Multicall")
        self.account = await deploy(self.node, KEY, "Account", self.address)
        for token in (self.token, self.other):
            await send(self.node, KEY, token.address, token.call("transfer", self.address, 2**69))
        self.money.mandate = self.mandate()
        await self.money.open()

    def mandate(self) -> str:
        return f"""
[agent]
name = "tester"
command = ["true"]
purpose = "Pay."
task = "Pay."
expires = "1h"
[wallet]
chain = "dev"
budget = "0.5 ETH"
per_transfer = "1000 wei"
max_fee_per_gas = "30 gwei"
[wallet.payees]
acme = "{PAYEE}"
[tokens.USDX]
address = "{self.token.address}"
decimals = 0
budget = "{BUDGET} USDX"
per_transfer = "{CAP} USDX"
per_approval = "100 USDX"
[tokens.USDX.payees]
acme = "{PAYEE}"
[tokens.USDX.spenders]
batcher = "{self.batcher.address}"
[tokens.CLUB]
standard = "erc721"
address = "{self.club.address}"
decimals = 0
budget = "1 CLUB"
per_transfer = "1 CLUB"
[tokens.CLUB.payees]
acme = "{PAYEE}"
[contracts.club]
address = "{self.club.address}"
functions = ["mint(address,uint256)"]
[contracts.batcher]
address = "{self.batcher.address}"
functions = ["{VALUED}", "aggregate3((address,bool,bytes)[])"]
[contracts.account]
address = "{self.account.address}"
functions = ["execute(address,uint256,bytes)"]
"""

    async def send(self, to: str | None, data: bytes = b"", value: int = 0, /, **more: Any) -> Reply | str:
        """Ask like a client with an unlocked account; the reply, or the code with which it can't even be read."""
        fields = {"from": self.address, "to": to, "data": "0x" + data.hex(), "value": hex(value), "gas": GAS}
        try:
            tool, arguments = transaction_action(fields | more, self.money.run.view)
        except CallerError as error:
            return error.code
        return await self.money.pipeline.handle(Call(run=self.money.name, tool=tool, arguments=arguments))

    async def nonce(self) -> int:
        return await self.node.quantity("eth_getTransactionCount", self.address, "pending")

    def left(self, token: Contract) -> int:
        return self.money.run.book.lines["wallet", token_asset(token.address)].remaining


@pytest.fixture(scope="module", params=["standin", "anvil"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with funded(request.param, tmp_path_factory.mktemp("chain"), ME) as url:
        yield url


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


@pytest.fixture
async def world(url: str, engine: EmbeddedEngine) -> AsyncIterator[World]:
    world = World(url, engine)
    await world.open()
    yield world
    await world.money.close()


def transfer(to: str = PAYEE, units: int = 5) -> bytes:
    return call("transfer(address,uint256)", to, units)


def attacks(world: World) -> dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """By name: the code it gets, and what is sent."""
    usd, batcher, club = world.token.address, world.batcher.address, world.club.address
    first, zero = checksummed((1).to_bytes(20)), checksummed(bytes(20))
    dead = "0x000000000000000000000000000000000000dEaD"

    def batch(*parts: tuple[str, int, bytes]) -> bytes:
        return call(VALUED, [(to, True, value, data) for to, value, data in parts])

    for_all = call("setApprovalForAll(address,bool)", batcher, True)
    approve = "approve(address,uint256)"

    def deep(times: int) -> bytes:
        data = transfer()
        for _ in range(times):
            data = call("multicall(bytes[])", [data])
        return data

    return {
        # ether
        "ether for a stranger": ("transfer.payee_not_listed", (STRANGER, b"", 1), {}),
        "ether for an imitation": ("transfer.payee_lookalike", (IMITATION, b"", 1), {}),
        "ether for nobody": ("transfer.payee_not_listed", (zero, b"", 1), {}),
        "ether for 0xdead": ("transfer.payee_not_listed", (dead, b"", 1), {}),
        "ether for a precompile": ("transfer.payee_not_listed", (first, b"", 1), {}),
        "ether for a token": ("transfer.payee_not_listed", (usd, b"", 1), {}),
        "ether for itself": ("transfer.to_self", (world.address, b"", 1), {}),
        "ether for a name": ("request.invalid", ("acme.eth", b"", 1), {}),
        "ether for other digits": ("request.invalid", ("0x" + "\uff12" * 40, b"", 1), {}),
        "ether over the cap": ("transfer.over_per_transfer", (PAYEE, b"", 1001), {}),
        # payees
        "a token for a stranger": ("call.payee_not_listed", (usd, transfer(STRANGER)), {}),
        "a token for an imitation": ("call.payee_lookalike", (usd, transfer(IMITATION)), {}),
        "a token for nobody": ("call.payee_burns", (usd, transfer(zero)), {}),
        "a token for 0xdead": ("call.payee_burns", (usd, transfer(dead)), {}),
        "a token for a precompile": ("call.payee_burns", (usd, transfer(first)), {}),
        "a token for the token": ("call.payee_burns", (usd, transfer(usd)), {}),
        "a token for itself": ("call.to_self", (usd, transfer(world.address)), {}),
        "a thing for a stranger": (
            "call.payee_not_listed",
            (club, call("safeTransferFrom(address,address,uint256)", world.address, STRANGER, 5)), {},
        ),
        # tokens and numbers
        "another token of the same name": ("call.token_not_listed", (world.other.address, transfer()), {}),
        "one unit over the cap": ("call.over_per_transfer", (usd, transfer(units=CAP + 1)), {}),
        "all there can be": ("call.over_budget", (usd, transfer(units=2**256 - 1)), {}),
        "what another lets it take": (
            "call.foreign_owner", (usd, call("transferFrom(address,address,uint256)", ME, PAYEE, 1)), {},
        ),
        # approvals in batches
        "an approval for a stranger": (
            "call.spender_not_listed", (batcher, batch((usd, 0, call(approve, STRANGER, 1)))), {},
        ),
        "an approval without end": (
            "call.unlimited", (batcher, batch((usd, 0, call(approve, batcher, 2**256 - 1)))), {},
        ),
        "two approvals over the cap": (
            "call.over_per_approval", (batcher, batch(*[(usd, 0, call(approve, batcher, 51))] * 2)), {},
        ),
        "an approval for all": ("call.for_all", (batcher, batch((club, 0, for_all))), {}),
        # targets
        "a contract nobody listed": ("call.unknown_function", (STRANGER, b"\xde\xad\xbe\xef"), {}),
        "another function of a listed one": ("call.unknown_function", (club, call("burn(uint256)", 5)), {}),
        "a stranger among the arguments": (
            "call.address_not_listed", (club, call("mint(address,uint256)", STRANGER, 6)), {},
        ),
        "ether with a function": ("call.over_value", (club, call("mint(address,uint256)", world.address, 6), 1), {}),
        "ether with a token": ("call.value_unaccounted", (usd, transfer(), 1), {}),
        "a creation": ("call.creation", (None, b"\x60\x00"), {}),
        "a creation by an empty to": ("call.creation", ("", b"\x60\x00"), {}),
        "a CREATE2 factory": (
            "call.unknown_function", ("0x4e59b44847b379578588920cA78FbF26c0B4956C", bytes(32) + b"\x60"), {},
        ),
        # what is no call at all
        "own code for itself": ("call.unknown_function", (world.address, OWN_CODE), {}),
        "own code for a payee": ("call.unknown_function", (PAYEE, OWN_CODE, 1), {}),
        "own code for a listed contract": ("call.unknown_function", (club, OWN_CODE), {}),
        # nesting
        "a stranger in a batch": (
            "call.payee_not_listed", (batcher, batch((PAYEE, 1, b""), (STRANGER, 1, b"")), 2), {},
        ),
        "a sum over the cap": ("call.over_per_transfer", (batcher, batch(*[(PAYEE, 501, b"")] * 2), 1002), {}),
        "a sum of tokens over the cap": (
            "call.over_per_transfer",
            (usd, call("multicall(bytes[])", [transfer(units=CAP // 2 + 1)] * 2)), {},
        ),
        "a stranger in a multicall": (
            "call.payee_not_listed", (usd, call("multicall(bytes[])", [transfer(), transfer(STRANGER)])), {},
        ),
        "a stranger in aggregate3": (
            "call.payee_not_listed",
            (batcher, call("aggregate3((address,bool,bytes)[])", [(usd, True, transfer(STRANGER))])), {},
        ),
        "a stranger in a MultiSend": (
            "call.payee_not_listed", (batcher, call("multiSend(bytes)", packed((STRANGER, 1, b""))), 1), {},
        ),
        "a stranger paid by a Safe": ("call.payee_not_listed", (batcher, safe(STRANGER, 1, b""), 1), {}),
        "a stranger in executeBatch": (
            "call.payee_not_listed",
            (world.account.address, call("executeBatch((address,uint256,bytes)[])", [(STRANGER, 1, b"")]), 1), {},
        ),
        "a batch in a batch without end": ("call.too_deep", (usd, deep(DEPTH_MAX + 1)), {}),
        "more calls than anybody reads": (
            "call.too_many", (usd, call("multicall(bytes[])", [transfer()] * (LEAVES_MAX + 1))), {},
        ),
        "bytes left over in a batch": ("call.left_over", (batcher, batch((usd, 0, transfer() + b"\0"))), {}),
        "a batcher nobody listed": (
            "call.carrier_not_listed", (world.other.address, batch((PAYEE, 1, b"")), 1), {},
        ),
        "another batch of a listed one": (
            "call.carrier_not_listed", (batcher, call("multiSend(bytes)", packed((PAYEE, 1, b""))), 1), {},
        ),
        "a stranger paid by its account": (
            "call.payee_not_listed",
            (world.account.address, call("execute(address,uint256,bytes)", STRANGER, 1, b"")), {},
        ),
        "a delegatecall": ("call.delegatecall", (batcher, safe(usd, 0, transfer(), operation=1)), {}),
        "an unknown call in a batch": ("call.unknown_function", (batcher, batch((usd, 0, b"\1\2\3\4"))), {}),
        "three bytes": ("call.cut_short", (usd, transfer()[:3]), {}),
        "bytes left over": ("call.left_over", (usd, transfer() + b"\0"), {}),
        "dirt in an address": ("call.padding", (usd, transfer()[:4] + b"\1" + transfer()[5:]), {}),
        # what a transaction says besides
        "another chain": ("transaction.wrong_chain", (usd, transfer()), {"chainId": "0x1"}),
        "a blob": ("transaction.blob", (usd, transfer()), {"blobVersionedHashes": []}),
        "an authorization": ("transaction.authorization", (usd, transfer()), {"authorizationList": []}),
        "type 5": ("transaction.unknown_type", (usd, transfer()), {"type": "0x5"}),
        "data that aren't input": ("request.invalid", (usd, transfer()), {"input": "0x"}),
        **{
            f"{value} as its value": ("request.invalid", (PAYEE, b""), {"value": value})
            for value in (1.5, float("nan"), -1, "-0x1", "1e18", "0x00", "0x" + "f" * 65)
        },
        "a wrong checksum": ("request.invalid", (usd.swapcase().replace("0X", "0x"), transfer()), {}),
        "a fee over the cap": ("call.fee_cap", (usd, transfer()), {"maxFeePerGas": hex(31 * 10**9)}),
        "burning its funds for gas": (
            "call.over_budget", (usd, transfer()), {"maxFeePerGas": hex(30 * 10**9), "gas": hex(30_000_000)},
        ),
        "a gap before its nonce": ("request.invalid", (usd, transfer()), {"nonce": "0x9"}),
    }  # fmt: skip


async def test_every_attack_gets_its_code_and_nothing_is_signed(world: World) -> None:
    told: dict[str, str] = {}
    for name, (code, sent, more) in attacks(world).items():
        reply = await world.send(*sent, **more)
        said = {reply} if isinstance(reply, str) else {reply.code, *(reason.code for reason in reply.reasons)}
        told[name] = "" if code in said else f"{code} expected, {sorted(said)} given"
    assert {name: wrong for name, wrong in told.items() if wrong} == {}
    assert await world.nonce() == 0
    assert (world.left(world.token), world.left(world.club)) == (BUDGET, 1)


async def mined(world: World, *sent: Any) -> Reply:
    reply = await world.send(*sent)
    assert isinstance(reply, Reply), reply
    assert reply.status is Status.DONE, reply
    return reply


async def test_the_neighbours_go_through_and_are_mined(world: World) -> None:
    usd, club = world.token.address, world.club.address
    await mined(world, usd, transfer(units=CAP))
    assert await world.token.read(world.node, "balanceOf", PAYEE) == CAP
    assert world.left(world.token) == BUDGET - CAP
    await mined(world, club, call("mint(address,uint256)", world.address, 5))
    await mined(world, club, call("safeTransferFrom(address,address,uint256)", world.address, PAYEE, 5))
    assert (await world.club.read(world.node, "ownerOf", 5)).lower() == PAYEE.lower()
    assert world.left(world.club) == 0
    await mined(world, world.batcher.address, call(VALUED, [(PAYEE, False, 400, b""), (PAYEE, False, 600, b"")]), 1000)
    assert await world.node.quantity("eth_getBalance", PAYEE, "latest") == 1000
    await mined(world, world.account.address, call("execute(address,uint256,bytes)", PAYEE, 7, b""), 7)
    assert await world.node.quantity("eth_getBalance", PAYEE, "latest") == 1007
    await mined(world, PAYEE, b"", 3)
    assert await world.node.quantity("eth_getBalance", PAYEE, "latest") == 1010
    assert await world.nonce() == 6


async def test_what_names_no_chain_is_signed_for_the_runs_own(world: World) -> None:
    reply = await mined(world, PAYEE, b"", 3)
    assert reply.result is not None
    sent = await world.node.call("eth_getTransactionByHash", reply.result["transaction_hash"])
    assert (int(sent["chainId"], 16), sent["type"]) == (CHAIN_ID, "0x2")


async def test_what_comes_signed_is_never_sent_and_its_signer_is_named(world: World) -> None:
    fields: dict[str, Any] = {"to": PAYEE, "value": 1, "gas": 21_000, "nonce": 0, "chainId": CHAIN_ID}
    fees = {"maxFeePerGas": 10**9, "maxPriorityFeePerGas": 1}
    raw = bytes(Account.from_key(KEY).sign_transaction(fields | fees).raw_transaction)
    told = refuse_signed("0x" + raw.hex(), world.money.run.view)
    assert (told.code, ME in told.cause) == ("transaction.foreign_signer", True)
    for content, code in ((b"\x03" + raw[1:], "transaction.blob"), (b"\x04" + raw[1:], "transaction.authorization")):
        assert refuse_signed("0x" + content.hex(), world.money.run.view).code == code
    elsewhere = bytes(Account.from_key(KEY).sign_transaction(fields | fees | {"chainId": 1}).raw_transaction)
    assert refuse_signed("0x" + elsewhere.hex(), world.money.run.view).code == "transaction.wrong_chain"
    nowhere = bytes(Account.from_key(KEY).sign_transaction({
        "to": PAYEE, "value": 1, "gas": 21_000, "nonce": 0, "gasPrice": 10**9,
    }).raw_transaction)  # fmt: skip
    assert refuse_signed("0x" + nowhere.hex(), world.money.run.view).code == "transaction.no_chain"
