"""Unmodified wallet programs: web3.py in a real sandbox on both engines, ethers (JavaScript) in front of a firewall."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_typing import HexStr
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.exceptions import Web3Exception, Web3RPCError
from web3.types import RPCEndpoint, TxParams, Wei

from safebox.firewall.keystore import Keystore
from tests.attached import Attached, AttachedRun, attached
from tests.contracts.conftest import real_engine
from tests.integration.chain_nodes import funded
from tests.live import Chain, Home, agent_folder, home_at, share_images, until
from tests.real_parts import ROOT, require

ACME = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
STRANGER = "0x024FD72454c4a3840b7D9Ac04fA8fDB3E650AfeA"
CHAIN_ID = 31337
LOGGER = "0x600b380380600b5f395ff3" + "7f" + "11" * 32 + "5f5fa1" + "00"
"""Puts code on the chain that logs a topic whenever it is called."""
MANDATE = f"""
[agent]
name = "client"
command = ["python", "client.py"]
purpose = "Pay our hosting provider."
task = "Pay."
expires = "10m"
[wallet]
chain = "dev"
budget = "0.2 ETH"
per_transfer = "0.1 ETH"
ceiling = "1 ETH"
max_fee_per_gas = "100 gwei"
[wallet.payees]
acme = "{ACME}"
"""
CLIENT = f"""
import asyncio, json, os
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.exceptions import MethodUnavailable, Web3RPCError

ME, ACME, STRANGER = os.environ["WALLET_ADDRESS"], "{ACME}", "{STRANGER}"
seen = {{}}


def refusal(work):
    try:
        work()
    except Web3RPCError as error:
        return {{"raised": type(error).__name__, **error.rpc_response["error"]}}


