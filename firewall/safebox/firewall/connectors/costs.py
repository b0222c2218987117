"""Asks a node what a transfer would cost, for an agent that wants to know. Signs nothing and keeps nothing."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from safebox.firewall.connectors.fees import Fees, fees, has_code, transfer_gas
from safebox.firewall.connectors.holdings import ether, next_nonce
from safebox.firewall.connectors.jsonrpc import ChainNode, NodeRefused, NodeUnavailable
from safebox.firewall.connectors.simulation import Transaction, simulate
from safebox.firewall.connectors.transaction import TRANSFER_GAS
from safebox.firewall.core.costs import QuoteTransfer, one_line
from safebox.firewall.core.money import Amount
from safebox.firewall.core.simulated import PLAIN, UNABLE, Simulated
from safebox.firewall.errors import CallerError, EffectError

ASK_SECONDS: Final = 15
"""As long as the facts of a payment may take: an agent that only wants to know waits no longer."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the node said. `offer` is what would be offered for each unit of gas if no mandate capped it."""

    balance: Amount
    nonce: int
    offer: Fees
    gas: int | None
    tried: Simulated


async def find_cost(node: ChainNode, asked: QuoteTransfer, sender: str, chain_id: int, turn: asyncio.Lock) -> Found:
    """Ask the node everything, in turn: a run that asks much at once doesn't take the connections of others' payments.

    Raises:
        EffectError: It didn't tell, in time, or is on another chain.
        CallerError: The nonce or the fee asked for can't work.
    """
    try:
        async with asyncio.timeout(ASK_SECONDS), turn:
            return await _find(node, asked, sender, chain_id)
    except TimeoutError as error:
        raise EffectError("the chain did not answer in time; ask again") from error
    except (NodeUnavailable, NodeRefused) as error:
        raise EffectError(f"the chain could not be asked: {one_line(str(error))}") from error


async def _find(node: ChainNode, asked: QuoteTransfer, sender: str, chain_id: int) -> Found:
    found, balance, nonce, code = await asyncio.gather(
        node.quantity("eth_chainId"),
        node.quantity("eth_getBalance", sender, "latest"),
        next_nonce(node, sender),
        has_code(node, asked.to),
    )
    if found != chain_id:
        raise EffectError(f"the node is on chain {found}, not {chain_id}")
    if asked.nonce not in (None, nonce):
        raise CallerError(f"nonce {asked.nonce} is not the next one ({nonce})")
    offer = await fees(node, asked=_units(asked.max_fee_per_gas), tip=_units(asked.max_priority_fee_per_gas))
    held = ether(balance)
    gas, tried = await _try(node, asked, sender, held) if code else (asked.gas or TRANSFER_GAS, PLAIN)
    return Found(balance=held, nonce=nonce, offer=offer, gas=gas, tried=tried)


async def _try(node: ChainNode, asked: QuoteTransfer, sender: str, held: Amount) -> tuple[int | None, Simulated]:
    """How much gas a payee with code would take, and what it says; nobody tries what the wallet doesn't hold."""
    if held.units < asked.amount.units:
        return asked.gas, UNABLE
    tried = await simulate(node, Transaction(sender=sender, to=asked.to, value=asked.amount.units, gas=asked.gas))
    if asked.gas is not None or tried.reverts:
        return asked.gas, tried
    try:
        return await transfer_gas(node, sender, asked.to, asked.amount.units, has_code=True), tried
    except CallerError as error:
        return None, msgspec.structs.replace(tried, reverts=True, reason=error.cause)


def _units(amount: Amount | None) -> int | None:
    return None if amount is None else amount.units
