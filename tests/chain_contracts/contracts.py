"""Puts the contracts of this folder on any chain, and says what a call of one is in bytes.

    token = await deploy(node, key, "Token", "US Dollar", "USD", 6, 10**12)
    await send(node, key, token.address, token.call("transfer", payee, 5))

Whoever's key deploys pays for it. Works on anvil and on the stand-in chain alike.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import decode, encode
from eth_account import Account
from eth_utils.crypto import keccak

from safebox.firewall.connectors.jsonrpc import ChainNode
from safebox.firewall.core.addresses import checksummed
from tests.chain_contracts.solidity import COMPILED

GWEI: Final = 10**9
GAS: Final = 8_000_000
"""More than any of the contracts takes, and less than a block has."""
RECEIPT_TRIES: Final = 250
TRY_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract at its address; methods by name, or by signature where there are several of one name."""

    name: str
    address: str

    def call(self, method: str, *arguments: Any) -> str:
        """The data of a call."""
        return "0x" + encode_call(self.name, method, *arguments).hex()

    async def read(self, node: ChainNode, method: str, *arguments: Any) -> Any:
        """What a method answers now; a tuple if that is several values."""
        asked = {"to": self.address, "data": self.call(method, *arguments)}
        answer = await node.call("eth_call", asked, "latest")
        outputs = [_type(each) for each in _entry(self.name, method)["outputs"]]
        values = decode(outputs, bytes.fromhex(answer[2:]))
        return values[0] if len(values) == 1 else values


@functools.cache
def compiled() -> dict[str, Any]:
    """Every contract's `abi` and `bytecode`, by its name."""
    found: dict[str, Any] = json.loads(COMPILED.read_bytes())
    return found


def encode_call(name: str, method: str, *arguments: Any) -> bytes:
    """Selector and arguments of a call of a contract's method."""
    entry = _entry(name, method)
    return selector(_signature(entry)) + encode([_type(each) for each in entry["inputs"]], arguments)


def selector(signature: str) -> bytes:
    """The four bytes a method is called by."""
    return keccak(text=signature)[:4]


async def deploy(node: ChainNode, key: bytes, name: str, *arguments: Any) -> Contract:
    """Create a contract."""
    made = compiled()[name]
    inputs: list[Any] = next((each["inputs"] for each in made["abi"] if each["type"] == "constructor"), list[Any]())
    code = made["bytecode"] + encode([_type(each) for each in inputs], arguments).hex()
    receipt = await send(node, key, "", "0x" + code)
    return Contract(name, checksummed(bytes.fromhex(receipt["contractAddress"][2:])))


async def send(node: ChainNode, key: bytes, to: str, data: str = "0x", value: int = 0) -> dict[str, Any]:
    """Have an account that is not safebox's do something; returns the receipt of what must succeed."""
    raw = await signed(node, key, to, data, value)
    transaction = await node.call("eth_sendRawTransaction", raw)
    for _ in range(RECEIPT_TRIES):
        receipt = await node.call("eth_getTransactionReceipt", transaction)
        if receipt is not None:
            assert receipt["status"] == "0x1", receipt
            return dict(receipt)
        await asyncio.sleep(TRY_SECONDS)
    raise AssertionError(f"{transaction} was not mined")


async def signed(
    node: ChainNode, key: bytes, to: str, data: str = "0x", value: int = 0, *, gas: int | None = None
) -> str:
    """A transaction of an account that is not safebox's, in bytes, not sent."""
    account = Account.from_key(key)
    fields: dict[str, Any] = {
        "chainId": await node.quantity("eth_chainId"),
        "nonce": await node.quantity("eth_getTransactionCount", account.address, "pending"),
        "to": to,
        "data": data,
        "value": value,
        "gas": gas or (GAS if data != "0x" else 100_000),
        "maxFeePerGas": 20 * GWEI,
        "maxPriorityFeePerGas": GWEI,
    }
    return "0x" + bytes(account.sign_transaction(fields).raw_transaction).hex()


def _entry(name: str, method: str) -> dict[str, Any]:
    entries: Sequence[dict[str, Any]] = [each for each in compiled()[name]["abi"] if each["type"] == "function"]
    found = [each for each in entries if method in (each["name"], _signature(each))]
    assert len(found) == 1, f"{name} has {len(found)} methods {method}"
    return found[0]


def _signature(entry: dict[str, Any]) -> str:
    return f"{entry['name']}({','.join(_type(each) for each in entry['inputs'])})"


def _type(parameter: dict[str, Any]) -> str:
    """The canonical type; a struct is written out."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(each) for each in parameter['components'])}){kind.removeprefix('tuple')}"
