"""Every read method the gateway lists, asked of the gateway and of the node behind it: the answers are the same bytes.

One node, standing still, with blocks, logs, a contract and a call that reverts on it; every read of the table is asked
with parameters it likes and with some it doesn't.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import msgspec
import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address

from safebox.firewall.connectors.upstream import ChainReads, Nodes
from safebox.firewall.gateways.methods import METHODS, READS, Kind
from tests.integration.chain_nodes import CHAIN_ID, anvil, standin
from tests.twin_desk import Served, TwinDesk, serving

KEY = bytes([9]) * 32
PAYER = Account.from_key(KEY).address
LOGGER = "600b380380600b5f395ff3" + "5f5f527f" + "11" * 32 + "60205fa1" + "60015f5260205ff3"
"""Code that logs a topic whenever it is called and returns one; before it, what puts it on the chain."""
REVERTER = "600b380380600b5f395ff3" + "63deadbeef5f526004601cfd"
"""Code that reverts with four bytes."""
NOBODY = "0x" + "00" * 19 + "99"
FIELDS_LEAST = 500
LEFT_OUT = {
    "eth_getBlockAccessList": "new, and no node is known to answer it",
    "eth_capabilities": "what a node can do is not what can be done here",
    "eth_config": "forks of the node's own chain, which nothing in a sandbox chooses",
    "eth_simulateV1": "many blocks of calls with a state of their own: without a bound",
    "eth_baseFee": "new; the newest block says it",
    "eth_fillTransaction": "what is left out is filled in where it is decided",
    "eth_newPendingTransactionFilter": "others' payments before they are mined",
    "eth_signTransaction": "gives signed bytes away, which whoever has them can send",
    "eth_getStorageValues": "new, and many reads in one without a bound",
}
"""Methods of the public execution API (ethereum/execution-apis, src/eth) that don't exist in a sandbox, and why."""
_PUBLIC = """
eth_getBlockByHash eth_getBlockByNumber eth_getBlockTransactionCountByHash eth_getBlockTransactionCountByNumber
eth_getBlockReceipts eth_getBlockAccessList eth_capabilities eth_chainId eth_syncing eth_coinbase eth_accounts
eth_blockNumber eth_config net_version eth_call eth_estimateGas eth_createAccessList eth_simulateV1 eth_gasPrice
eth_baseFee eth_blobBaseFee eth_maxPriorityFeePerGas eth_feeHistory eth_fillTransaction eth_newFilter
eth_newBlockFilter eth_newPendingTransactionFilter eth_uninstallFilter eth_getFilterChanges eth_getFilterLogs
eth_getLogs eth_sign eth_signTransaction eth_getBalance eth_getStorageAt eth_getStorageValues eth_getTransactionCount
eth_getCode eth_getProof eth_sendTransaction eth_sendRawTransaction eth_getTransactionByHash
eth_getTransactionByBlockHashAndIndex eth_getTransactionByBlockNumberAndIndex eth_getTransactionReceipt
"""
PUBLIC = set(_PUBLIC.split())
"""All methods of that API."""


