"""The signing connector: approvals, typed data, messages, payments servers ask for; each charged for what it lets take.

An approval is a transaction like a payment and has the same life. A signature is given once: from then on whoever has
it may use it, so what it lets others take is exposed at once, and nothing takes that back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from safebox.firewall.connectors.calls import ContractCall, allowance, contracts
from safebox.firewall.connectors.chain import ChainConnector
from safebox.firewall.connectors.payrequests import charge_of, given, planned, quote_payment
from safebox.firewall.connectors.transaction import Payment, from_plan
from safebox.firewall.core.action import Action
from safebox.firewall.core.approving import approval_data
from safebox.firewall.core.mandate import ACCOUNT_WALLET
from safebox.firewall.core.money import UNITS_MAX
from safebox.firewall.core.outcome import Outcome, Quote
from safebox.firewall.core.record import Charge
from safebox.firewall.core.signature import taken_in_all
from safebox.firewall.core.signing import Approve, SignMessage, SignTypedData
from safebox.firewall.core.simulated import Move
from safebox.firewall.core.typed_data import Handed, read_handed
from safebox.firewall.core.x402 import PayRequest
from safebox.firewall.errors import CallerError, EffectError
from safebox.firewall.ports import Deliver, RunView, SignerPort

_GIVES: Final = ("approve", "increase_allowance")


class SigningConnector:
    """Approves tokens on the chain, and signs what is no transaction.

    Args:
        chain: sends approvals, and tells what is a contract.
        signer: signs, if the ledger has the allow.
    """

    name = "signing"

    def __init__(self, chain: ChainConnector, signer: SignerPort) -> None:
        self._chain = chain
        self._signer = signer

    async def quote(self, action: Action, run: RunView) -> Quote:
        """Learn what others could take, and for an approval its fee.

        Raises:
            CallerError: The run has no wallet, or the nonce, fee or gas asked for can't work.
            FactsUnavailable: The node didn't tell.
        """
        match action.args:
            case Approve() as args:
                return await self._quote_approval(action, args, run)
            case SignTypedData() as args:
                handed = _handed(args)
                known = await contracts(
                    self._chain.node,
                    (address for taking in handed.takings for address in (taking.token, taking.taker)),
                )
                return Quote(charges=_takings(handed), facts={"contracts": known})
            case PayRequest() as args:
                return await quote_payment(self._chain.node, action, args, run)
            case _:
                return Quote()

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        """Sign, and send what is a transaction.

        Raises:
            EffectError: Nothing was signed.
        """
        match action.args:
            case Approve() as args:
                sent = await self._chain.carry_out(action, run, _planned(action, args, run, plan))
                return _exposing(action, args, sent)
            case SignTypedData() as args:
                run.last_look(action)
                signature = await self._signer.sign_typed_data(run.id, args.typed_data, action.decision)
                run.last_look(action)  # signing took a moment, and a signature can't be taken back
                return _signed(action, signature, _takings(_handed(args)))
            case PayRequest() as args:
                return await self._pay(action, args, run, plan)
            case SignMessage() as args:
                run.last_look(action)
                signature = await self._signer.sign_message(run.id, args.content(), action.decision)
                run.last_look(action)
                return _signed(action, signature, ())
            case _:
                raise EffectError("this connector has nothing to do with that")

    async def reconcile(self, action: Action, run: RunView, plan: dict[str, Any]) -> Outcome:
        """Find out what became of an approval. Whether the agent got a signature nobody can say: it counts as given.

        Raises:
            EffectError: The chain can't be asked now.
        """
        match action.args:
            case Approve() as args:
                found = await self._chain.follow(action, run, _planned(action, args, run, plan))
                return _exposing(action, args, found)
            case SignTypedData() as args:
                return Outcome(
                    status="done",
                    exposures=_exposed(action, _takings(_handed(args))),
                    detail="it may have been signed before the firewall ended",
                )
            case PayRequest() as args:
                return Outcome(
                    status="done",
                    exposures=_exposed(action, (charge_of(args),)),
                    detail="it may have been signed before the firewall ended",
                )
            case _:
                return Outcome(status="done", detail="it may have been signed before the firewall ended")

    async def healthy(self) -> bool:
        """Whether the signer answers; one that is gone is started again by this."""
        return await self._signer.healthy()

    async def close(self) -> None:
        """Nothing is open here: the chain's connector and the signer are closed by who opened them."""

    async def _pay(self, action: Action, args: PayRequest, run: RunView, plan: dict[str, Any]) -> Outcome:
        wanted, data = planned(args, run, plan)
        run.last_look(action)
        signature = await self._signer.sign_typed_data(run.id, data.typed_data, action.decision)
        run.last_look(action)  # signing took a moment, and an authorisation can't be taken back
        return Outcome(
            status="done", result=given(args, wanted, signature), exposures=_exposed(action, (charge_of(args),))
        )

    async def _quote_approval(self, action: Action, args: Approve, run: RunView) -> Quote:
        if run.address is None:
            raise CallerError("this run has no wallet")
        known = await contracts(self._chain.node, (args.token, args.spender))
        call = ContractCall(
            to=args.token,
            data="0x" + approval_data(args).hex(),
            gas=args.gas,
            max_fee_per_gas=args.max_fee_per_gas,
            max_priority_fee_per_gas=args.max_priority_fee_per_gas,
            nonce=args.nonce,
        )
        said = await self._said(args, run.address)
        quote = await self._chain.plan_call(action, run, call, said)
        charges = (*quote.charges, *_given(args))
        return msgspec.structs.replace(quote, charges=charges, facts={**quote.facts, "contracts": known})

    async def _said(self, args: Approve, owner: str) -> Sequence[Move]:
        """What the approval is read to do: all that the spender may take afterwards."""
        if args.amount is not None:
            units = args.amount.units
            if args.method != "approve":
                before = await allowance(self._chain.node, args.token, owner, args.spender)
                units = before + units if args.method == "increase_allowance" else before
            return (_move("allowance", args, min(units, UNITS_MAX)),)
        if args.token_id is not None:
            return (msgspec.structs.replace(_move("allowance", args, 1), token_id=int(args.token_id)),)
        return (_move("operator", args, int(args.approved is True)),)


