"""The stand-in chain as unmodified web3.py sees it, beside a real node where one is installed, and after kill -9."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import HexStr
from hexbytes import HexBytes
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import ContractLogicError, Web3RPCError
from web3.types import RPCEndpoint

from safebox.firewall.standins.child import StandIn, StandInError
from tests.integration.chain_nodes import CHAIN_ID, TREASURY, anvil, standin

KEY = "0x" + "11" * 32
GWEI = 10**9
LOGS_42 = "0x6c602a600052600760206000a100600052600d6013f3"
"""Deploys code that logs the number 42 under topic 7 whenever it is called."""
REVERTS = "0x6460006000fd6000526005601bf3"
"""Deploys code that always reverts."""


def _account() -> LocalAccount:
    account: LocalAccount = Account.from_key(KEY)
    return account


async def _ask(web3: AsyncWeb3[AsyncHTTPProvider], method: str, params: Any) -> Any:
    return await web3.provider.make_request(RPCEndpoint(method), params)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with standin(tmp_path / "chain", _account().address) as child:
        yield child


@pytest.fixture
async def web3(node: StandIn) -> AsyncIterator[AsyncWeb3[AsyncHTTPProvider]]:
    async with _connect(node.url) as one:
        yield one


@contextlib.asynccontextmanager
async def _connect(url: str) -> AsyncGenerator[AsyncWeb3[AsyncHTTPProvider]]:
    provider = AsyncHTTPProvider(url)
    try:
        yield AsyncWeb3(provider)
    finally:
        await provider.disconnect()


def _signed(nonce: int, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "to": "0x" + "22" * 20,
        "value": 5,
        "nonce": nonce,
        "chainId": CHAIN_ID,
        "gas": 21_000,
        "maxFeePerGas": 3 * GWEI,
        "maxPriorityFeePerGas": GWEI,
        **changes,
    }
    if "gasPrice" in changes:
        del fields["maxFeePerGas"], fields["maxPriorityFeePerGas"]
    return bytes(_account().sign_transaction(fields).raw_transaction)


async def test_a_transfer_is_mined_at_once_and_every_read_agrees(web3: AsyncWeb3[AsyncHTTPProvider]) -> None:
    hashed = await web3.eth.send_raw_transaction(_signed(0))
    receipt = await web3.eth.wait_for_transaction_receipt(hashed, timeout=5)
    assert (receipt["status"], receipt["blockNumber"], receipt["gasUsed"]) == (1, 1, 21_000)
    spent = 21_000 * receipt["effectiveGasPrice"] + 5
    address = _account().address
    assert await web3.eth.get_balance(address) == TREASURY - spent
    assert await web3.eth.get_balance(address, 0) == TREASURY
    assert await web3.eth.get_transaction_count(address, "pending") == 1
    assert (await web3.eth.get_transaction(hashed)).get("from") == address
    block = await web3.eth.get_block("latest", full_transactions=True)
    assert await web3.eth.get_block(HexBytes(block.get("hash", b""))) == await web3.eth.get_block(1)
    assert (await web3.eth.fee_history(2, "latest", [50]))["baseFeePerGas"][:2] == [GWEI, 875_000_000]


async def test_contracts_run_log_and_revert(web3: AsyncWeb3[AsyncHTTPProvider]) -> None:
    created: list[Any] = []
    for nonce, code in enumerate((LOGS_42, REVERTS)):
        hashed = await web3.eth.send_raw_transaction(_signed(nonce, to="", data=code, gas=200_000, value=0))
        created.append((await web3.eth.get_transaction_receipt(hashed))["contractAddress"])
    assert await web3.eth.get_code(created[0]) != b""
    await web3.eth.send_raw_transaction(_signed(2, to=created[0], gas=100_000, value=0))
    failed = await web3.eth.send_raw_transaction(_signed(3, to=created[1], gas=100_000, value=0))
    assert (await web3.eth.get_transaction_receipt(failed))["status"] == 0
    topic, other = (HexStr("0x" + digit.rjust(64, "0")) for digit in "78")
    logs = await web3.eth.get_logs({"fromBlock": 0, "toBlock": "latest", "address": created[0], "topics": [topic]})
    assert [int(log["data"].hex(), 16) for log in logs] == [42]
    assert not await web3.eth.get_logs({"fromBlock": 0, "topics": [other]})
    with pytest.raises(ContractLogicError):
        await web3.eth.call({"to": created[1]})
    with pytest.raises(ContractLogicError):
        await web3.eth.estimate_gas({"to": created[1]})
    assert await web3.eth.estimate_gas({"to": created[0], "from": _account().address}) > 21_000


REFUSED: list[tuple[str, bytes]] = [
    ("nonce too high", _signed(5)),
    ("insufficient funds for gas \\* price \\+ value", _signed(0, value=TREASURY)),
    ("intrinsic gas too low", _signed(0, data="0x01")),
    ("exceeds block gas limit", _signed(0, gas=30_000_001)),
    ("max fee per gas less than block base fee", _signed(0, maxFeePerGas=1, maxPriorityFeePerGas=1)),
    ("max priority fee per gas higher than max fee per gas", _signed(0, maxPriorityFeePerGas=4 * GWEI)),
    ("invalid chain id", _signed(0, chainId=1)),
    ("transaction type not supported", b"\x7f\x00"),
    ("invalid transaction", _signed(0)[:-1]),
    ("typed transaction too short", b""),
]


async def test_a_transaction_that_can_not_be_mined_is_refused_in_geths_words(
    web3: AsyncWeb3[AsyncHTTPProvider],
) -> None:
    for words, raw in REFUSED:
        with pytest.raises(Web3RPCError, match=words):
            await web3.eth.send_raw_transaction(raw)
    assert await web3.eth.block_number == 0


async def test_the_same_transaction_twice_is_refused_and_changes_nothing(web3: AsyncWeb3[AsyncHTTPProvider]) -> None:
    await web3.eth.send_raw_transaction(_signed(0))
    with pytest.raises(Web3RPCError, match="already known"):
        await web3.eth.send_raw_transaction(_signed(0))
    with pytest.raises(Web3RPCError, match="nonce too low: next nonce 1, tx nonce 0"):
        await web3.eth.send_raw_transaction(_signed(0, value=6))
    assert await web3.eth.block_number == 1


async def test_nothing_that_was_answered_for_is_lost_to_kill_9(tmp_path: Path) -> None:
    async def state(url: str) -> list[Any]:
        async with _connect(url) as web3:
            blocks = [await web3.eth.get_block(number) for number in range(await web3.eth.block_number + 1)]
            return [blocks, await web3.eth.get_balance(_account().address)]

    owner = _account().address
    async with standin(tmp_path, owner) as first:
        async with _connect(first.url) as web3:
            for nonce in range(5):
                await web3.eth.send_raw_transaction(_signed(nonce))
        before = await state(first.url)
        await first.kill()
    with (tmp_path / "journal").open("ab") as journal:
        journal.write(b'{"timestamp":1,"raw":"0x02')
    async with standin(tmp_path, owner) as second:
        assert await state(second.url) == before
        async with _connect(second.url) as web3:
            await web3.eth.send_raw_transaction(_signed(5))
        after = await state(second.url)
        await second.kill()
    async with standin(tmp_path, owner) as third:
        assert await state(third.url) == after


async def test_a_folder_in_use_or_of_another_genesis_is_refused(tmp_path: Path) -> None:
    owner = _account().address
    async with standin(tmp_path, owner):
        with pytest.raises(StandInError):
            await StandIn.start("chain", "--state", tmp_path, "--fund", f"{owner}={TREASURY}")
    with pytest.raises(StandInError):
        await StandIn.start("chain", "--state", tmp_path, "--fund", f"{owner}=5")


async def test_it_ends_when_its_parent_lets_go(node: StandIn) -> None:
    await asyncio.wait_for(node.stop(), 4)
    assert not node.running


async def test_bad_requests_get_json_rpc_errors(web3: AsyncWeb3[AsyncHTTPProvider]) -> None:
    async def code(method: str, params: Any) -> Any:
        return (await _ask(web3, method, params))["error"]["code"]

    assert await code("personal_sign", []) == -32601
    assert await code("eth_getBalance", []) == -32602
    assert await code("eth_getBalance", ["0x12", "latest"]) == -32602
    assert await code("eth_getBalance", ["0x" + "22" * 20, "0x7"]) == -32000
    assert await code("eth_getStorageAt", ["0x" + "22" * 20, "zero"]) == -32602


async def test_nested_json_ends_no_chain(node: StandIn) -> None:
    async with ClientSession() as session:
        async with session.post(node.url, data=b"[" * 400_000) as answer:
            assert (await answer.json())["error"]["code"] == -32700
        async with session.post(node.url, data=b"{" * 4_000) as answer:
            assert (await answer.json())["error"]["code"] == -32700
    assert node.running


READS: list[Callable[[AsyncWeb3[AsyncHTTPProvider], Any], Awaitable[Any]]] = [
    lambda web3, hashed: web3.eth.get_transaction(hashed),
    lambda web3, hashed: web3.eth.get_transaction_receipt(hashed),
    lambda web3, _: web3.eth.get_block("latest"),
    lambda web3, _: web3.eth.fee_history(1, "latest", [50]),
]


async def test_its_answers_have_every_field_a_real_node_gives(web3: AsyncWeb3[AsyncHTTPProvider]) -> None:
    async def shapes(one: AsyncWeb3[AsyncHTTPProvider], hashed: Any) -> list[dict[str, str]]:
        await one.eth.wait_for_transaction_receipt(hashed, timeout=10)
        answers = [await read(one, hashed) for read in READS]
        return [{key: type(value).__name__ for key, value in answer.items()} for answer in answers]

    async with anvil() as url, _connect(url) as real:
        await _ask(real, "anvil_setBalance", [_account().address, hex(TREASURY)])
        theirs = await shapes(real, await real.eth.send_raw_transaction(_signed(0)))
    ours = await shapes(web3, await web3.eth.send_raw_transaction(_signed(0)))
    optional = {"blobGasPrice", "blobGasUsedRatio", "baseFeePerBlobGas", "blockTimestamp", "totalDifficulty"}
    for their, our in zip(theirs, ours, strict=True):
        assert {key: kind for key, kind in their.items() if key not in optional} == {
            key: kind for key, kind in our.items() if key not in optional
        }