class Lived:
    """A node with a past: two contracts, a payment and a log, and the names of it all."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.names: dict[str, Any] = {}

    async def ask(self, method: str, *params: Any) -> Any:
        return (await exchange(self.url, method, list(params)))[1].get("result")

    async def live(self) -> None:
        """Put everything on the chain."""
        transactions: list[dict[str, Any]] = [
            {"data": "0x" + LOGGER}, {"data": "0x" + REVERTER}, {"to": NOBODY, "value": 5}
        ]  # fmt: skip
        receipts = [await self._send(number, each) for number, each in enumerate(transactions)]
        logger, reverter = (to_checksum_address(each["contractAddress"]) for each in receipts[:2])
        logged = await self._send(len(transactions), {"to": logger})
        self.names = {
            "logger": logger, "reverter": reverter, "hash": logged["transactionHash"],
            "block": logged["blockHash"], "number": logged["blockNumber"],
        }  # fmt: skip

    async def _send(self, nonce: int, more: dict[str, Any]) -> dict[str, Any]:
        fields = {
            "chainId": CHAIN_ID, "nonce": nonce, "gas": 200_000, "value": 0,
            "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9, **more,
        }  # fmt: skip
        raw = Account.sign_transaction(fields, KEY).raw_transaction.to_0x_hex()
        sent = await self.ask("eth_sendRawTransaction", raw)
        for _ in range(1000):
            receipt: dict[str, Any] | None = await self.ask("eth_getTransactionReceipt", sent)
            if receipt is not None:
                return receipt
        raise AssertionError(f"not mined: {more}")


async def exchange(url: str, method: str, params: list[Any]) -> tuple[bytes, dict[str, Any]]:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as answer:
        content = await answer.read()
        return content, dict(json.loads(content))


@pytest.fixture(params=["standin", "anvil"], scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def lived(kind: str, tmp_path: Path) -> AsyncIterator[Lived]:
    if kind == "standin":
        async with standin(tmp_path, PAYER) as child:
            node = Lived(child.url)
            await node.live()
            yield node
    else:
        async with anvil() as url:
            node = Lived(url)
            await node.ask("anvil_setBalance", PAYER, hex(10**21))
            await node.live()
            yield node


@pytest.fixture
async def served(lived: Lived) -> AsyncIterator[Served]:
    nodes = Nodes([lived.url], CHAIN_ID)
    async with serving(TwinDesk(), chain=ChainReads(nodes)) as server:
        yield server
    await nodes.close()


def asked(at: dict[str, Any]) -> dict[str, list[list[Any]]]:
    """What each read is asked: things that are there, things that aren't, and things that make no sense."""
    block, number, made = at["block"], at["number"], at["hash"]
    call = {"from": PAYER, "to": at["logger"], "gas": "0x30d40"}
    fails = {"from": PAYER, "to": at["reverter"], "gas": "0x30d40"}
    nothing = "0x" + "00" * 32
    blocks = [[number], ["earliest"], ["latest"], ["0xffff"], ["nonsense"], []]
    hashes = [[block], [nothing], ["0x1"], []]
    return {
        "eth_blobBaseFee": [[]],
        "eth_blockNumber": [[]],
        "eth_call": [[call, "latest"], [fails, "latest"], [{"to": NOBODY}, number], [call, block], [{}, "latest"]],
        "eth_createAccessList": [[call, "latest"], [fails, "latest"]],
        "eth_estimateGas": [[call], [fails], [{"to": NOBODY, "value": "0x1", "from": PAYER}, "latest"]],
        "eth_feeHistory": [["0x2", "latest", [25, 75]], ["0x1", "earliest"], ["0x0", "latest", []], ["0x1", "0xffff"]],
        "eth_gasPrice": [[]],
        "eth_getBalance": [[PAYER, "latest"], [NOBODY, number], ["nonsense", "latest"], [PAYER, "0xffff"]],
        "eth_getBlockByHash": [[each[0], full] for each in hashes[:3] for full in (True, False)],
        "eth_getBlockByNumber": [[each[0], full] for each in blocks[:5] for full in (True, False)],
        "eth_getBlockReceipts": blocks,
        "eth_getBlockTransactionCountByHash": hashes,
        "eth_getBlockTransactionCountByNumber": blocks,
        "eth_getCode": [[at["logger"], "latest"], [NOBODY, "latest"], [at["logger"], "0x0"]],
        "eth_getLogs": [
            [{"fromBlock": "0x0", "toBlock": "latest"}], [{"blockHash": block}], [{"address": at["logger"]}],
            [{"fromBlock": "0x0", "toBlock": number, "topics": ["0x" + "11" * 32]}], [{"blockHash": nothing}],
            [{"fromBlock": "0x0", "topics": [None, "0x" + "11" * 32]}], [{"fromBlock": "0x2", "toBlock": "0x1"}],
        ],
        "eth_getProof": [[PAYER, [], "latest"], [at["logger"], ["0x0"], number]],
        "eth_getStorageAt": [[at["logger"], "0x0", "latest"], [NOBODY, "0x0", number]],
        "eth_getTransactionByBlockHashAndIndex": [[block, "0x0"], [block, "0x7"], [nothing, "0x0"]],
        "eth_getTransactionByBlockNumberAndIndex": [[number, "0x0"], ["latest", "0x7"], ["0xffff", "0x0"]],
        "eth_getTransactionByHash": [[made], [nothing], ["0x1"]],
        "eth_getTransactionCount": [[PAYER, "latest"], [PAYER, "pending"], [PAYER, "0x1"]],
        "eth_getTransactionReceipt": [[made], [nothing], []],
        "eth_getUncleByBlockHashAndIndex": [[block, "0x0"]],
        "eth_getUncleByBlockNumberAndIndex": [[number, "0x0"]],
        "eth_getUncleCountByBlockHash": hashes,
        "eth_getUncleCountByBlockNumber": blocks,
        "eth_maxPriorityFeePerGas": [[]],
        "eth_syncing": [[]],
        "net_listening": [[]],
        "web3_sha3": [["0x68656c6c6f"], ["0x"], ["nonsense"]],
    }  # fmt: skip


