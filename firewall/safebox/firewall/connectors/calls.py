"""Calls of contracts from a run's wallet: what is asked for, what it takes, and what tokens tell about themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from safebox.firewall.connectors.fees import has_code
from safebox.firewall.connectors.jsonrpc import ChainNode, NodeRefused, NodeUnavailable, data
from safebox.firewall.connectors.simulation import Transaction
from safebox.firewall.core.abi import WORD
from safebox.firewall.core.approving import allowance_data
from safebox.firewall.core.arguments import GAS_MAX
from safebox.firewall.core.money import Amount
from safebox.firewall.errors import CallerError, FactsUnavailable


class ContractCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a contract as it was asked for; `data` in hexadecimal, what is None is for the node to say."""

    to: str
    data: str
    value: Amount = Amount(0, "ETH")
    gas: int | None = None
    max_fee_per_gas: Amount | None = None
    max_priority_fee_per_gas: Amount | None = None
    nonce: int | None = None


async def call_gas(node: ChainNode, call: Transaction, *, fails: bool) -> int:
    """The gas limit of a call: the node's estimate and a fifth more; any for one that fails anyway.

    Raises:
        CallerError: The call would fail.
        NodeUnavailable: There was no usable answer.
    """
    if fails:
        return GAS_MAX
    try:
        estimate = await node.quantity("eth_estimateGas", call.asked())
    except NodeRefused as error:
        raise CallerError(f"the call would fail: {error}") from error
    return min(estimate * 6 // 5, GAS_MAX)


async def contracts(node: ChainNode, addresses: Iterable[str]) -> dict[str, bool]:
    """Which addresses have code.

    Raises:
        FactsUnavailable: The node didn't tell.
    """
    named = sorted(set(addresses))
    try:
        return dict(zip(named, await asyncio.gather(*(has_code(node, each) for each in named)), strict=True))
    except (NodeUnavailable, NodeRefused) as error:
        raise FactsUnavailable(f"the chain could not be asked: {error}") from error


async def allowance(node: ChainNode, token: str, owner: str, spender: str) -> int:
    """How much of a token somebody may take now; 0 where the token doesn't say.

    Raises:
        FactsUnavailable: The node didn't tell.
    """
    try:
        told = data(await node.call("eth_call", {"to": token, "data": allowance_data(owner, spender)}, "latest"))
    except NodeRefused:
        return 0
    except NodeUnavailable as error:
        raise FactsUnavailable(f"the chain could not be asked: {error}") from error
    return int.from_bytes(told) if len(told) == WORD else 0
