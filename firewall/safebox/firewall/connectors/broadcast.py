"""One payment from its signature until it is final: sent, sent again, replaced, and never taken back before that.

Rule 1: once signed, a payment may be mined until its nonce was used by something that is final. Until then it is
        unknown, whatever a node says, and what it could take stays reserved.
Rule 2: final is what enough blocks hold. A receipt before that is news and no outcome: a reorganisation undoes it.
Rule 3: what may be sent is the payment that was decided, or a replacement that the decision itself names, under the
        same nonce: only one of them can ever be mined.
Rule 4: signed bytes are given to the node and to nobody else; they are in no result, no detail and no log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from safebox.firewall.accounts import SignedTransaction
from safebox.firewall.connectors.finality import Finality
from safebox.firewall.connectors.jsonrpc import ChainNode, NodeRefused, NodeUnavailable, quantity
from safebox.firewall.connectors.transaction import Payment
from safebox.firewall.core.mandate import ACCOUNT_WALLET
from safebox.firewall.core.money import Amount
from safebox.firewall.ports import Charge, Outcome

POLL_SECONDS: Final = 0.1
SOON_SECONDS: Final = 0.003
"""Between the first two looks for a receipt, then twice as long each time: some chains mine at once."""

Sign = Callable[[Payment], Awaitable[SignedTransaction]]
Recall = Callable[[Payment], Awaitable[SignedTransaction | None]]
"""A payment as it was signed before; None if it certainly never was."""


@dataclass(frozen=True, slots=True)
class Broadcaster:
    """Watches payments on one node; waits at most `seconds` for the block of one that was just sent."""

    node: ChainNode
    seconds: int
    finality: Finality

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

    async def look(self, payment: Payment, recall: Recall) -> Outcome:
        """Find out what became of a payment, or of what replaced it; nothing is sent.

        Raises:
            NodeUnavailable: There was no usable answer.
            NodeRefused: The node answered with an error.
        """
        return await (await self._on_one_node())._look(payment, recall)

    async def _on_one_node(self) -> Broadcaster:
        """All questions of one look go to one node: another may not have the block yet in which a nonce was used."""
        node = await self.node.choose()
        return replace(self, node=node, finality=self.finality.on(node))

    async def _look(self, payment: Payment, recall: Recall) -> Outcome:
        # Nonces are read first: if one is used and there is no receipt afterwards, something else used it.
        at = await self.finality.block()
        over = await self._used(payment, at)
        used = over or await self._used(payment, "latest")
        for variant in payment.variants() if used else ():
            known = await recall(variant)
            found = None if known is None else await self._receipt(variant, known)
            if found is not None:
                return found
        signed = await recall(payment)
        if signed is None:
            return Outcome(status="failed", detail="it was never signed")
        if over:
            return Outcome(status="failed", detail=f"never sent: nonce {payment.nonce} was used by something else")
        if used:
            return _unknown(signed, f"nonce {payment.nonce} is used by something else, which is not final yet")
        if await self._known(signed):
            return _unknown(signed, "it waits to be mined")
        return _unknown(signed, f"the node doesn't know it, and nonce {payment.nonce} is unused")

    async def push(self, variant: Payment, sign: Sign, last_look: Callable[[], None]) -> bool:
        """See that the node has this payment waiting; whether it took it now.

        Args:
            variant: the payment, or what its decision names in its place.
            sign: signs it.
            last_look: raises if its run may not act any more; asked right before it is sent.

        Raises:
            NodeUnavailable: There was no usable answer.
            NodeRefused: The node answered with an error.
        """
        signed = await sign(variant)
        if await self._waits(signed):
            return False
        last_look()
        with contextlib.suppress(NodeRefused):  # it has another of this nonce, or the fee is too low now: later again
            await self.node.call("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
            return True
        return False

    async def _used(self, payment: Payment, block: str) -> bool:
        return await self.node.quantity("eth_getTransactionCount", payment.sender, block) > payment.nonce

    async def _waits(self, signed: SignedTransaction) -> bool:
        return await self.node.call("eth_getTransactionByHash", _hash(signed)) is not None

    async def _known(self, signed: SignedTransaction) -> bool:
        try:
            return await self._waits(signed)
        except (NodeUnavailable, NodeRefused):
            return True

    async def _wait(self, payment: Payment, signed: SignedTransaction, note: str) -> Outcome:
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self.seconds, SOON_SECONDS
        while True:
            try:
                found = await (await self._on_one_node())._receipt(payment, signed)
            except (NodeUnavailable, NodeRefused) as error:
                found, note = None, str(error)
            if found is not None:
                return found
            if loop.time() >= deadline:
                return _unknown(signed, note or f"not mined within {self.seconds} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS)

    async def _receipt(self, payment: Payment, signed: SignedTransaction) -> Outcome | None:
        """The outcome that a receipt proves; unknown while its block is not final, None without a receipt."""
        head = await self.finality.head()  # first: what is that old by this head is at least that old
        receipt: object = await self.node.call("eth_getTransactionReceipt", _hash(signed))
        if receipt is None:
            return None
        if not isinstance(receipt, dict):
            raise NodeUnavailable("the node's receipt is none")
        fields = cast("dict[str, Any]", receipt)
        block = quantity(fields.get("blockNumber"))
        outcome = _settled(payment, signed, fields, block)
        missing = self.finality.missing(block, head)
        if missing:
            why = f"block {block} holds it, and {missing} more must follow until it is final"
            return _unknown(signed, why, block=block)
        self.finality.remember(_hash(signed), block, str(fields.get("blockHash")))
        return outcome


def _settled(payment: Payment, signed: SignedTransaction, receipt: dict[str, Any], block: int) -> Outcome:
    """The outcome a receipt proves; a receipt that can't be true proves nothing."""
    gas, price = quantity(receipt.get("gasUsed")), quantity(receipt.get("effectiveGasPrice"))
    if receipt.get("transactionHash") != _hash(signed) or gas > payment.gas or price > payment.max_fee_per_gas.units:
        raise NodeUnavailable("the node's receipt does not fit the payment")
    status, fee = quantity(receipt.get("status")), gas * price
    result = {"transaction_hash": _hash(signed), "block_number": block}
    spent = (Charge(ACCOUNT_WALLET, Amount(fee, "ETH")),)
    if payment.cancels:
        detail = f"taken back: {_hash(signed)} used its nonce for nothing in block {block}; only that gas was paid"
        return Outcome(status="failed", charges=spent, result={**result, "status": "cancelled"}, detail=detail)
    if status == 1:
        charges = (Charge(ACCOUNT_WALLET, Amount(payment.value.units + fee, "ETH")),)
        return Outcome(status="done", charges=charges, result={**result, "status": "success"})
    detail = f"{_hash(signed)} was reverted in block {block}; only its gas was paid"
    return Outcome(status="failed", charges=spent, result={**result, "status": "reverted"}, detail=detail)


def _unknown(signed: SignedTransaction, why: str, *, block: int | None = None) -> Outcome:
    # Never the signed bytes: whoever has them can send them.
    result: dict[str, Any] = {"transaction_hash": _hash(signed)}
    if block is not None:
        result["block_number"] = block
    detail = f"{_hash(signed)}: {why}"
    return Outcome(status="unknown", result=result, detail=detail, pending=block is not None)


def _hash(signed: SignedTransaction) -> str:
    return "0x" + signed.hash.hex()
