"""Calls of contracts on their way to the chain: what they take at worst, and the last look at their bytes."""

from __future__ import annotations

from typing import Final

import msgspec

from safebox.firewall.connectors.calls import ContractCall
from safebox.firewall.connectors.transaction import Payment
from safebox.firewall.core.calls import CallContract, outflow, read_again
from safebox.firewall.core.mandate import ACCOUNT_WALLET
from safebox.firewall.core.money import UNITS_MAX, Amount
from safebox.firewall.errors import CallerError, EffectError
from safebox.firewall.ports import Charge, Outcome

NATIVE: Final = "ETH"


def as_call(args: CallContract) -> ContractCall:
    """What is asked for, without what it was read to do."""
    return ContractCall(
        to=args.to,
        data=args.data,
        value=args.value,
        gas=args.gas,
        max_fee_per_gas=args.max_fee_per_gas,
        max_priority_fee_per_gas=args.max_priority_fee_per_gas,
        nonce=args.nonce,
    )


def charges(args: CallContract, worst: Amount) -> tuple[Charge, ...]:
    """What a call takes at worst: ether with the fee, and each token that leaves or that others may take.

    A contract that pays out of what it holds itself counts, too: it is the run's account, or a batch that was fed.
    """
    found = [Charge(ACCOUNT_WALLET, Amount(min(worst.units + _held(args), UNITS_MAX), NATIVE))]
    return (*found, *_tokens(args))


def settled(args: CallContract, outcome: Outcome) -> Outcome:
    """What a call took, once it is known to have been done; of one that failed only the fee was paid."""
    if outcome.status != "done":
        return outcome
    held = _held(args)
    more = (Charge(ACCOUNT_WALLET, Amount(held, NATIVE)),) if held else ()
    return msgspec.structs.replace(outcome, charges=(*outcome.charges, *more, *_tokens(args)))


def check_again(args: CallContract, payment: Payment) -> None:
    """See that the bytes about to be signed say what was judged, field by field.

    Raises:
        EffectError: They say something else; nothing was signed.
    """
    if (payment.to, payment.value, payment.data) != (args.to, args.value, args.data):
        raise EffectError("the plan is not for this call")
    try:
        again = read_again(args)
    except CallerError as error:
        raise EffectError(f"the call can't be read a second time: {error}") from error
    if again != args.leaves:
        raise EffectError("the call says something else than what was decided")


def _held(args: CallContract) -> int:
    """The ether that leaves without having come along."""
    leaving = next((each.units for each in outflow(args.leaves) if each.asset == NATIVE), 0)
    return max(0, leaving - args.value.units)


def _tokens(args: CallContract) -> tuple[Charge, ...]:
    return tuple(Charge(ACCOUNT_WALLET, each) for each in outflow(args.leaves) if each.asset != NATIVE)
