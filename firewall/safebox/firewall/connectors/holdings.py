"""What the chain says about a run's wallet: balance, nonce, and whether it is over its ceiling."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from safebox.firewall.connectors.jsonrpc import ChainNode
from safebox.firewall.core.money import Amount, encode_amount
from safebox.firewall.errors import FactsUnavailable
from safebox.firewall.ports import RunView


def ether(units: int) -> Amount:
    """Wei that a node named.

    Raises:
        FactsUnavailable: There is no such amount.
    """
    try:
        return Amount(units, "ETH")
    except ValueError as error:
        raise FactsUnavailable("the node named an impossible amount") from error


async def next_nonce(node: ChainNode, address: str) -> int:
    """The nonce of an address's next transaction, what waits to be mined counted in.

    Raises:
        NodeUnavailable, NodeRefused: The node didn't tell.
    """
    return await node.quantity("eth_getTransactionCount", address, "pending")


async def free(node: ChainNode, address: str) -> int:
    """What an address will hold once what the node has waiting is mined, as the nonce after that is meant for.

    Raises:
        NodeUnavailable, NodeRefused: The node didn't tell.
    """
    return min(
        await asyncio.gather(*(node.quantity("eth_getBalance", address, each) for each in ("latest", "pending")))
    )


async def wallet_facts(node: ChainNode, run: RunView, owner: str) -> dict[str, Any]:
    """`facts.wallet` of a run.

    Args:
        node: is asked.
        run: whose wallet it is; it may have none.
        owner: the owner's address.

    Raises:
        NodeUnavailable, NodeRefused: The node didn't tell.
        FactsUnavailable: It told what can't be.
    """
    chain_id = await node.quantity("eth_chainId")
    facts: dict[str, Any] = {"balance": None, "over_ceiling": None, "nonce": None}
    if run.address is not None:
        balance, nonce = await asyncio.gather(
            node.quantity("eth_getBalance", run.address, "latest"), next_nonce(node, run.address)
        )
        ceiling = run.mandate.wallet.ceiling if run.mandate.wallet is not None else None
        over = None if ceiling is None else balance > ceiling.units
        facts = {"balance": encode_amount(ether(balance)), "over_ceiling": over, "nonce": nonce}
    return {**facts, "chain_id": chain_id, "owner": owner}


def receiving(facts: Mapping[str, Any], amount: Amount, run: RunView) -> dict[str, Any]:
    """`facts.wallet` of one that is to receive: over its ceiling is what would be over it then."""
    wallet, held = run.mandate.wallet, facts["balance"]
    if wallet is None or wallet.ceiling is None or held is None:
        return dict(facts)
    return {**facts, "over_ceiling": int(held["units"]) + amount.units > wallet.ceiling.units}
