"""One more look at the chain before a payment is signed: may it still succeed?"""

from __future__ import annotations

import asyncio

from safebox.firewall.connectors.fees import base_fee
from safebox.firewall.connectors.jsonrpc import ChainNode, NodeRefused, NodeUnavailable
from safebox.firewall.connectors.transaction import Payment
from safebox.firewall.errors import EffectError


async def preflight(node: ChainNode, payment: Payment) -> None:
    """See once more, before the signature, that the payment can succeed.

    Raises:
        EffectError: It can't, or the node doesn't say; nothing was signed.
    """
    try:
        chain_id, nonce, balance, base = await asyncio.gather(
            node.quantity("eth_chainId"),
            node.quantity("eth_getTransactionCount", payment.sender, "pending"),
            node.quantity("eth_getBalance", payment.sender, "latest"),
            base_fee(node),
        )
    except (NodeUnavailable, NodeRefused) as error:
        raise EffectError(f"the chain could not be asked; nothing was signed: {error}") from error
    if chain_id != payment.chain_id:
        raise EffectError(f"the node is on chain {chain_id}, not {payment.chain_id}; nothing was signed")
    if nonce != payment.nonce:
        raise EffectError("another payment of this wallet came first; nothing was signed, ask again")
    if balance < payment.worst.units:
        raise EffectError("the wallet holds less than the payment and its highest fee; nothing was signed")
    if base > payment.max_fee_per_gas.units:
        raise EffectError("the network's fee is above the highest fee offered; nothing was signed")
