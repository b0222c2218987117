"""The ethereum gateway as web3.py sees it, in front of a real chain."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from eth_account import Account
from web3 import HTTPProvider, Web3
from web3._utils.http import DEFAULT_HTTP_TIMEOUT
from web3.exceptions import Web3RPCError
from web3.types import TxParams, Wei

from safebox.firewall.accounts import LocalAccount
from safebox.firewall.connectors.chain import AGENT_SECONDS
from safebox.firewall.connectors.jsonrpc import Node, NodeUnavailable
from safebox.firewall.connectors.upstream import ChainReads, Nodes
from safebox.firewall.core.reply import Status
from safebox.firewall.errors import EffectError
from safebox.firewall.gateways.limits import BATCH_MAX, READ_BYTES_MAX
from safebox.firewall.gateways.methods import READS
from safebox.firewall.gateways.server import GatewayServer
from safebox.firewall.pipeline import FACTS_SECONDS
from safebox.firewall.standins.child import StandIn
from tests.integration.chain_nodes import anvil_process
from tests.integration.money import PAYEE as ACME
from tests.integration.money import Money
from tests.twin_desk import ADDRESS, CHAIN_ID, PAYEE, Served, TwinDesk, done, listeners, not_done, serving, view

HASH = "0x" + "ab" * 32
CODES = {Status.DENIED: -32003, Status.HELD: -32005, Status.LIMITED: -32005, Status.UNAVAILABLE: -32002}


class NodeReader:
    """A chain reader on a node, that remembers what it was asked."""

    def __init__(self, url: str) -> None:
        self.node = Node(url)
        self.asked: list[dict[str, Any]] = []

    def pinned(self) -> NodeReader:
        return self

    async def forward(self, payload: bytes) -> bytes:
        self.asked.append(json.loads(payload))
        try:
            return await self.node.forward(payload)
        except NodeUnavailable as error:
            raise EffectError("no answer") from error


class CannedReader:
    """A chain reader that always says the same, and remembers what it was asked."""

    def __init__(self, answer: bytes = b'{"jsonrpc":"2.0","id":1,"result":"0x1"}') -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    def pinned(self) -> CannedReader:
        return self

    async def forward(self, payload: bytes) -> bytes:
        self.asked.append(json.loads(payload))
        return self.answer


def desk() -> TwinDesk:
    return TwinDesk(reply=done(transaction_hash=HASH), views={"run_1": view(), "poor": view("poor", wallet=None)})


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeReader]:
    async with await StandIn.start("chain", "--state", tmp_path, "--fund", f"{ADDRESS}={10**20}") as chain:
        made = NodeReader(chain.url)
        yield made
        await made.node.close()


@pytest.fixture
def reader() -> CannedReader:
    return CannedReader()


@pytest.fixture
async def served(reader: CannedReader) -> AsyncIterator[Served]:
    async with serving(desk(), chain=reader) as server:
        yield server


async def ask(served: Served, document: Any, run: str = "run_1") -> tuple[int, Any]:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    async with aiohttp.ClientSession() as http, http.post(served.url("ethereum", run), data=data) as answer:
        return answer.status, await answer.json()


async def call(served: Served, method: str, *params: Any, run: str = "run_1") -> dict[str, Any]:
    status, answer = await ask(served, {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}, run)
    assert status == 200
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
    return dict(answer)


async def with_web3(served: Served, work: Callable[[Web3], Any]) -> Any:
    return await asyncio.to_thread(lambda: work(Web3(HTTPProvider(served.url("ethereum")))))


async def test_web3_reads_the_chain_and_pays_without_any_key(node: NodeReader) -> None:
    def work(w3: Web3) -> str:
        assert w3.is_connected()
        assert (w3.eth.chain_id, w3.net.version) == (CHAIN_ID, str(CHAIN_ID))
        assert [str(account) for account in w3.eth.accounts] == [ADDRESS]
        assert w3.eth.get_balance(w3.eth.accounts[0]) == 10**20
        assert w3.eth.get_block("latest").get("number") == w3.eth.block_number
        assert w3.eth.fee_history(1, "latest", [12.5])["oldestBlock"] >= 0
        payment: TxParams = {
            "from": w3.eth.accounts[0],
            "to": w3.to_checksum_address(PAYEE),
            "value": w3.to_wei(1, "ether"),
        }
        return w3.eth.send_transaction(payment).to_0x_hex()

    async with serving(desk(), chain=node) as served:
        assert await with_web3(served, work) == HASH
    (sent,) = served.desk.calls
    assert (sent.run, sent.tool) == ("run_1", "wallet.transfer")
    assert sent.arguments["to"].lower() == PAYEE
    assert sent.arguments["amount"] == "1000000000000000000 wei"
    assert {one["method"] for one in node.asked} <= set(READS)


async def test_web3_raises_a_refusal_like_a_nodes_own(node: NodeReader) -> None:
    payment: TxParams = {"from": ADDRESS, "to": Web3.to_checksum_address(PAYEE), "value": Web3.to_wei(1, "gwei")}
    async with serving(desk(), chain=node) as served:
        for status, code in CODES.items():
            wait = {Status.LIMITED: 9, Status.UNAVAILABLE: 1}.get(status)
            served.desk.reply = not_done(status, "transfer.payee_not_listed", retry_after_s=wait)
            with pytest.raises(Web3RPCError) as caught:
                await with_web3(served, lambda w3: w3.eth.send_transaction(payment))
            assert caught.value.rpc_response is not None
            assert caught.value.rpc_response.get("error") == {
                "code": code,
                "message": "transfer.payee_not_listed: the reason",
                "data": {
                    "code": "transfer.payee_not_listed",
                    "reasons": [{"code": "transfer.payee_not_listed", "message": "the reason"}],
                    "decision_id": "dec_1",
                    "retry_after": wait,
                },
            }


@pytest.mark.parametrize(("known", "answered"), [({"transaction_hash": HASH}, True), ({}, False), (None, False)])
async def test_a_payment_whose_end_is_unknown_is_answered_with_its_hash_if_it_has_one(
    served: Served, known: dict[str, Any] | None, answered: bool
) -> None:
    unknown = not_done(Status.UNKNOWN, "firewall.effect_unknown")
    served.desk.reply = msgspec.structs.replace(unknown, result=known)
    answer = await call(served, "eth_sendTransaction", {"from": ADDRESS, "to": PAYEE, "value": "0x1"})
    assert answer.get("result") == (HASH if answered else None)
    assert ("error" in answer) is not answered
    assert answered or answer["error"]["data"]["code"] == "firewall.effect_unknown"


async def test_what_was_refused_is_never_answered_with_a_hash(served: Served) -> None:
    for status in set(Status) - {Status.DONE, Status.UNKNOWN}:
        served.desk.reply = msgspec.structs.replace(not_done(status, "x.y"), result={"transaction_hash": HASH})
        answer = await call(served, "eth_sendTransaction", {"from": ADDRESS, "to": PAYEE, "value": "0x1"})
        assert ("result" in answer, answer["error"]["data"]["code"]) == (False, "x.y")


def signed(key: bytes) -> str:
    fields = {
        "chainId": CHAIN_ID, "nonce": 0, "gas": 21_000, "to": Web3.to_checksum_address(PAYEE), "value": 1,
        "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1, "data": b"",
    }  # fmt: skip
    return "0x" + LocalAccount(key).sign_transaction(fields).raw_transaction.hex()


@pytest.mark.parametrize(
    ("raw", "code", "number"),
    [
        (signed(b"\x07" * 32), "transaction.foreign_signer", -32003),
        (signed(b"\x07" * 32) + "00", "transaction.malformed", -32003),
        ("0x02f86b", "transaction.malformed", -32003),
        ("0x", "request.invalid", -32602), ("0x0", "request.invalid", -32602), ("02", "request.invalid", -32602),
        (None, "request.invalid", -32602), (7, "request.invalid", -32602), (["0x02"], "request.invalid", -32602),
        ("0x" + "02" * 40_000, "transaction.malformed", -32003),
    ],
    ids=str,
)  # fmt: skip
async def test_what_another_key_signed_is_refused_for_whose_it_is(
    served: Served, reader: CannedReader, raw: Any, code: str, number: int
) -> None:
    error = (await call(served, "eth_sendRawTransaction", raw))["error"]
    assert (error["code"], error["data"]["code"]) == (number, code)
    assert served.desk.calls == []
    assert reader.asked == []


async def test_even_the_runs_own_key_sends_nothing_from_inside(reader: CannedReader) -> None:
    own = msgspec.structs.replace(view(), address=LocalAccount(b"\x07" * 32).address)
    async with serving(TwinDesk(views={"run_1": own}), chain=reader) as served:
        error = (await call(served, "eth_sendRawTransaction", signed(b"\x07" * 32)))["error"]
    assert (error["code"], error["data"]["code"]) == (-32003, "transaction.signed_elsewhere")
    assert (served.desk.calls, reader.asked) == ([], [])


@pytest.mark.parametrize(
    "method",
    [
        "eth_signTransaction", "eth_signTypedData", "eth_signTypedData_v3", "personal_ecRecover",
        "personal_unlockAccount", "debug_traceCall", "admin_peers", "anvil_setBalance", "hardhat_impersonateAccount",
        "evm_mine", "wallet_addEthereumChain", "txpool_content", "miner_start", "eth_newPendingTransactionFilter",
        "trace_block", "debug_traceTransaction", "eth_simulateV1", "eth_submitWork", "rpc_modules",
        "ETH_CALL", "eth_call ", " eth_call", "eth_Call", "eth_sendtransaction", "eth_sendTransaction\x00", "",
    ],
)  # fmt: skip
async def test_a_method_that_is_not_listed_by_its_exact_name_does_not_exist(
    served: Served, reader: CannedReader, method: str
) -> None:
    answer = await call(served, method)
    assert answer["error"]["code"] == -32601
    assert served.desk.calls == []
    assert reader.asked == []


SIGNATURE = "0x" + "cd" * 65
PERMIT = {"types": {}, "primaryType": "Permit", "domain": {"name": "Coin"}, "message": {"value": "5"}}
TEXT = "0x" + b"I agree.".hex()


@pytest.mark.parametrize(
    ("method", "params", "tool", "arguments"),
    [
        ("eth_signTypedData_v4", [ADDRESS, PERMIT], "wallet.sign_typed_data", PERMIT),
        ("eth_signTypedData_v4", [ADDRESS.lower(), json.dumps(PERMIT)], "wallet.sign_typed_data", PERMIT),
        ("personal_sign", [TEXT, ADDRESS], "wallet.sign_message", {"message": TEXT, "method": "personal_sign"}),
        ("eth_sign", [ADDRESS, TEXT], "wallet.sign_message", {"message": TEXT, "method": "eth_sign"}),
    ],
)
async def test_a_signature_is_asked_of_the_pipeline_like_any_other_action(
    reader: CannedReader, method: str, params: list[Any], tool: str, arguments: dict[str, Any]
) -> None:
    asked = TwinDesk(reply=done(signature=SIGNATURE), views={"run_1": view()})
    async with serving(asked, chain=reader) as served:
        assert (await call(served, method, *params))["result"] == SIGNATURE
        (one,) = asked.calls
        assert (one.tool, one.arguments) == (tool, arguments)
        asked.reply = not_done(Status.DENIED, "approval.no")
        assert (await call(served, method, *params))["error"]["code"] == -32003
    assert reader.asked == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_signTypedData_v4", [PAYEE, PERMIT]), ("eth_signTypedData_v4", [ADDRESS, "{"]),
        ("eth_signTypedData_v4", [ADDRESS, [PERMIT]]), ("eth_signTypedData_v4", [ADDRESS]),
        ("eth_signTypedData_v4", [ADDRESS, '{"types":{},"types":{}}']),
        ("personal_sign", [TEXT, PAYEE]), ("personal_sign", [ADDRESS, TEXT]), ("personal_sign", [TEXT, ADDRESS, "pw"]),
        ("personal_sign", [5, ADDRESS]), ("eth_sign", [TEXT, ADDRESS]), ("eth_sign", []),
    ],
)  # fmt: skip
async def test_what_names_another_account_or_nothing_to_sign_is_no_call(
    served: Served, method: str, params: list[Any]
) -> None:
    assert (await call(served, method, *params))["error"]["code"] == -32602
    assert served.desk.calls == []


@pytest.mark.parametrize(
    "request_",
    [
        None, 1, "x", {}, {"jsonrpc": "1.0", "id": 1, "method": "eth_chainId"},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": None, "method": "eth_chainId"}, {"jsonrpc": "2.0", "id": 1.5, "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": True, "method": "eth_chainId"}, {"jsonrpc": "2.0", "id": 1, "method": 1},
        {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": {}},
        {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "extra": 1},
    ],
)  # fmt: skip
async def test_what_is_no_request_is_refused(served: Served, request_: Any) -> None:
    status, answer = await ask(served, request_)
    assert (status, answer["id"], answer["error"]["code"]) == (200, None, -32600)


async def test_each_element_of_a_batch_is_judged_in_order(served: Served) -> None:
    pay = {"from": ADDRESS, "to": PAYEE, "value": "0x1"}
    methods: list[tuple[str, list[Any]]] = [
        ("eth_chainId", []), ("eth_sendTransaction", [pay]), ("eth_signTransaction", []),
        ("eth_sendTransaction", [pay | {"value": "0x2"}]), ("eth_sendTransaction", [pay | {"value": 2}]),
    ]  # fmt: skip
    batch = [{"jsonrpc": "2.0", "id": n, "method": m, "params": p} for n, (m, p) in enumerate(methods)]
    status, answers = await ask(served, batch)
    assert status == 200
    assert [answer["id"] for answer in answers] == [0, 1, 2, 3, 4]
    assert [answer.get("result") for answer in answers] == [hex(CHAIN_ID), HASH, None, HASH, None]
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [-32601, -32602]
    assert [one.arguments["amount"] for one in served.desk.calls] == ["1 wei", "2 wei"]


@pytest.mark.parametrize("size", [0, BATCH_MAX + 1])
async def test_an_empty_or_endless_batch_is_refused_whole(served: Served, size: int) -> None:
    one = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [{"from": ADDRESS, "to": PAYEE}]}
    status, answer = await ask(served, [one] * size)
    assert (status, answer["error"]["code"]) == (400, -32700)
    assert served.desk.calls == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"jsonrpc":"2.0","id":1,"id":2,"method":"eth_chainId"}', b"\xff", b"[" * 9000]
)
async def test_a_body_that_is_no_json_of_one_meaning_is_a_parse_error(served: Served, body: bytes) -> None:
    status, answer = await ask(served, body)
    assert (status, answer["error"]["code"]) == (400, -32700)


async def test_duplicate_keys_inside_a_transaction_are_refused(served: Served) -> None:
    body = '{"jsonrpc":"2.0","id":1,"method":"eth_sendTransaction","params":[{"from":"%s","to":"%s","to":"%s"}]}'
    status, _ = await ask(served, (body % (ADDRESS, PAYEE, ADDRESS)).encode())
    assert status == 400
    assert served.desk.calls == []


async def test_a_nodes_own_error_is_passed_on(node: NodeReader) -> None:
    async with serving(desk(), chain=node) as served:
        answer = await call(served, "eth_getBalance", "nonsense", "latest")
    assert answer["error"]["code"] < 0
    assert answer["error"]["message"]
    assert "decision_id" not in json.dumps(answer)


async def test_reads_are_small_and_have_no_overrides(served: Served, reader: CannedReader) -> None:
    override = await call(served, "eth_call", {"to": PAYEE}, "latest", {PAYEE: {"balance": "0x1"}})
    large = await call(served, "eth_call", {"to": PAYEE, "data": "0x" + "00" * READ_BYTES_MAX}, "latest")
    assert [one["error"]["code"] for one in (override, large)] == [-32602, -32602]
    assert reader.asked == []


async def test_a_run_without_a_wallet_sees_no_chain(served: Served, reader: CannedReader) -> None:
    assert (await call(served, "eth_accounts", run="poor"))["result"] == []
    assert (await call(served, "eth_chainId", run="poor"))["error"]["code"] == -32601
    answer = await call(served, "eth_blockNumber", run="poor")
    assert answer["error"]["data"]["code"] == "transfer.not_granted"
    assert reader.asked == []


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"id":1}', b'{"id":"1","result":1}', b"<html>", b'{"id":1,"error":null}']
)
async def test_a_node_that_answers_garbage_is_no_answer(answer: bytes) -> None:
    async with serving(TwinDesk(), chain=CannedReader(answer)) as served:
        told = await call(served, "eth_blockNumber")
    assert told["error"]["code"] == -32002


async def test_numbers_of_the_node_arrive_as_they_were_written() -> None:
    async with serving(
        TwinDesk(), chain=CannedReader(b'{"id":1,"result":[1.50, 123456789012345678901234567890]}')
    ) as served:
        body = b'{"jsonrpc":"2.0","id":1,"method":"eth_feeHistory","params":["0x1"]}'
        async with aiohttp.ClientSession() as http, http.post(served.url("ethereum"), data=body) as answer:
            assert b"[1.50, 123456789012345678901234567890]" in await answer.read()


async def test_reads_are_counted_by_method(served: Served) -> None:
    await call(served, "eth_blockNumber")
    await call(served, "eth_noSuchThing")
    text = served.metrics.render()
    assert b'safebox_chain_reads_total{method="eth_blockNumber"} 1.0' in text
    assert b"NoSuch" not in text


async def test_what_is_refused_before_anything_is_decided_is_counted(served: Served) -> None:
    foreign = bytes(Account.create().sign_transaction(
        {"to": PAYEE, "value": 1, "gas": 21_000, "nonce": 0, "chainId": CHAIN_ID, "gasPrice": 1}
    ).raw_transaction)  # fmt: skip
    asked: list[tuple[str, list[Any], str]] = [
        ("eth_sendRawTransaction", ["0x" + foreign.hex()], "transaction.foreign_signer"),
        ("eth_sendTransaction", [{"from": ADDRESS, "to": PAYEE, "authorizationList": []}], "transaction.authorization"),
        ("eth_sendTransaction", [{"from": ADDRESS, "to": PAYEE, "value": 1.5}], "request.invalid"),
    ]
    for method, params, code in asked:
        before = served.metrics.render()
        sample = f'safebox_signing_refused_total{{code="{code}",method="{method}"}} 1.0'.encode()
        assert sample not in before
        assert "error" in await call(served, method, *params)
        assert sample in served.metrics.render()
    await call(served, "personal_sendTransaction", {})
    assert b'{code="request.unknown_method",method="other"} 1.0' in served.metrics.render()


async def test_a_node_that_does_not_answer_is_said_to_be_unavailable(unused_tcp_port: int) -> None:
    nobody = NodeReader(f"http://127.0.0.1:{unused_tcp_port}")
    async with serving(TwinDesk(), chain=nobody) as served:
        told = await call(served, "eth_blockNumber")
        metrics = served.metrics.render()
    await nobody.node.close()
    assert told["error"]["code"] == -32002
    assert str(unused_tcp_port) not in json.dumps(told)
    assert b'safebox_port_failures_total{port="connector"} 1.0' in metrics


async def test_what_the_firewall_knows_itself_takes_no_parameters(served: Served) -> None:
    assert (await call(served, "eth_chainId", "0x1"))["error"]["code"] == -32602
    assert (await call(served, "eth_sendTransaction"))["error"]["code"] == -32602
    assert (await call(served, "eth_coinbase"))["result"] == ADDRESS
    assert (await call(served, "web3_clientVersion"))["result"].startswith("safebox/")


async def test_only_post_at_the_root_is_json_rpc(served: Served) -> None:
    async with aiohttp.ClientSession() as http:
        for method, path, expected in (("GET", "/", 405), ("POST", "/admin", 404)):
            async with http.request(method, served.url("ethereum") + path) as answer:
                assert answer.status == expected
                assert (await answer.json())["error"]["code"] == -32700


async def test_a_payment_that_waits_to_be_mined_is_answered_with_a_hash_under_which_it_is_found() -> None:
    with anvil_process("--no-mining") as url:
        money, nodes = Money(url, b"\x09" * 32), Nodes([url], CHAIN_ID)
        await money.open()
        await money.mine()
        await money.look()
        server = GatewayServer(money.pipeline, money.metrics, chain=ChainReads(nodes))
        sockets = listeners()
        await server.attach(money.name, list(sockets.values()))
        w3 = Web3(HTTPProvider(f"http://127.0.0.1:{sockets['ethereum'].getsockname()[1]}"))
        payment: TxParams = {"from": Web3.to_checksum_address(money.address), "to": ACME, "value": Wei(5)}
        try:
            paid = await asyncio.to_thread(w3.eth.send_transaction, payment)
            reserved = money.wallet["reserved"]
            waiting = await asyncio.to_thread(w3.eth.get_transaction, paid)
            assert (waiting.get("value"), waiting.get("blockNumber")) == (5, None)
            await money.mine()
            receipt = await asyncio.to_thread(w3.eth.wait_for_transaction_receipt, paid, 10)
            assert (receipt["status"], await money.paid()) == (1, 5)
            (settled,) = await money.look()
            assert (settled.status, reserved > money.wallet["reserved"] == 0) == ("done", True)
        finally:
            await server.close()
            await nodes.close()
            await money.close()


def test_whoever_waits_for_a_payment_hears_its_hash_before_web3_gives_up() -> None:
    assert AGENT_SECONDS + FACTS_SECONDS < DEFAULT_HTTP_TIMEOUT
