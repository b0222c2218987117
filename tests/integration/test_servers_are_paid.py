"""Servers that answer 402 (x402) are paid by what the firewall signed, if the mandate lists them, and else get nothing.

The server here is merchant and facilitator at once: it asks, checks what it is sent by itself, and has the chain move
the tokens before it serves. It knows nothing of safebox.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from eth_account import Account
from eth_account.messages import encode_typed_data

from safebox.firewall.connectors.jsonrpc import NodeRefused
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.drill.aim import lookalike
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from tests.chain_contracts.contracts import deploy, send
from tests.integration.chain_nodes import CHAIN_ID, funded
from tests.integration.money import PAYEE
from tests.integration.signing_money import MAKER, OWNER, Signing, signing_run

STRANGER: Final = "0x024FD72454c4a3840b7D9Ac04fA8fDB3E650AfeA"
PRICE: Final = 30
MINUTE: Final = 60
_MEMBERS: Final = ("from", "address"), ("to", "address"), ("value", "uint256"), ("validAfter", "uint256")
_TIMES: Final = ("validBefore", "uint256"), ("nonce", "bytes32")
_DOMAIN: Final = ("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")
_TYPES: Final = {"EIP712Domain": _DOMAIN, "TransferWithAuthorization": (*_MEMBERS, *_TIMES)}


class Shop:
    """A server that serves who paid; `changes` are of what it asks for."""

    def __init__(self, money: Signing) -> None:
        self.money = money
        self.changes: dict[str, Any] = {}
        self.settled: list[dict[str, Any]] = []

    def accepts(self, version: int, resource: str) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "scheme": "exact",
            "network": f"eip155:{CHAIN_ID}",
            "asset": self.money.token.address,
            "payTo": PAYEE,
        }
        asked |= {"maxTimeoutSeconds": MINUTE, "extra": {"name": "US Dollar", "version": "1"}}
        if version == 1:
            asked |= {"maxAmountRequired": str(PRICE), "resource": resource, "description": "a day", "mimeType": ""}
        else:
            asked |= {"amount": str(PRICE)}
        return asked | self.changes

    async def serve(self, request: web.Request) -> web.Response:
        version = int(request.match_info["version"])
        sent = request.headers.get({1: "X-PAYMENT", 2: "PAYMENT-SIGNATURE"}[version])
        accepted = self.accepts(version, str(request.url))
        if sent is None:
            return self._ask(version, accepted, str(request.url))
        why = await self._settle(json.loads(base64.b64decode(sent)), version, accepted)
        return web.json_response({"paid": not why, "why": why}, status=402 if why else 200)

    def _ask(self, version: int, accepted: dict[str, Any], url: str) -> web.Response:
        document = {"x402Version": version, "error": "pay first", "accepts": [accepted]}
        if version == 1:
            return web.json_response(document, status=402)
        document |= {"resource": {"url": url, "description": "a day", "mimeType": "application/json"}}
        told = base64.b64encode(json.dumps(document).encode()).decode()
        return web.json_response({}, status=402, headers={"PAYMENT-REQUIRED": told})

    async def _settle(self, sent: dict[str, Any], version: int, accepted: dict[str, Any]) -> str:
        """Move the tokens, or say why not."""
        repeated = sent["accepted"] if version == 2 else {key: sent[key] for key in ("scheme", "network")}
        if sent["x402Version"] != version or not repeated.items() <= accepted.items():
            return "another offer"
        told, signature = sent["payload"]["authorization"], bytes.fromhex(sent["payload"]["signature"][2:])
        if (told["to"], told["value"]) != (accepted["payTo"], str(PRICE)):
            return "another payment"
        if recovered(told, self.money.token.address, signature) != told["from"]:
            return "not signed by the payer"
        if not await submit(self.money, told, signature):
            return "the chain refused"
        self.settled.append(told)
        return ""


def recovered(told: dict[str, Any], token: str, signature: bytes) -> str:
    """Who signed that, as a library of others reads it."""
    numbers = {key: int(told[key]) for key in ("value", "validAfter", "validBefore")}
    whole = {
        "types": {kind: [{"name": name, "type": of} for name, of in members] for kind, members in _TYPES.items()},
        "primaryType": "TransferWithAuthorization",
        "domain": {"name": "US Dollar", "version": "1", "chainId": CHAIN_ID, "verifyingContract": token},
        "message": told | numbers,
    }
    return str(Account.recover_message(encode_typed_data(full_message=whole), signature=signature))


async def submit(money: Signing, told: dict[str, Any], signature: bytes) -> bool:
    """Have the token move what was authorised, if it would."""
    times = int(told["validAfter"]), int(told["validBefore"])
    r, s, v = signature[:32], signature[32:64], signature[64]
    nonce = bytes.fromhex(told["nonce"][2:])
    method, to = "transferWithAuthorization", money.token.address
    call = money.token.call(method, told["from"], told["to"], int(told["value"]), *times, nonce, v, r, s)
    try:
        await money.node.call("eth_call", {"from": OWNER, "to": to, "data": call}, "latest")
    except NodeRefused:
        return False
    await send(money.node, MAKER, to, call)
    return True


@pytest.fixture(scope="module", params=["standin", "anvil"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with funded(request.param, tmp_path_factory.mktemp("chain"), OWNER) as url:
        yield url


@pytest.fixture(scope="module")
def pack() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


@pytest.fixture
async def money(url: str, pack: EmbeddedEngine) -> AsyncIterator[Signing]:
    async with signing_run(url, pack) as rig:
        await send(rig.node, MAKER, rig.token.address, rig.token.call("transfer", rig.address, 100))
        yield rig


@pytest.fixture
async def shop(money: Signing) -> AsyncIterator[tuple[Shop, str]]:
    shop, app = Shop(money), web.Application()
    app.router.add_get("/v{version:[12]}/day", shop.serve)
    async with TestServer(app) as server:
        yield shop, str(server.make_url("/"))


async def visit(money: Signing, at: str, version: int, session: ClientSession) -> tuple[Reply, str]:
    """What an agent does with a 402: it hands one of the offers to its wallet."""
    url = f"{at}v{version}/day"
    async with session.get(url) as answer:
        assert answer.status == 402
        if version == 1:
            told = await answer.json()
        else:
            told = json.loads(base64.b64decode(answer.headers["PAYMENT-REQUIRED"]))
    asked: dict[str, Any] = {"requirements": told["accepts"][0], "version": version}
    if version == 2:
        asked["resource"] = told["resource"]["url"]
    return await money.ask("wallet.pay_request", **asked), url


@pytest.mark.parametrize("version", [1, 2])
async def test_a_listed_server_is_paid_once_and_serves(money: Signing, shop: tuple[Shop, str], version: int) -> None:
    (merchant, at), before = shop, await money.token.read(money.node, "balanceOf", PAYEE)
    async with ClientSession() as session:
        reply, url = await visit(money, at, version, session)
        assert reply.status is Status.DONE, reply
        assert reply.result is not None
        header = {reply.result["header"]: reply.result["value"]}
        async with session.get(url, headers=header) as answer:
            assert (answer.status, await answer.json()) == (200, {"paid": True, "why": ""})
        async with session.get(url, headers=header) as again:
            assert (again.status, (await again.json())["paid"]) == (402, False), "an authorisation pays once"
    assert await money.token.read(money.node, "balanceOf", PAYEE) - before == PRICE
    assert (len(merchant.settled), money.exposed) == (1, PRICE)
    assert merchant.settled[0]["from"] == money.address
    assert reply.result["valid_before"] == int(merchant.settled[0]["validBefore"])
    await money.check()


async def test_what_a_server_may_not_ask_is_refused_and_nothing_is_signed(
    money: Signing, shop: tuple[Shop, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant, at = shop
    other = await deploy(money.node, MAKER, "Token", "US Dollar", "USD", 6, 1000)
    asked: list[tuple[str, dict[str, Any]]] = [
        ("payment.payee_not_listed", {"payTo": STRANGER}),
        ("payment.payee_lookalike", {"payTo": lookalike(PAYEE)}),
        ("payment.to_self", {"payTo": money.address}),
        ("payment.over_per_transfer", {"maxAmountRequired": "51"}),
        ("payment.over_budget", {"maxAmountRequired": "101"}),
        ("payment.over_budget", {"maxAmountRequired": str(2**256 - 1)}),
        ("payment.token_not_listed", {"asset": other.address}),
        ("payment.wrong_chain", {"network": "base"}),
        ("payment.valid_too_long", {"maxTimeoutSeconds": 601}),
        ("payment.wrong_domain", {"extra": {"name": "US Dollars", "version": "1"}}),
        ("request.invalid", {"scheme": "upto"}),
        ("request.invalid", {"maxTimeoutSeconds": 0}),
        ("request.invalid", {"maxAmountRequired": "-1"}),
        ("request.invalid", {"extra": {"name": "US Dollar", "version": "1", "assetTransferMethod": "permit2"}}),
    ]
    signed = signatures(money, monkeypatch)
    async with ClientSession() as session:
        for code, changes in asked:
            merchant.changes = changes
            money.clock.advance(2 * MINUTE)  # too many denied in ten minutes would be a no of its own
            reply, _ = await visit(money, at, 1, session)
            assert code in {reason.code for reason in reply.reasons}, (changes, reply)
            assert reply.status is not Status.DONE
            assert (signed, money.exposed) == ([], 0), changes
        merchant.changes = {"maxTimeoutSeconds": 600, "maxAmountRequired": "50"}
        reply, _ = await visit(money, at, 1, session)
        assert (reply.status, len(signed), money.exposed) == (Status.DONE, 1, 50), reply
    await money.check()


def signatures(money: Signing, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The typed data the signer is asked for from now on."""
    seen: list[str] = []
    really = money.signer.sign_typed_data

    async def noted(run: str, typed_data: str, decision: str) -> bytes:
        seen.append(typed_data)
        return await really(run, typed_data, decision)

    monkeypatch.setattr(money.signer, "sign_typed_data", noted)
    return seen


async def test_each_asking_costs_until_the_budget_is_gone(money: Signing, shop: tuple[Shop, str]) -> None:
    merchant, at = shop
    merchant.changes = {"maxAmountRequired": "50"}
    async with ClientSession() as session:
        for spent in (50, 100):
            reply, _ = await visit(money, at, 1, session)
            assert (reply.status, money.exposed) == (Status.DONE, spent), "a server that takes and never serves"
        reply, _ = await visit(money, at, 1, session)
    assert "payment.over_budget" in {reason.code for reason in reply.reasons}
    assert money.exposed == 100
    await money.check()


async def test_a_payment_that_was_signed_when_the_firewall_ended_counts_as_given(
    money: Signing, shop: tuple[Shop, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, at = shop
    really = money.signer.sign_typed_data

    async def ends_after(run: str, typed_data: str, decision: str) -> bytes:
        await really(run, typed_data, decision)
        raise SystemExit("ended between signing and answering")

    monkeypatch.setattr(money.signer, "sign_typed_data", ends_after)
    async with ClientSession() as session:
        with pytest.raises(SystemExit):
            await visit(money, at, 1, session)
    await money.die()
    await money.look()
    assert money.exposed == PRICE
    await money.check()
