"""Unmodified programs move and approve tokens: web3.py in a real sandbox on both engines, ethers before a firewall."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from eth_account import Account

from safebox.firewall.connectors.jsonrpc import Node
from safebox.firewall.keystore import Keystore
from tests.attached import AttachedRun, attached
from tests.chain_contracts.contracts import Contract, deploy, send
from tests.contracts.conftest import real_engine
from tests.integration.chain_nodes import CHAIN_ID, TREASURY, anvil_process
from tests.live import Chain, Home, agent_folder, home_at, share_images, until
from tests.real_parts import ROOT, require

MAKER: Final = b"\x51" * 32
ACME: Final = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
STRANGER: Final = "0x024FD72454c4a3840b7D9Ac04fA8fDB3E650AfeA"
HELD, PAID, LET, OVER = 1000, 40, 50, 20
"""The run holds more than it was lent and may move: of its 100 what it pays and lets others take leaves 10."""
CLIENT: Final = """
import asyncio, json, os, time
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.exceptions import ContractLogicError, Web3RPCError

told = json.load(open("told.json"))
ME, ACME, STRANGER = os.environ["WALLET_ADDRESS"], told["payee"], told["stranger"]
w3 = Web3(HTTPProvider(os.environ["WEB3_PROVIDER_URI"]))
token = w3.eth.contract(told["token"], abi=told["abi"])
seen = {}


def refusal(call):
    try:
        call.transact({"from": ME})
    except ContractLogicError as error:
        return {"raised": type(error).__name__, "message": str(error)}
    except Web3RPCError as error:
        return {"raised": type(error).__name__, **error.rpc_response["error"]}


def mined(call):
    return w3.eth.wait_for_transaction_receipt(call.transact({"from": ME}), timeout=60)["status"]


async def paid_and_heard():
    async with AsyncWeb3(WebSocketProvider(os.environ["WEB3_WS_PROVIDER_URI"])) as live:
        await live.eth.subscribe("logs", {"address": told["token"]})
        seen["paid"] = await asyncio.to_thread(mined, token.functions.transfer(ACME, told["paid"]))
        async for message in live.socket.process_subscriptions():
            event = token.events.Transfer().process_log(message["result"])["args"]
            return [event["from"] == ME, event["to"], event["value"]]


while not token.functions.balanceOf(ME).call():
    time.sleep(0.1)