def over_http():
    w3 = Web3(HTTPProvider(os.environ["WEB3_PROVIDER_URI"]))
    seen["accounts"] = w3.eth.accounts
    seen["deploy"] = refusal(lambda: w3.eth.contract(abi=[], bytecode="0x600b380380600b5f395ff300").constructor()
                             .transact({{"from": ME, "gas": 100_000}}))
    seen["stranger"] = refusal(lambda: w3.eth.send_transaction({{"from": ME, "to": STRANGER, "value": 1}}))
    seen["unknown"] = refusal(lambda: w3.manager.request_blocking("anvil_setBalance", [ME, "0xffff"]))
    key = w3.eth.account.create()
    raw = key.sign_transaction({{"to": ACME, "value": 1, "nonce": 0, "gas": 21000, "chainId": 31337,
                                "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1}})
    seen["foreign"] = refusal(lambda: w3.eth.send_raw_transaction(raw.raw_transaction))
    blocks = w3.eth.filter("latest")
    paid = w3.eth.send_transaction({{"from": ME, "to": ACME, "value": 10**16}})
    receipt = w3.eth.wait_for_transaction_receipt(paid, timeout=60)
    seen["paid"] = [receipt["status"], receipt["blockHash"] in blocks.get_new_entries()]
    with w3.batch_requests() as batch:
        batch.add(w3.eth.get_balance(ACME))
        batch.add(w3.eth.get_block("latest"))
        seen["batch"] = [batch_answer if isinstance(batch_answer, int) else batch_answer["number"]
                         for batch_answer in batch.execute()]


async def over_websocket():
    async with AsyncWeb3(WebSocketProvider(os.environ["WEB3_WS_PROVIDER_URI"])) as w3:
        seen["chain"] = await w3.eth.chain_id
        name = await w3.eth.subscribe("newHeads")
        logs = await w3.eth.subscribe("logs", {{"address": ACME}})
        paid = await w3.eth.send_transaction({{"from": ME, "to": ACME, "value": 10**16}})
        receipt = await w3.eth.wait_for_transaction_receipt(paid, timeout=60)
        async for message in w3.socket.process_subscriptions():
            seen["head"] = [message["subscription"] == name, message["result"]["hash"] == receipt["blockHash"]]
            break
        seen["ended"] = [await w3.eth.unsubscribe(name), await w3.eth.unsubscribe(logs)]


over_http()
asyncio.run(over_websocket())
print(json.dumps(seen))
"""


@pytest.fixture(
    params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("docker", "bwrap")], scope="module"
)
def engine(request: pytest.FixtureRequest) -> str:
    return real_engine(request.param).name


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    with home_at(short_path / "h") as home:
        share_images(home.path)
        yield home


def test_web3_in_a_sandbox_works_as_with_a_node_that_has_its_account(home: Home, engine: str, tmp_path: Path) -> None:
    folder = agent_folder(tmp_path / "agents", "client", MANDATE, client=CLIENT)
    running = home.start("run", str(folder), "--engine", engine, "--json")
    with home.hold() as line:
        done = running.end()
        log = home.agent_log(str(running.run))
        assert done.status == 0, (done, log)
        balance = Chain(line.request("status")["urls"]["chain"]).balance(ACME)
    seen: dict[str, Any] = json.loads(log.splitlines()[-1])
    assert seen["chain"] == CHAIN_ID
    assert len(seen["accounts"]) == 1
    assert refused(seen["deploy"])[:2] == ("Web3RPCError", True)
    assert refused(seen["stranger"]) == ("Web3RPCError", True, -32003, "transfer.payee_not_listed")
    assert refused(seen["foreign"]) == ("Web3RPCError", True, -32003, "transaction.foreign_signer")
    assert refused(seen["unknown"]) == ("MethodUnavailable", True, -32601, "request.unknown_method")
    assert seen["stranger"]["data"]["decision_id"]
    assert seen["paid"] == [1, True]
    assert seen["batch"][0] == 10**16
    assert (seen["head"], seen["ended"]) == ([True, True], [True, True])
    assert balance == 2 * 10**16
    home.nothing_left()


def refused(error: dict[str, Any]) -> tuple[str, bool, int, str]:
    """How web3.py said it: the exception, whether there are reasons, the node's code and ours."""
    return error["raised"], bool(error["data"]["reasons"]), error["code"], error["data"]["code"]


@dataclass(frozen=True)
class Front:
    """One run's gateway over HTTP and WebSocket, and the real node behind it with a contract that logs."""

    run: AttachedRun
    node: Chain
    logger: str
    paid_before: int

    @property
    def urls(self) -> dict[str, str]:
        port = self.run.listeners[2].getsockname()[1]
        return {"WEB3_PROVIDER_URI": f"http://127.0.0.1:{port}", "WEB3_WS_PROVIDER_URI": f"ws://127.0.0.1:{port}"}

    def paid(self) -> int:
        return self.node.balance(ACME) - self.paid_before


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Attached, Chain]]:
    with tempfile.TemporaryDirectory(prefix="sb-") as folder, home_at(Path(folder) / "h") as home:
        owner = Keystore.open(home.path / "keystore", home.path / "passphrase").owner_address
        with funded("anvil", tmp_path_factory.mktemp("chain"), owner) as url, attached(home, chain_url=url) as rig:
            yield rig, Chain(url)


@pytest.fixture
def front(rig: tuple[Attached, Chain]) -> Front:
    started, node = rig
    (dev,) = node.ask("eth_accounts")
    made = node.ask("eth_sendTransaction", {"from": dev, "data": LOGGER})
    receipt = until(lambda: node.ask("eth_getTransactionReceipt", made), "not mined")
    logger = str(receipt["contractAddress"])
    return Front(
        started.start(MANDATE.replace('["python", "client.py"]', '["true"]')), node, logger, node.balance(ACME)
    )


def test_ethers_in_front_of_a_firewall_works_as_with_a_node_that_has_its_account(front: Front) -> None:
    node, modules = require("node"), require("ethers")
    done = subprocess.run(
        [node, str(ROOT / "tests/integration/wallet_client.cjs")],
        env={
            **os.environ, **front.urls, "NODE_PATH": str(Path(modules).parent),
            "PAYEE": ACME, "STRANGER": STRANGER, "LOGGER": front.logger, "NODE_URI": front.node.url,
        },
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["chain"], seen["liveChain"], seen["address"]) == (CHAIN_ID, CHAIN_ID, front.run.address)
    assert (seen["mined"]["status"], front.paid()) == (1, 10**16)
    assert seen["block"] <= seen["mined"]["block"]
    assert seen["logged"] == ["0x" + "11" * 32]
    assert told(seen["stranger"]) == (-32003, "transfer.payee_not_listed")
    assert told(seen["deploy"])[0] in (-32602, -32003)
    assert told(seen["foreign"]) == (-32003, "transaction.foreign_signer")
    assert told(seen["unknown"]) == (-32601, "request.unknown_method")
    assert seen["stranger"]["kind"] == seen["deploy"]["kind"] == seen["nodes_own"]["kind"]
    assert seen["unknown"]["kind"] == "UNSUPPORTED_OPERATION"  # geth's words, which ethers knows


def told(error: dict[str, Any]) -> tuple[int, str]:
    """The code as a node has them, and ours."""
    assert error["data"]["reasons"]
    return error["code"], error["data"]["code"]


def test_web3_raises_for_a_refusal_what_it_raises_for_a_nodes_own(front: Front) -> None:
    gateway, node = (Web3(HTTPProvider(url)) for url in (front.urls["WEB3_PROVIDER_URI"], front.node.url))
    me, somebody = str(front.run.address), "0x" + "12" * 20
    mine = raised(lambda: gateway.eth.send_transaction({"from": me, "to": STRANGER, "value": Wei(1)}))
    nodes = raised(lambda: node.eth.send_transaction({"from": somebody, "to": STRANGER, "value": Wei(1)}))
    assert type(mine) is type(nodes) is Web3RPCError
    mine = raised(lambda: gateway.manager.request_blocking(RPCEndpoint("safebox_nothing"), []))
    nodes = raised(lambda: node.manager.request_blocking(RPCEndpoint("safebox_nothing"), []))
    assert type(mine) is type(nodes)
    fails: TxParams = {"from": me, "to": to_checksum_address(front.logger), "gas": 1}
    mine, nodes = raised(lambda: gateway.eth.call(fails)), raised(lambda: node.eth.call(fails))
    assert (type(mine), str(mine)) == (type(nodes), str(nodes))


async def test_web3_hears_what_a_contract_logs(front: Front) -> None:
    (dev,) = await asyncio.to_thread(front.node.ask, "eth_accounts")
    logger, topic = to_checksum_address(front.logger), HexStr("0x" + "11" * 32)
    live: Any = AsyncWeb3(WebSocketProvider(front.urls["WEB3_WS_PROVIDER_URI"]))
    async with live as w3:
        other = await w3.eth.subscribe("logs", {"address": logger, "topics": [HexStr("0x" + "22" * 32)]})
        name = await w3.eth.subscribe("logs", {"address": logger, "topics": [topic]})
        sent = await asyncio.to_thread(front.node.ask, "eth_sendTransaction", {"from": dev, "to": front.logger})
        async with asyncio.timeout(10):
            heard: Any = await anext(w3.socket.process_subscriptions())
        assert heard["subscription"] == name
        log = heard["result"]
        assert (log["address"], log["topics"], log["removed"]) == (logger, [HexBytes(topic)], False)
        assert log["transactionHash"].to_0x_hex() == sent
        assert [await w3.eth.unsubscribe(each) for each in (other, name)] == [True, True]


def raised(work: Callable[[], object]) -> Exception:
    with pytest.raises(Web3Exception) as caught:
        work()
    return caught.value
