"""The owner's movements on their way to the chain, in native money and in listed tokens, and what wallets hold.

A token is a stranger's program: what it answers is believed only as far as nothing but its own units depends on it. It
can refuse to move, and then it stays; it can't take more than the gas that was planned, nor any other money.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from safebox.firewall.connectors.calls import call_gas
from safebox.firewall.connectors.fees import fees
from safebox.firewall.connectors.finality import Finality
from safebox.firewall.connectors.holdings import ether, free, next_nonce, receiving, wallet_facts
from safebox.firewall.connectors.jsonrpc import ChainNode, NodeRefused, NodeUnavailable, data
from safebox.firewall.connectors.simulation import Transaction
from safebox.firewall.connectors.transaction import TRANSFER_GAS, Payment, as_plan, worst_of
from safebox.firewall.core.action import Action
from safebox.firewall.core.arguments import MoveFunds
from safebox.firewall.core.mandate import ACCOUNT_WALLET
from safebox.firewall.core.money import Amount, token_of
from safebox.firewall.core.movements import TOKEN_GAS_MAX, balance_data, read_balance, sent
from safebox.firewall.errors import CallerError, FactsUnavailable
from safebox.firewall.keystore import OWNER
from safebox.firewall.ports import Charge, Outcome, Quote, RunView

NOTHING: Final = {"nothing": True}
"""The plan of a sweep that finds no more than its own fee."""
FUND: Final = "wallet.fund"
REFUSED: Final = "wallet.token_refused"
_GAS_MARGIN: Final = 2
"""The fee may have risen by the time the token is moved; what is left of the gas money comes home with the rest."""


async def plan_movement(
    node: ChainNode, action: Action, args: MoveFunds, run: RunView, owner: str, chain_id: int
) -> Quote:
    """Plan a funding or a sweep.

    Raises:
        CallerError: It can't be made: there is no wallet, or the token doesn't move, or not as it should.
        NodeUnavailable, NodeRefused, FactsUnavailable: The node didn't tell.
    """
    signer = OWNER if action.tool == FUND else run.id
    sender = owner if signer == OWNER else run.address
    if sender is None:
        raise CallerError("this run has no wallet")
    facts, offer = await asyncio.gather(wallet_facts(node, run, owner), fees(node))
    nonce, offer = await next_nonce(node, sender), offer.marked(action.id)
    amount = args.amount
    if amount is None:
        if signer == OWNER:
            raise CallerError("funding needs an amount")
        left = await free(node, sender) - TRANSFER_GAS * offer.most
        if left <= 0:
            return Quote(facts={"wallet": facts}, plan=dict(NOTHING))
        amount = ether(left)
    if signer == OWNER:
        facts = await _receiving(node, facts, amount, run)
    to, wei, content = sent(args.to, amount)
    payment = Payment(
        signer=signer,
        sender=sender,
        chain_id=chain_id,
        nonce=nonce,
        to=to,
        value=ether(wei),
        gas=TRANSFER_GAS if not content else await _token_gas(node, sender, args.to, amount),
        max_fee_per_gas=ether(offer.most),
        max_priority_fee_per_gas=ether(offer.tip),
        data="0x" + content.hex(),
    )
    worst_of(payment)
    return Quote(facts={"wallet": facts}, plan=as_plan(payment))


def fits(args: MoveFunds, payment: Payment) -> bool:
    """Whether a planned transaction moves what was asked for, and does nothing else."""
    amount = args.amount or payment.value  # all there is: only native money can be moved so
    return (payment.to, payment.value.units, payment.data) == _written(args.to, amount)


def booked(args: MoveFunds, outcome: Outcome) -> Outcome:
    """With the units of the token that were moved, beside the fee."""
    if outcome.status != "done" or args.amount is None or token_of(args.amount.asset) is None:
        return outcome
    return msgspec.structs.replace(outcome, charges=(*outcome.charges, Charge(ACCOUNT_WALLET, args.amount)))


def _written(to: str, amount: Amount) -> tuple[str, int, str]:
    whom, wei, content = sent(to, amount)
    return whom, wei, "0x" + content.hex()


async def _receiving(node: ChainNode, facts: dict[str, Any], amount: Amount, run: RunView) -> dict[str, Any]:
    """`facts.wallet` of one that is to receive: over the ceiling of what it receives is what would be over it then."""
    token = token_of(amount.asset)
    if token is None:
        return receiving(facts, amount, run)
    ceilings = (each.ceiling for each in run.mandate.tokens or () if each.address == token)
    ceiling = next(ceilings, None)
    if ceiling is None or run.address is None:
        return {**facts, "over_ceiling": None}
    held = await _token_balance(node, token, run.address, "latest")
    return {**facts, "over_ceiling": held is None or held + amount.units > ceiling.units}


async def _token_gas(node: ChainNode, sender: str, to: str, amount: Amount) -> int:
    """The gas limit of moving a token.

    Raises:
        CallerError: It doesn't move, or takes more gas than any should.
    """
    whom, _, content = sent(to, amount)
    asked = Transaction(sender=sender, to=whom, value=0, data="0x" + content.hex())
    gas = await call_gas(node, asked, fails=False)
    if gas > TOKEN_GAS_MAX:
        raise CallerError(f"moving this token takes {gas} gas, more than {TOKEN_GAS_MAX}", code=REFUSED)
    return gas


async def _token_balance(node: ChainNode, token: str, address: str, block: str) -> int | None:
    """What a token says an address has; None if it doesn't say, or nothing that can be."""
    asked = {"to": token, "data": balance_data(address), "gas": hex(TOKEN_GAS_MAX)}
    try:
        return read_balance(data(await node.call("eth_call", asked, block)))
    except NodeRefused:
        return None


class Holdings:
    """What wallets hold, for the treasury.

    Args:
        node: is asked.
        confirmations: how many blocks must hold what came in until it counts as income.
    """

    def __init__(self, node: ChainNode, confirmations: int) -> None:
        self._node = node
        self._finality = Finality(node, confirmations)

    async def settled(self, address: str) -> int:
        """What an address holds in wei as of the newest block that is final.

        Raises:
            FactsUnavailable: The node didn't tell.
        """
        try:
            return await self._node.quantity("eth_getBalance", address, await self._finality.block())
        except (NodeUnavailable, NodeRefused) as error:
            raise _cannot(error) from error

    async def token(self, token: str, address: str, *, settled: bool = False) -> int | None:
        """What a token says an address has, also only what is final; None if it doesn't say.

        Raises:
            FactsUnavailable: The node didn't tell.
        """
        try:
            block = await self._finality.block() if settled else "latest"
            return await _token_balance(self._node, token, address, block)
        except (NodeUnavailable, NodeRefused) as error:
            raise _cannot(error) from error

    async def gas_money(self, address: str, to: str, amount: Amount) -> int:
        """What an address lacks, in wei, to pay for moving this much of a token; 0 if it has enough.

        Raises:
            CallerError: The token doesn't move.
            FactsUnavailable: The node didn't tell.
        """
        try:
            gas, offer = await asyncio.gather(_token_gas(self._node, address, to, amount), fees(self._node))
            most = gas * offer.most
            has = await free(self._node, address)
        except (NodeUnavailable, NodeRefused) as error:
            raise _cannot(error) from error
        return max(0, _GAS_MARGIN * most - has) if has < most else 0


def _cannot(error: Exception) -> FactsUnavailable:
    return FactsUnavailable(f"the chain could not be asked: {error}")
