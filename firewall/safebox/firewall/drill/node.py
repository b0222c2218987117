"""A chain in memory, as the chain connector sees a node: every signed payment is mined at once, and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
from eth_utils.crypto import keccak

from safebox.firewall.accounts import decode_transaction, signer_of
from safebox.firewall.connectors.jsonrpc import NodeRefused, NodeUnavailable
from safebox.firewall.connectors.transaction import TRANSFER_GAS

BASE_FEE: Final = 1_000
"""Wei per gas: next to nothing, so that the smallest budgets can pay it."""
TIP: Final = 1
MOST_FEE: Final = 2 * BASE_FEE + TIP
"""What is offered where neither the agent nor the mandate says otherwise (`connectors.fees`)."""
PLAIN_COST: Final = TRANSFER_GAS * MOST_FEE
"""The most a plain payment costs beside its amount."""


_TRANSFER: Final = "0x" + keccak(text="Transfer(address,address,uint256)").hex()


class Mined(NamedTuple):
    """One payment that reached the chain, decoded from its signed bytes."""

    sender: str
    to: str
    value: int
    raw: bytes


class Code(NamedTuple):
    """What a contract does when it is paid: it refuses, or takes a unit of a token that the payer once approved."""

    refuses: bool = False
    takes: str | None = None


class MemoryNode:
    """One chain.

    Args:
        chain_id: what it says it is.

    `funds` is wei by address, `contracts` what is no person; `deaf` makes it take payments without an answer, `gone`
    makes it answer nothing.
    """

    def __init__(self, chain_id: int) -> None:
        self.chain_id = chain_id
        self.funds: dict[str, int] = {}
        self.contracts: dict[str, Code] = {}
        self.mined: list[Mined] = []
        self.deaf = False
        self.gone = False
        self._receipts: dict[str, dict[str, Any]] = {}
        self._nonces: dict[str, int] = {}
        self._answers: dict[str, Callable[..., Any]] = {
            "eth_chainId": self._chain,
            "eth_blockNumber": self._height,
            "eth_getBalance": self._balance,
            "eth_getTransactionCount": self._nonce,
            "eth_getCode": self._code,
            "eth_maxPriorityFeePerGas": self._tip,
            "eth_feeHistory": self._fees,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getTransactionByHash": self._known,
            "eth_sendRawTransaction": self._send,
            "eth_simulateV1": self._simulate,
            "eth_estimateGas": lambda *_: hex(TRANSFER_GAS * 5 // 6),  # what is offered for it is a plain payment's
        }

    async def call(self, method: str, *params: Any) -> Any:
        """Answer one question.

        Raises:
            NodeUnavailable: it is gone, or deaf and was sent something.
            NodeRefused: it knows no such method, or the sender has too little.
        """
        if self.gone:
            raise NodeUnavailable("the node did not answer")
        if method not in self._answers:
            raise NodeRefused(-32601, f"no method {method}")
        return self._answers[method](*params)

    async def quantity(self, method: str, *params: Any) -> int:
        """Answer with a number. Raises as `call` does."""
        return int(await self.call(method, *params), 16)

    async def forward(self, payload: bytes) -> bytes:
        """Answer a read that is passed on whole. Raises as `call` does."""
        asked = msgspec.json.decode(payload)
        result = await self.call(asked["method"], *asked["params"])
        return msgspec.json.encode({"jsonrpc": "2.0", "id": asked["id"], "result": result})

    async def choose(self) -> MemoryNode:
        """This node."""
        return self

    def pinned(self) -> MemoryNode:
        """This node."""
        return self

    async def close(self) -> None:
        """Do nothing."""

    def _chain(self) -> str:
        return hex(self.chain_id)

    def _height(self) -> str:
        return hex(len(self.mined))

    def _balance(self, address: str, _: str) -> str:
        return hex(self.funds.get(address, 0))

    def _nonce(self, address: str, _: str) -> str:
        return hex(self._nonces.get(address, 0))

    def _code(self, address: str, _: str) -> str:
        return "0x60" if address in self.contracts else "0x"

    def _simulate(self, asked: dict[str, Any], _: str) -> list[dict[str, Any]]:
        return [{"calls": [self._tried(call) for call in asked["blockStateCalls"][0]["calls"]]}]

    def _tried(self, call: dict[str, str]) -> dict[str, Any]:
        code = self.contracts.get(call["to"], Code())
        if code.refuses:
            return {"status": "0x0", "returnData": "0x", "error": {"code": 3, "message": "execution reverted"}}
        ends = (f"0x{address[2:].lower():0>64}" for address in (call.get("from", code.takes or ""), call["to"]))
        log = {"address": code.takes, "topics": [_TRANSFER, *ends], "data": f"0x{1:064x}"}
        return {"status": "0x1", "returnData": "0x", "logs": [] if code.takes is None else [log]}

    def _tip(self) -> str:
        return hex(TIP)

    def _fees(self, *_: Any) -> dict[str, Any]:
        return {"baseFeePerGas": [hex(BASE_FEE), hex(BASE_FEE)]}

    def _receipt(self, name: str) -> dict[str, Any] | None:
        return None if self.deaf else self._receipts.get(name)

    def _known(self, name: str) -> dict[str, Any] | None:
        return None if self.deaf or name not in self._receipts else {"hash": name}

    def _send(self, data: str) -> str:
        raw = bytes.fromhex(data.removeprefix("0x"))
        fields, sender, name = decode_transaction(raw), signer_of(raw), "0x" + keccak(raw).hex()
        price = fields["maxFeePerGas"]  # always the worst, so that sums come out even
        cost = fields["value"] + TRANSFER_GAS * price
        if fields["chainId"] != self.chain_id or self.funds.get(sender, 0) < cost:
            raise NodeRefused(-32000, "insufficient funds, or another chain")
        self.funds[sender] -= cost
        self._nonces[sender] = fields["nonce"] + 1
        self.mined.append(Mined(sender, fields["to"], fields["value"], raw))
        self._receipts[name] = {
            "transactionHash": name,
            "blockNumber": hex(len(self.mined)),
            "status": "0x1",
            "gasUsed": hex(TRANSFER_GAS),
            "effectiveGasPrice": hex(price),
        }
        if self.deaf:
            raise NodeUnavailable("the node did not answer")
        return name
