"""The contracts that other tests put on a chain: compiled from their source, and doing what they are there for."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi.packed import encode_packed
from eth_account import Account
from eth_account.messages import encode_typed_data

from safebox.firewall.connectors.jsonrpc import Node, NodeRefused
from tests.chain_contracts.contracts import Contract, deploy, encode_call, send
from tests.chain_contracts.solidity import COMPILED, compile_all
from tests.integration.chain_nodes import CHAIN_ID, TREASURY, anvil, standin

KEY, OTHER = b"\x11" * 32, b"\x12" * 32
ME, FRIEND = str(Account.from_key(KEY).address), "0x" + "22" * 20
ZERO = "0x" + "00" * 20


def test_compiling_the_sources_again_gives_the_same_bytes() -> None:
    assert compile_all() == COMPILED.read_bytes()


@pytest.fixture(params=["standin", "anvil"])
async def node(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Node]:
    async with _urls(request.param, tmp_path) as url:
        node = Node(url)
        if request.param == "anvil":
            await node.call("anvil_setBalance", ME, hex(TREASURY))
        yield node
        await node.close()


@contextlib.asynccontextmanager
async def _urls(kind: str, folder: Path) -> AsyncGenerator[str]:
    if kind == "anvil":
        async with anvil() as url:
            yield url
    else:
        async with standin(folder, ME) as child:
            yield child.url


async def _refused(node: Node, contract: Contract, data: str) -> str:
    with pytest.raises(NodeRefused) as caught:
        await node.call("eth_estimateGas", {"from": ME, "to": contract.address, "data": data})
    return str(caught.value)


async def test_the_token_pays_by_call_by_permit_and_by_authorization(node: Node) -> None:
    token = await deploy(node, KEY, "Token", "US Dollar", "USD", 6, 1000)
    await send(node, KEY, token.address, token.call("transfer", FRIEND, 1))
    await send(node, KEY, token.address, _permit(token, spender=FRIEND, value=40))
    assert await token.read(node, "allowance", ME, FRIEND) == 40
    assert await token.read(node, "nonces", ME) == 1
    await send(node, KEY, token.address, _authorized(token, to=FRIEND, value=2))
    assert await token.read(node, "balanceOf", FRIEND) == 3
    assert "authorization used" in await _refused(node, token, _authorized(token, to=FRIEND, value=2))


def _permit(token: Contract, *, spender: str, value: int) -> str:
    message = {"owner": ME, "spender": spender, "value": value, "nonce": 0, "deadline": 2**48}
    fields = [("owner", "address"), ("spender", "address"), ("value", "uint256"), ("nonce", "uint256")]
    signed = _signed(token, "Permit", [*fields, ("deadline", "uint256")], message)
    return token.call("permit", ME, spender, value, 2**48, *signed)


def _authorized(token: Contract, *, to: str, value: int) -> str:
    nonce = b"\x07" * 32
    message = {"from": ME, "to": to, "value": value, "validAfter": 0, "validBefore": 2**48, "nonce": nonce}
    fields = [("from", "address"), ("to", "address"), *((name, "uint256") for name in ("value", "validAfter"))]
    fields += [("validBefore", "uint256"), ("nonce", "bytes32")]
    signed = _signed(token, "TransferWithAuthorization", fields, message)
    return token.call("transferWithAuthorization", *message.values(), *signed)


def _signed(
    token: Contract, kind: str, fields: list[tuple[str, str]], message: dict[str, Any]
) -> tuple[int, bytes, bytes]:
    domain = {"name": "US Dollar", "version": "1", "chainId": CHAIN_ID, "verifyingContract": token.address}
    types = {kind: [{"name": name, "type": of} for name, of in fields]}
    signed = Account.from_key(KEY).sign_message(encode_typed_data(domain, types, message))
    return signed.v, signed.r.to_bytes(32), signed.s.to_bytes(32)


async def test_collectibles_are_minted_moved_and_approved(node: Node) -> None:
    nft, many = await deploy(node, KEY, "Collectible"), await deploy(node, KEY, "Multitoken")
    receiver = await deploy(node, KEY, "Caller")
    await send(node, KEY, nft.address, nft.call("mint", ME, 5))
    await send(node, KEY, nft.address, nft.call("safeTransferFrom(address,address,uint256)", ME, receiver.address, 5))
    assert (await nft.read(node, "ownerOf", 5)).lower() == receiver.address.lower()
    assert "not its owner" in await _refused(node, nft, nft.call("transferFrom", ME, FRIEND, 5))
    await send(node, KEY, many.address, many.call("mint", ME, 1, 10))
    await send(node, KEY, many.address, many.call("safeBatchTransferFrom", ME, FRIEND, [1, 1], [2, 3], b""))
    assert await many.read(node, "balanceOf", FRIEND, 1) == 5
    await send(node, KEY, many.address, many.call("setApprovalForAll", FRIEND, True))
    assert await many.read(node, "isApprovedForAll", ME, FRIEND) is True


async def test_batchers_make_every_call_they_are_given_or_none(node: Node) -> None:
    token = await deploy(node, KEY, "Token", "US Dollar", "USD", 6, 1000)
    multicall, safe = await deploy(node, KEY, "Multicall"), await deploy(node, KEY, "Safe", ME)
    sender, account = await deploy(node, KEY, "MultiSend"), await deploy(node, KEY, "Account", ME)
    for holder in (multicall, safe, account):
        await send(node, KEY, token.address, token.call("transfer", holder.address, 100))
    pay = bytes.fromhex(token.call("transfer", FRIEND, 10)[2:])
    await send(node, KEY, multicall.address, multicall.call("aggregate3", [(token.address, False, pay)] * 2))
    packed = encode_packed(["uint8", "address", "uint256", "uint256", "bytes"], [0, token.address, 0, len(pay), pay])
    batch = encode_call("MultiSend", "multiSend", packed * 2)
    await send(node, KEY, safe.address, safe.call("execTransaction", sender.address, 0, batch, 1, *_by_owner()))
    await send(node, KEY, account.address, account.call("executeBatch", [(token.address, 0, pay)] * 2))
    assert await token.read(node, "balanceOf", FRIEND) == 60
    too_much = bytes.fromhex(token.call("transfer", FRIEND, 10_000)[2:])
    calls = [(token.address, False, pay), (token.address, False, too_much)]
    assert "call failed" in await _refused(node, multicall, multicall.call("aggregate3", calls))


def _by_owner() -> tuple[Any, ...]:
    """The rest of `execTransaction` for an owner who is the sender."""
    return 0, 0, 0, ZERO, ZERO, bytes(12) + bytes.fromhex(ME[2:]) + bytes(32) + b"\x01"


@pytest.mark.parametrize(("name", "left"), [("Greedy", 80), ("Silent", 0), ("Grasping", 90)])
async def test_a_token_can_move_more_than_it_is_told_to(name: str, left: int, node: Node) -> None:
    maker = str(Account.from_key(OTHER).address)
    await send(node, KEY, maker, value=10**19)
    token = await deploy(node, OTHER, name, 1000)
    await send(node, OTHER, token.address, token.call("transfer", ME, 100))
    await send(node, KEY, token.address, token.call("transfer", FRIEND, 10))
    assert await token.read(node, "balanceOf", ME) == left
    assert (await token.read(node, "allowance", ME, maker) > 0) is (name == "Grasping")


async def test_a_contract_can_refuse_take_call_back_and_burn(node: Node) -> None:
    refuser, caller = await deploy(node, KEY, "Refuser"), await deploy(node, KEY, "Caller")
    token = await deploy(node, KEY, "Token", "US Dollar", "USD", 6, 1000)
    account, burner = await deploy(node, KEY, "Account", ME), await deploy(node, KEY, "Burner")
    await send(node, KEY, account.address, value=100)
    with pytest.raises(NodeRefused, match="not here"):
        await node.call("eth_call", {"from": ME, "to": refuser.address, "value": "0x1"}, "latest")
    with pytest.raises(NodeRefused):
        await node.call("eth_call", {"from": ME, "to": burner.address, "gas": "0x186a0"}, "latest")
    await send(node, KEY, caller.address, caller.call("answerWith", bytes.fromhex(token.call("balanceOf", ME)[2:])))
    with pytest.raises(NodeRefused):  # the account has no balanceOf: what it paid calls it back, and it refuses
        await node.call(
            "eth_call", {"from": ME, "to": account.address, "data": account.call("execute", caller.address, 1, b"")}
        )
    taker = await deploy(node, KEY, "Taker", token.address)
    await send(node, KEY, token.address, token.call("approve", taker.address, 7))
    await send(node, KEY, taker.address, taker.call("claim"))
    assert await token.read(node, "allowance", ME, taker.address) == 0