seen["heard"] = asyncio.run(paid_and_heard())
seen["stranger"] = refusal(token.functions.transfer(STRANGER, 1))
seen["let"] = mined(token.functions.approve(told["router"], told["let"]))
seen["allowance"] = token.functions.allowance(ME, told["router"]).call()
seen["over"] = refusal(token.functions.approve(told["router"], told["over"]))
seen["unlisted"] = refusal(token.functions.approve(told["token"], 1))
seen["reverts"] = refusal(token.functions.transfer(ACME, 10**12))
seen["deploy"] = refusal(w3.eth.contract(abi=[], bytecode="0x600b380380600b5f395ff300").constructor())
logs = token.events.Transfer().get_logs(from_block=0, argument_filters={"from": ME})
seen["logs"] = [log["args"]["value"] for log in logs]
print(json.dumps(seen))
"""


@dataclass(frozen=True)
class TokenChain:
    """A real node with a token and a contract that may take it."""

    url: str
    token: Contract
    router: Contract

    @property
    def mandate(self) -> str:
        return f"""
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
max_fee_per_gas = "100 gwei"
[wallet.payees]
acme = "{ACME}"
[tokens.USDX]
address = "{self.token.address}"
decimals = 0
budget = "100 USDX"
per_transfer = "60 USDX"
per_approval = "60 USDX"
[tokens.USDX.payees]
acme = "{ACME}"
[tokens.USDX.spenders]
router = "{self.router.address}"
"""

    @property
    def told(self) -> str:
        """What the programs know of it."""
        abi = [
            _entry("function", "transfer", "address to", "uint256 value", returns="bool"),
            _entry("function", "approve", "address spender", "uint256 value", returns="bool"),
            _entry("function", "balanceOf", "address owner", returns="uint256"),
            _entry("function", "allowance", "address owner", "address spender", returns="uint256"),
            _entry("event", "Transfer", "address from indexed", "address to indexed", "uint256 value"),
        ]
        return json.dumps(
            {
                "abi": abi, "token": self.token.address, "router": self.router.address, "payee": ACME,
                "stranger": STRANGER, "paid": PAID, "let": LET, "over": OVER,
            }
        )  # fmt: skip

    def give(self, address: str) -> None:
        asyncio.run(self._give(address))

    async def _give(self, address: str) -> None:
        node = Node(self.url)
        await send(node, MAKER, self.token.address, self.token.call("transfer", address, HELD))
        await node.close()

    def held(self, address: str) -> int:
        return asyncio.run(self._read("balanceOf", address))

    def let(self, address: str) -> int:
        return asyncio.run(self._read("allowance", address, self.router.address))

    async def _read(self, method: str, *arguments: str) -> int:
        node = Node(self.url)
        answer = int(await self.token.read(node, method, *arguments))
        await node.close()
        return answer


def _entry(kind: str, name: str, *members: str, returns: str | None = None) -> dict[str, Any]:
    inputs = [
        {
            "type": each.split()[0],
            "name": each.split()[1],
            **({"indexed": "indexed" in each} if kind == "event" else {}),
        }
        for each in members
    ]
    if kind == "event":
        return {"type": kind, "name": name, "inputs": inputs, "anonymous": False}
    outputs = [{"type": returns, "name": ""}]
    changes = "view" if returns == "uint256" else "nonpayable"
    return {"type": kind, "name": name, "inputs": inputs, "outputs": outputs, "stateMutability": changes}


@pytest.fixture(scope="module")
def node() -> Iterator[TokenChain]:
    with anvil_process() as url:
        Chain(url).ask("anvil_setBalance", Account.from_key(MAKER).address, hex(TREASURY))
        token, router = asyncio.run(_made(url))
        yield TokenChain(url, token, router)


async def _made(url: str) -> tuple[Contract, Contract]:
    node = Node(url)
    token = await deploy(node, MAKER, "Token", "US Dollar", "USDX", 0, 10**9)
    router = await deploy(node, MAKER, "Multicall")
    await node.close()
    return token, router


@pytest.fixture
def home(short_path: Path, node: TokenChain) -> Iterator[Home]:
    with home_at(short_path / "h") as home:
        share_images(home.path)
        owner = Keystore.open(home.path / "keystore", home.path / "passphrase").owner_address
        Chain(node.url).ask("anvil_setBalance", owner, hex(TREASURY))
        node.give(owner)
        yield home


@pytest.fixture(
    params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("docker", "bwrap")], scope="module"
)
def engine(request: pytest.FixtureRequest) -> str:
    return real_engine(request.param).name


def test_web3_in_a_sandbox_moves_tokens_as_far_as_its_mandate_goes(
    home: Home, engine: str, node: TokenChain, tmp_path: Path
) -> None:
    folder = agent_folder(tmp_path / "agents", "client", node.mandate, client=CLIENT)
    (folder / "told.json").write_text(node.told)
    paid_before = node.held(ACME)
    home.serve("--engine", engine, "--chain-url", node.url, "--chain-id", str(CHAIN_ID))
    running = home.start("run", str(folder), "--engine", engine, "--json")
    (started,) = until(lambda: home.events("run_started"), lambda: running.err)
    address = str(started["run_view"]["address"])
    node.give(address)
    done = running.end(90)
    log = home.agent_log(str(running.run))
    assert done.status == 0, (done, log)
    seen: dict[str, Any] = json.loads(log.splitlines()[-1])
    assert (seen["paid"], seen["heard"], seen["logs"]) == (1, [True, ACME, PAID], [PAID])
    assert (seen["let"], seen["allowance"]) == (1, LET)
    assert refused(seen["stranger"]) == (-32003, "call.payee_not_listed")
    assert refused(seen["over"]) == (-32003, "approval.over_budget")
    assert refused(seen["unlisted"]) == (-32003, "approval.spender_not_listed")
    assert refused(seen["deploy"]) == (-32602, "call.creation")
    assert {seen[name]["raised"] for name in ("stranger", "over", "unlisted", "deploy")} == {"Web3RPCError"}
    assert seen["reverts"]["raised"] == "ContractLogicError"  # the node's own no, to the question what it would take
    assert (node.held(ACME) - paid_before, node.let(address)) == (PAID, LET)


def refused(error: dict[str, Any]) -> tuple[int, str]:
    """The code as a node has them, and ours."""
    assert error["data"]["reasons"]
    return error["code"], error["data"]["code"]


@pytest.fixture
def run(home: Home, node: TokenChain) -> Iterator[AttachedRun]:
    with attached(home, "--chain-id", str(CHAIN_ID), chain_url=node.url) as rig:
        yield rig.start(node.mandate.replace('["python", "client.py"]', '["true"]'))


def test_ethers_before_a_firewall_moves_tokens_as_far_as_its_mandate_goes(run: AttachedRun, node: TokenChain) -> None:
    program, modules = require("node"), require("ethers")
    address, port = str(run.address), run.listeners[2].getsockname()[1]
    node.give(address)
    paid_before = node.held(ACME)
    done = subprocess.run(
        [program, str(ROOT / "tests/integration/token_client.cjs")],
        env={
            **os.environ, "NODE_PATH": str(Path(modules).parent), "TOLD": node.told,
            "WEB3_PROVIDER_URI": f"http://127.0.0.1:{port}", "WEB3_WS_PROVIDER_URI": f"ws://127.0.0.1:{port}",
        },
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["paid"], seen["heard"]) == (1, [address, ACME, str(PAID)])
    assert (seen["let"], seen["allowance"]) == (1, str(LET))
    assert refused(seen["stranger"]) == (-32003, "call.payee_not_listed")
    assert refused(seen["over"]) == (-32003, "approval.over_budget")
    assert refused(seen["unlisted"]) == (-32003, "approval.spender_not_listed")
    assert seen["reverts"]["kind"] == "CALL_EXCEPTION"
    assert (node.held(ACME) - paid_before, node.let(address)) == (PAID, LET)