async def test_every_read_is_answered_with_the_nodes_own_bytes(lived: Lived, served: Served, kind: str) -> None:
    questions = asked(lived.names)
    assert questions.keys() == set(READS)
    told: dict[str, int] = dict.fromkeys(READS, 0)
    fields = count = 0
    for method, params in questions.items():
        for each in params:
            raw, node = await exchange(lived.url, method, each)
            mine, gateway = await exchange(served.url("ethereum"), method, each)
            assert gateway == node, (method, each)
            for member in ("result", "error"):
                if member in node:
                    assert member_of(mine, member) == member_of(raw, member), (method, each)
            assert fields_of(gateway) == fields_of(node), (method, each)
            fields, count = fields + len(fields_of(node)), count + 1
            told[method] += "result" in node
    unknown = sorted(name for name, times in told.items() if not times)
    known = len(READS) - len(unknown)
    print(f"{kind}: {known} methods, {count} questions, {fields} fields compared; it doesn't know {unknown}")
    assert kind == "standin" or not unknown
    assert fields > FIELDS_LEAST


def fields_of(value: object, at: str = "") -> dict[str, object]:
    """Every value in a document that holds no others, by where it is."""
    members: dict[object, object] = {}
    if isinstance(value, dict):
        members = cast("dict[object, object]", value)
    elif isinstance(value, list):
        members = dict(enumerate(cast("list[object]", value)))
    if not members:
        return {at: value}
    return {path: leaf for name, each in members.items() for path, leaf in fields_of(each, f"{at}.{name}").items()}


def member_of(content: bytes, name: str) -> bytes:
    """A member of a JSON object, as it was written."""
    return bytes(msgspec.json.decode(content, type=dict[str, msgspec.Raw])[name])


async def test_what_the_firewall_answers_itself_is_what_the_node_says(lived: Lived, served: Served) -> None:
    for method in ("eth_chainId", "net_version"):
        node, gateway = await exchange(lived.url, method, []), await exchange(served.url("ethereum"), method, [])
        assert node[1] == gateway[1]


async def test_a_batch_is_answered_like_its_parts(lived: Lived, served: Served) -> None:
    asked_all = [(method, params[0]) for method, params in asked(lived.names).items()]
    batch = [{"jsonrpc": "2.0", "id": n, "method": m, "params": p} for n, (m, p) in enumerate(asked_all)]
    async with aiohttp.ClientSession() as http, http.post(served.url("ethereum"), json=batch) as answer:
        answers = await answer.json()
    for number, (method, params) in enumerate(asked_all):
        node = (await exchange(lived.url, method, params))[1]
        assert {**answers[number], "id": 1} == node


def test_every_method_of_the_table_is_of_one_kind_and_none_changes_a_node() -> None:
    assert {name for name, each in METHODS.items() if each.kind is Kind.READ} == set(READS)
    families = ("personal_", "debug_", "admin_", "anvil_", "hardhat_", "wallet_", "evm_", "miner_", "txpool_", "trace_")
    acts = {"personal_sign"}  # a family of the node's keys by its name, and decided like any other signature
    assert {name for name in METHODS if name.startswith(families)} == acts
    assert all(METHODS[name].kind is Kind.DECIDE for name in acts)
    assert not [name for name in READS if name.startswith(("eth_send", "eth_sign", "eth_submit", "eth_new"))]


def test_every_method_of_the_public_api_is_in_the_table_or_left_out_with_a_reason() -> None:
    assert PUBLIC - METHODS.keys() == LEFT_OUT.keys()
