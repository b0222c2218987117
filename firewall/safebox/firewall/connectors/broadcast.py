"""Sends one signed payment and finds out what became of it, also much later, without ever sending a second one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, cast

from safebox.firewall.accounts import SignedTransaction
from safebox.firewall.connectors.jsonrpc import ChainNode, NodeRefused, NodeUnavailable, quantity
from safebox.firewall.connectors.transaction import Payment
from safebox.firewall.core.mandate import ACCOUNT_WALLET
from safebox.firewall.core.money import Amount
from safebox.firewall.ports import Charge, Outcome

POLL_MILLISECONDS: Final = 100


@dataclass(frozen=True, slots=True)
class Broadcaster:
    """Watches payments on one node: for at most `seconds`, until `confirmations` blocks hold them."""

    node: ChainNode
    seconds: int
    confirmations: int

    async def send(self, payment: Payment, signed: SignedTransaction) -> Outcome:
        """Send a signed payment and wait for its receipt. Whatever goes wrong from here on is unknown, not failed."""
        refusal = ""
        try:
            await self.node.call("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
        except NodeRefused as error:
            refusal = f"the node said: {error}"
            if not await self._known(signed):
                return _unknown(signed, refusal)
        except NodeUnavailable as error:
            refusal = str(error)
        return await self._wait(payment, signed, refusal)

    async def look(self, payment: Payment, signed: SignedTransaction) -> Outcome:
        """Find out what became of a payment that may have been sent.

        Raises:
            NodeUnavailable: There was no usable answer.
            NodeRefused: The node answered with an error.
        """
        # The nonce is read first: if it is used and there is no receipt afterwards, something else used it.
        used = await self.node.quantity("eth_getTransactionCount", payment.sender, "latest") > payment.nonce
        found = await self._receipt(payment, signed)
        if found is not None:
            return found
        if await self.node.call("eth_getTransactionByHash", _hash(signed)) is not None:
            return _unknown(signed, "it waits to be mined")
        if used:
            return Outcome(status="failed", detail=f"never sent: nonce {payment.nonce} was used by something else")
        return _unknown(signed, f"the node doesn't know it, and nonce {payment.nonce} is unused")

    async def _known(self, signed: SignedTransaction) -> bool:
        try:
            return await self.node.call("eth_getTransactionByHash", _hash(signed)) is not None
        except (NodeUnavailable, NodeRefused):
            return True

    async def _wait(self, payment: Payment, signed: SignedTransaction, note: str) -> Outcome:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.seconds
        while True:
            try:
                found = await self._receipt(payment, signed)
            except (NodeUnavailable, NodeRefused) as error:
                found, note = None, str(error)
            if found is not None:
                return found
            if loop.time() >= deadline:
                return _unknown(signed, note or f"not mined within {self.seconds} s")
            await asyncio.sleep(POLL_MILLISECONDS / 1000)

    async def _receipt(self, payment: Payment, signed: SignedTransaction) -> Outcome | None:
        receipt: object = await self.node.call("eth_getTransactionReceipt", _hash(signed))
        if receipt is None:
            return None
        if not isinstance(receipt, dict):
            raise NodeUnavailable("the node's receipt is none")
        fields = cast("dict[str, Any]", receipt)
        block = quantity(fields.get("blockNumber"))
        if self.confirmations > 1 and await self.node.quantity("eth_blockNumber") < block + self.confirmations - 1:
            return None
        return _settled(payment, signed, fields, block)


def _settled(payment: Payment, signed: SignedTransaction, receipt: dict[str, Any], block: int) -> Outcome:
    """The outcome a receipt proves; a receipt that can't be true proves nothing."""
    gas, price = quantity(receipt.get("gasUsed")), quantity(receipt.get("effectiveGasPrice"))
    if receipt.get("transactionHash") != _hash(signed) or gas > payment.gas or price > payment.max_fee_per_gas.units:
        raise NodeUnavailable("the node's receipt does not fit the payment")
    status, fee = quantity(receipt.get("status")), gas * price
    result = {"transaction_hash": _hash(signed), "block_number": block}
    if status == 1:
        charges = (Charge(ACCOUNT_WALLET, Amount(payment.value.units + fee, "ETH")),)
        return Outcome(status="done", charges=charges, result={**result, "status": "success"})
    charges = (Charge(ACCOUNT_WALLET, Amount(fee, "ETH")),)
    detail = f"{_hash(signed)} was reverted in block {block}; only its gas was paid"
    return Outcome(status="failed", charges=charges, result={**result, "status": "reverted"}, detail=detail)


def _unknown(signed: SignedTransaction, why: str) -> Outcome:
    # Never the signed bytes: whoever has them can send them.
    detail = f"{_hash(signed)}: {why}; it may still be mined"
    return Outcome(status="unknown", result={"transaction_hash": _hash(signed)}, detail=detail)


def _hash(signed: SignedTransaction) -> str:
    return "0x" + signed.hash.hex()