def _move(kind: Any, args: Approve, units: int) -> Move:
    return Move(kind=kind, contract=args.token, other=args.spender, units=units)


def _handed(args: SignTypedData) -> Handed:
    data = args.parsed()
    return read_handed(data.types, data.primary_type, data.domain, data.message)


def _takings(handed: Handed) -> tuple[Charge, ...]:
    """What typed data lets others take, one charge a token."""
    return tuple(Charge(ACCOUNT_WALLET, amount) for amount in taken_in_all(handed) if amount.units)


def _given(args: Approve) -> tuple[Charge, ...]:
    """What an approval lets its spender take in amounts: all it names, whatever was allowed before."""
    given = args.amount is not None and args.amount.units and args.method in _GIVES
    return (Charge(ACCOUNT_WALLET, args.amount),) if given and args.amount is not None else ()


def _exposed(action: Action, charges: Sequence[Charge]) -> dict[str, Charge]:
    """Exposures under names of their own: what was allowed before may have been taken, so nothing replaces it."""
    return {f"{action.id}:{number}": charge for number, charge in enumerate(charges)}


def _exposing(action: Action, args: Approve, sent: Outcome) -> Outcome:
    if sent.status != "done":
        return sent
    return msgspec.structs.replace(sent, exposures=_exposed(action, _given(args)))


def _signed(action: Action, signature: bytes, charges: Sequence[Charge]) -> Outcome:
    return Outcome(status="done", result={"signature": "0x" + signature.hex()}, exposures=_exposed(action, charges))


def _planned(action: Action, args: Approve, run: RunView, plan: dict[str, Any]) -> Payment:
    """Read the plan back and hold it against the approval it was made for."""
    payment = from_plan(plan)
    call = (args.token, "0x" + approval_data(args).hex(), 0)
    if (payment.signer, payment.sender) != (run.id, run.address) or payment.cancels:
        raise EffectError("the plan is not for this wallet")
    if (payment.to, payment.data, payment.value.units) != call:
        raise EffectError("the plan is not for this approval")
    return payment
