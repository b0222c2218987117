"""What a payment would cost: gas, fees and nonce as the node tells them, under the mandate's cap."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final, cast

from safebox.firewall.connectors.jsonrpc import ChainNode, NodeRefused, NodeUnavailable, data, quantity
from safebox.firewall.connectors.transaction import TRANSFER_GAS
from safebox.firewall.core.arguments import GAS_MAX
from safebox.firewall.errors import CallerError

MARK_WEI: Final = 2**20
"""About a thousandth of a gwei, which no miner notices and no purse: two actions hardly ever have the same mark."""
HEADROOM: Final = 2
"""Twice the base fee stays enough for six full blocks in a row (each raises it by an eighth, EIP-1559)."""

REPLACEMENTS_MAX: Final = 3
"""Each offers a quarter more than the one before: the third nearly twice the first. Nodes ask for a tenth to an eighth
more before they replace what waits."""


class Fees:
    """Wei per unit of gas: the most that is paid, and the tip in it."""

    __slots__ = ("base", "most", "tip")

    def __init__(self, base: int, most: int, tip: int) -> None:
        self.base = base
        self.most = most
        self.tip = tip

    def marked(self, action: str) -> Fees:
        """The same offer, with a tip that differs by dust no other action has, and never above the most.

        Signatures are deterministic (RFC 6979). Without the mark a payment that got lost before it was sent, and the
        next one like it under the same nonce, were one and the same transaction, and both would count as made.
        """
        dust = int.from_bytes(hashlib.sha256(action.encode()).digest()[:8]) % MARK_WEI
        tip = self.tip - dust if self.tip >= dust else min(self.tip + dust, self.most)
        return Fees(self.base, self.most, tip)


async def fees(node: ChainNode, *, asked: int | None = None, tip: int | None = None, cap: int | None = None) -> Fees:
    """Ask the node for fees; what the agent asked for goes first, and the cap bounds what is chosen for it.

    Raises:
        CallerError: The tip asked for is above the fee asked for.
        NodeUnavailable: There was no usable answer.
        NodeRefused: The node knows no fees.
    """
    base, suggested = await asyncio.gather(base_fee(node), node.quantity("eth_maxPriorityFeePerGas"))
    chosen = HEADROOM * base + (suggested if tip is None else tip)
    most = asked if asked is not None else (chosen if cap is None else min(chosen, cap))
    if tip is not None and tip > most:
        raise CallerError("max_priority_fee_per_gas is above the highest fee per gas")
    return Fees(base, most, min(suggested, most) if tip is None else tip)


def higher(offer: Fees, cap: int | None) -> list[Fees]:
    """What may be offered after this one, each enough for nodes to take it in place of the one before, up to the cap.

    Without a cap there is nothing to stay within, so there are none.
    """
    found: list[Fees] = []
    while cap is not None and len(found) < REPLACEMENTS_MAX:
        last = found[-1] if found else offer
        most = min(_raised(last.most), cap)
        tip = min(_raised(last.tip), most)
        if most * 8 < last.most * 9 or tip * 8 < last.tip * 9:
            break
        found.append(Fees(last.base, most, tip))
    return found


def _raised(fee: int) -> int:
    return max(1, -(-fee * 5 // 4))


async def base_fee(node: ChainNode) -> int:
    """The next block's base fee in wei (EIP-1559).

    Raises:
        NodeUnavailable: There was no usable answer.
        NodeRefused: The node knows none.
    """
    history: object = await node.call("eth_feeHistory", "0x1", "latest", [])
    listed: object = cast("dict[str, object]", history).get("baseFeePerGas") if isinstance(history, dict) else None
    if not isinstance(listed, list) or not listed:
        raise NodeUnavailable("the node's fee history has no base fee")
    return quantity(cast("list[object]", listed)[-1])


async def transfer_gas(node: ChainNode, sender: str, to: str, value: int, *, has_code: bool) -> int:
    """The gas limit of a native transfer; for a payee with code, the node's estimate and a fifth more.

    Raises:
        CallerError: The payee would refuse the payment.
        NodeUnavailable: There was no usable answer.
    """
    if not has_code:
        return TRANSFER_GAS
    try:
        estimate = await node.quantity("eth_estimateGas", {"from": sender, "to": to, "value": hex(value)})
    except NodeRefused as error:
        raise CallerError(f"the payment would fail: {error}") from error
    return min(estimate * 6 // 5, GAS_MAX)


async def has_code(node: ChainNode, address: str) -> bool:
    """Whether there is code at an address: a contract, or an account that delegates (EIP-7702).

    Raises:
        NodeUnavailable: There was no usable answer.
        NodeRefused: The node does not say.
    """
    return bool(data(await node.call("eth_getCode", address, "latest")))
