"""The chain connector: quotes, signs and sends native transfers over Ethereum JSON-RPC, and reads balances.

What is signed is exactly the plan that was decided and recorded: chain id, nonce, payee, amount, gas and fees, and what
may replace it. From the signature on nothing is ever taken back: a payment is unknown until a block that is final has
used its nonce. Until then its bytes may be sent again, and replaced, if its run may still act.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from safebox.firewall.connectors import calls, contracts
from safebox.firewall.connectors.broadcast import Broadcaster
from safebox.firewall.connectors.calls import ContractCall, call_gas
from safebox.firewall.connectors.care import Care
from safebox.firewall.connectors.costs import find_cost
from safebox.firewall.connectors.fees import Fees, fees, has_code, higher, transfer_gas
from safebox.firewall.connectors.finality import Finality
from safebox.firewall.connectors.holdings import ether, wallet_facts
from safebox.firewall.connectors.jsonrpc import ChainNode, Node, NodeRefused, NodeUnavailable
from safebox.firewall.connectors.lending import NOTHING, booked, fits, plan_movement
from safebox.firewall.connectors.preflight import preflight
from safebox.firewall.connectors.simulation import Transaction, simulate
from safebox.firewall.connectors.transaction import (
    Offer,
    Payment,
    as_plan,
    from_plan,
    sign,
    signed_before,
    worst_of,
)
from safebox.firewall.core.action import Action
from safebox.firewall.core.arguments import MoveFunds, Transfer
from safebox.firewall.core.calls import CallContract, accounts_of
from safebox.firewall.core.costs import QuoteTransfer, told
from safebox.firewall.core.facts import expired
from safebox.firewall.core.mandate import ACCOUNT_WALLET
from safebox.firewall.core.money import UNITS_MAX, Amount, format_units
from safebox.firewall.core.simulated import PLAIN, Move, Simulated, said
from safebox.firewall.core.tools import Caller
from safebox.firewall.errors import CallerError, EffectError, FactsUnavailable, FirewallError
from safebox.firewall.keystore import OWNER
from safebox.firewall.ports import Charge, Deliver, Outcome, Quote, RunView, SignerPort

RECEIPT_SECONDS: Final = 60
"""Five blocks of the main network: after that the payment is reported as unknown, with its hash."""
AGENT_SECONDS: Final = 12
"""The same for an agent, whose library gives up on an answer after 30 s (web3.py) and must have the hash by then."""


class ChainConnector:
    """Moves native money on one chain.

    Quotes of one wallet must not overlap with its payments: the nonce in a plan is good for the next payment only.

    Args:
        node: the node, or its http or https URL.
        chain_id: the only chain ever signed for.
        signer: signs, if the ledger has the allow.
        receipt_seconds: how long to wait for a receipt.
        confirmations: how many blocks must hold a payment, its own included, until it is final.
        care: what is done about payments that aren't mined.
        now: nanoseconds since the epoch.
    """

    name = "chain"

    def __init__(
        self,
        node: str | ChainNode,
        chain_id: int,
        signer: SignerPort,
        *,
        receipt_seconds: int = RECEIPT_SECONDS,
        confirmations: int = 1,
        care: Care | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._node: ChainNode = Node(node) if isinstance(node, str) else node
        self._chain_id = chain_id
        self._signer = signer
        self._care = care or Care()
        self._now = now
        self._finality = Finality(self._node, confirmations)
        self._broadcaster = Broadcaster(self._node, receipt_seconds, self._finality)
        self._for_agents = Broadcaster(self._node, min(receipt_seconds, AGENT_SECONDS), self._finality)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def quote(self, action: Action, run: RunView) -> Quote:
        """Learn fees, nonce, balance and payee, and plan the payment.

        Raises:
            CallerError: The nonce, fee or payee asked for can't work.
            FactsUnavailable: The node didn't tell.
        """
        try:
            match action.args:
                case Transfer():
                    return await self._quote_transfer(action, action.args, run)
                case MoveFunds() as args:
                    owner = self._signer.owner_address
                    return await plan_movement(self._node, action, args, run, owner, self._chain_id)
                case CallContract():
                    return await self._quote_contract(action, action.args, run)
                case _:
                    return Quote(facts={"wallet": await self._wallet(run)})
        except (NodeUnavailable, NodeRefused) as error:
            raise FactsUnavailable(f"the chain could not be asked: {error}") from error

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        """Sign and send the planned payment, or only look.

        Raises:
            EffectError: Nothing was signed.
        """
        if plan == NOTHING:
            return Outcome(status="done", result={"moved": "0"})
        if isinstance(action.args, QuoteTransfer):
            return await self._cost(action.args, run)
        if not isinstance(action.args, Transfer | MoveFunds | CallContract):
            return await self._balance(run)
        return _settled(action, await self.carry_out(action, run, self._planned(action, run, plan)))

    async def carry_out(self, action: Action, run: RunView, payment: Payment) -> Outcome:
        """Sign and send a payment that was planned for this action.

        Raises:
            EffectError: Nothing was signed.
        """
        async with self._locks[payment.sender]:
            await preflight(self._node, payment)
            run.last_look(action)
            signed = await sign(payment, self._signer, action.decision)
            run.last_look(action)  # signing took a moment, and what is sent can't be taken back
            broadcaster = self._for_agents if action.caller is Caller.AGENT else self._broadcaster
            return await broadcaster.send(payment, signed)

    async def reconcile(self, action: Action, run: RunView, plan: dict[str, Any]) -> Outcome:
        """Find out what became of a planned payment, and see that it can still be mined, if the run may still act.

        What is sent is what was decided, under the nonce that was decided: it can't be paid twice.

        Raises:
            EffectError: The chain can't be asked now.
        """
        if not isinstance(action.args, Transfer | MoveFunds | CallContract) or plan == NOTHING:
            return Outcome(status="failed", detail="nothing was to be paid")
        return _settled(action, await self.follow(action, run, self._planned(action, run, plan)))

    async def follow(self, action: Action, run: RunView, payment: Payment) -> Outcome:
        """What became of a payment that was planned for this action; see `reconcile`.

        Raises:
            EffectError: The chain can't be asked now.
        """
        recall = partial(signed_before, signer=self._signer, decision=action.decision)
        try:
            found = await self._broadcaster.look(payment, recall)
            if found.status == "unknown" and not found.pending and await self._pushed(action, run, payment):
                return await self._broadcaster.look(payment, recall)
        except (NodeUnavailable, NodeRefused) as error:
            raise EffectError(f"the chain can't be asked: {error}", unknown=True) from error
        return found

    async def _pushed(self, action: Action, run: RunView, payment: Payment) -> bool:
        """Give the node what it should have waiting; not while another payment of the wallet is on its way."""
        lock = self._locks[payment.sender]
        variant = self._care.due(payment, (self._now() - action.received_ns) / 1e9)
        ended = action.caller is Caller.AGENT and expired(run.mandate, self._now())
        if variant is None or ended or lock.locked():
            return False
        async with lock:
            try:
                signs = partial(sign, signer=self._signer, decision=action.decision)
                return await self._broadcaster.push(variant, signs, partial(run.last_look, action))
            except FirewallError:
                return False

    @property
    def node(self) -> ChainNode:
        """The node that is asked."""
        return self._node

    async def plan_call(self, action: Action, run: RunView, call: ContractCall, said: Sequence[Move]) -> Quote:
        """Plan the call of a contract from a run's wallet; `said` is what it was read to do.

        Raises:
            CallerError: The run has no wallet, or the nonce, fee or gas asked for can't work.
            FactsUnavailable: The node didn't tell.
        """
        if run.address is None:
            raise CallerError("this run has no wallet")
        try:
            return await self._quote_call(action, run, run.address, call, said)
        except (NodeUnavailable, NodeRefused) as error:
            raise FactsUnavailable(f"the chain could not be asked: {error}") from error

    async def vanished(self) -> list[str]:
        """Payments that were final and are no more: a reorganisation went deeper than the owner thought it could.

        Raises:
            FactsUnavailable: The node didn't tell.
        """
        try:
            return await self._finality.vanished()
        except (NodeUnavailable, NodeRefused) as error:
            raise FactsUnavailable(f"the chain could not be asked: {error}") from error

    async def healthy(self) -> bool:
        """Whether the node answers and is on the configured chain."""
        try:
            return await self._node.quantity("eth_chainId") == self._chain_id
        except (NodeUnavailable, NodeRefused):
            return False

    async def close(self) -> None:
        """Close the connections to the node."""
        await self._node.close()

    async def balance(self, address: str) -> int:
        """What an address holds, in wei.

        Raises:
            FactsUnavailable: The node didn't tell.
        """
        try:
            return await self._node.quantity("eth_getBalance", address, "latest")
        except (NodeUnavailable, NodeRefused) as error:
            raise FactsUnavailable(f"the chain could not be asked: {error}") from error

    async def _quote_transfer(self, action: Action, args: Transfer, run: RunView) -> Quote:
        wallet = run.mandate.wallet
        cap = _units(wallet.max_fee_per_gas) if wallet is not None else None
        code, facts = await asyncio.gather(has_code(self._node, args.to), self._wallet(run))
        known: dict[str, Any] = {"payee": {"is_contract": code}, "wallet": facts}
        if run.address is None:
            return Quote(charges=(Charge(ACCOUNT_WALLET, args.amount),), facts=known)
        if args.nonce is not None and args.nonce != facts["nonce"]:
            raise CallerError(f"nonce {args.nonce} is not the next one ({facts['nonce']})")
        offer = await fees(
            self._node, asked=_units(args.max_fee_per_gas), tip=_units(args.max_priority_fee_per_gas), cap=cap
        )
        tried = await self._tried(args, run, run.address) if code else PLAIN
        gas = args.gas
        if gas is None:  # of what fails anyway nobody needs to know how much it takes
            code = code and tried.reverts is not True
            gas = await transfer_gas(self._node, run.address, args.to, args.amount.units, has_code=code)
        offer = offer.marked(action.id)
        payment = self._payment(run.id, run.address, facts["nonce"], args.to, args.amount, gas, offer)
        payment = self._replaceable(payment, offer, cap)
        said = Move(kind="native", contract=None, other=args.to, units=args.amount.units)
        return Quote(
            charges=(Charge(ACCOUNT_WALLET, worst_of(payment)),),
            facts={**known, "simulation": tried.facts([said])},
            plan=as_plan(payment),
        )

    async def _quote_call(
        self, action: Action, run: RunView, sender: str, call: ContractCall, said: Sequence[Move]
    ) -> Quote:
        wallet = run.mandate.wallet
        cap = _units(wallet.max_fee_per_gas) if wallet is not None else None
        facts = await self._wallet(run)
        if call.nonce is not None and call.nonce != facts["nonce"]:
            raise CallerError(f"nonce {call.nonce} is not the next one ({facts['nonce']})")
        asked = Transaction(sender=sender, to=call.to, value=call.value.units, data=call.data, gas=call.gas)
        offer = await fees(
            self._node, asked=_units(call.max_fee_per_gas), tip=_units(call.max_priority_fee_per_gas), cap=cap
        )
        tried = await simulate(self._node, asked, [token.address for token in run.mandate.tokens or ()])
        gas = call.gas or await call_gas(self._node, asked, fails=tried.reverts is True)
        offer = offer.marked(action.id)
        payment = self._payment(run.id, sender, facts["nonce"], call.to, call.value, gas, offer)
        payment = self._replaceable(msgspec.structs.replace(payment, data=call.data), offer, cap)
        return Quote(
            charges=(Charge(ACCOUNT_WALLET, worst_of(payment)),),
            facts={"wallet": facts, "simulation": tried.facts(said)},
            plan=as_plan(payment),
        )

    async def _tried(self, args: Transfer, run: RunView, sender: str) -> Simulated:
        """What a payment to code does when it is tried: it may call back, and take what was approved."""
        tokens = [token.address for token in run.mandate.tokens or ()]
        asked = Transaction(sender=sender, to=args.to, value=args.amount.units, gas=args.gas)
        return await simulate(self._node, asked, tokens)

    async def _quote_contract(self, action: Action, args: CallContract, run: RunView) -> Quote:
        code = await calls.contracts(self._node, accounts_of(args))
        if run.address is None:
            facts = {"contracts": code, "wallet": await self._wallet(run)}
            return Quote(charges=contracts.charges(args, args.value), facts=facts)
        moved = said(args.leaves, run.address)
        quote = await self._quote_call(action, run, run.address, contracts.as_call(args), moved)
        (worst,) = quote.charges
        charges, facts = contracts.charges(args, worst.amount), {**quote.facts, "contracts": code}
        return msgspec.structs.replace(quote, charges=charges, facts=facts)

    def _payment(self, signer: str, sender: str, nonce: int, to: str, value: Amount, gas: int, offer: Fees) -> Payment:
        return Payment(
            signer=signer,
            sender=sender,
            chain_id=self._chain_id,
            nonce=nonce,
            to=to,
            value=value,
            gas=gas,
            max_fee_per_gas=ether(offer.most),
            max_priority_fee_per_gas=ether(offer.tip),
        )

    def _replaceable(self, payment: Payment, offer: Fees, cap: int | None) -> Payment:
        """The payment with what may replace it, as the owner wants it; that is decided and reserved with it."""
        if self._care.stuck not in ("replace", "cancel"):
            return payment
        offers = tuple(
            Offer(max_fee_per_gas=ether(each.most), max_priority_fee_per_gas=ether(each.tip))
            for each in higher(offer, cap)
        )
        return msgspec.structs.replace(payment, replacements=offers, give_up=self._care.stuck == "cancel")

    def _planned(self, action: Action, run: RunView, plan: dict[str, Any]) -> Payment:
        """Read the plan back and hold it against the action it was made for."""
        payment = from_plan(plan)
        signer = OWNER if action.tool == "wallet.fund" else run.id
        sender = self._signer.owner_address if signer == OWNER else run.address
        args = action.args
        if isinstance(args, CallContract):
            contracts.check_again(args, payment)
        as_asked = (payment.to, payment.data) == (args.to, args.data if isinstance(args, CallContract) else "0x")
        if isinstance(args, Transfer):
            as_asked = as_asked and payment.value == args.amount
        if isinstance(args, MoveFunds):
            as_asked = fits(args, payment)
        of_wallet = (payment.signer, payment.sender, payment.chain_id) == (signer, sender, self._chain_id)
        if not of_wallet or payment.cancels or not as_asked:
            raise EffectError("the plan is not for this action")
        return payment

    async def _balance(self, run: RunView) -> Outcome:
        if run.address is None:
            raise EffectError("this run has no wallet")
        try:
            balance = await self._node.quantity("eth_getBalance", run.address, "latest")
        except (NodeUnavailable, NodeRefused) as error:
            raise EffectError(f"the chain could not be asked: {error}") from error
        text = format_units(balance, "ETH")
        return Outcome(status="done", result={"address": run.address, "balance": str(balance), "balance_text": text})

    async def _cost(self, args: QuoteTransfer, run: RunView) -> Outcome:
        """What a transfer would take; reckoned as if the mandate capped no fee, so that no cap is told by it."""
        if run.address is None:
            raise EffectError("this run has no wallet")
        found = await find_cost(self._node, args, run.address, self._chain_id, self._asking[run.id])
        total = None
        if found.gas is not None:
            payment = self._payment(run.id, run.address, found.nonce, args.to, args.amount, found.gas, found.offer)
            total = worst_of(self._replaceable(payment, found.offer, UNITS_MAX))
        answer = told(args, balance=found.balance, gas=found.gas, total=total, tried=found.tried)
        return Outcome(status="done", result=answer)

    async def _wallet(self, run: RunView) -> dict[str, Any]:
        return await wallet_facts(self._node, run, self._signer.owner_address)


def _units(amount: Amount | None) -> int | None:
    return None if amount is None else amount.units


def _settled(action: Action, outcome: Outcome) -> Outcome:
    """With a call, what it took of tokens, too."""
    if isinstance(action.args, MoveFunds):
        return booked(action.args, outcome)
    return contracts.settled(action.args, outcome) if isinstance(action.args, CallContract) else outcome
