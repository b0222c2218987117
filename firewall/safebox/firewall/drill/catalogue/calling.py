"""Calls of contracts, judged by policy on what is decoded from their bytes: tokens, batches, listed functions."""

from __future__ import annotations

from typing import Any, Final

from safebox.firewall.core.abi import function, write_arguments
from safebox.firewall.core.calls import CallContract, accounts_of, outflow, readings
from safebox.firewall.core.mandate import TokenGrant
from safebox.firewall.core.money import UNITS_MAX, Amount
from safebox.firewall.core.record import Charge
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.drill.aim import Aim, lookalike
from safebox.firewall.drill.entry import CRITICAL, Chapter
from safebox.firewall.drill.node import MOST_FEE
from safebox.firewall.drill.stage import Stage
from safebox.firewall.drill.told import Told, mildest, stopped
from safebox.firewall.errors import CallerError

GAS: Final = 80_000
_RULES: Final = "the rules of call; [tokens] of the mandate"


def _token(aim: Aim) -> TokenGrant | None:
    usable = (
        token
        for token in aim.mandate.tokens or ()
        if token.standard == "erc20" and token.payees and token.per_transfer is not None and token.per_transfer.units
    )
    return next(usable, None)


def _no_token(aim: Aim) -> str | None:
    if aim.wallet is None or min(aim.quiet, aim.wallet.budget.units) < 2 * GAS * MOST_FEE:
        return "no [wallet] that pays for gas"
    return None if _token(aim) is not None else "no [tokens] with a payee"


CHAPTER: Final = Chapter("calling", "A", _no_token, alone=True)


def _usable(stage: Stage) -> TokenGrant:
    token = _token(stage.aim)
    if token is None:
        raise LookupError("the entry should have lacked its occasion")
    return token


def _data(signature: str, *values: Any) -> bytes:
    found = function(signature)
    return found.selector + write_arguments(found.types, values)


def _transfer(to: str, units: int) -> bytes:
    return _data("transfer(address,uint256)", to, units)


async def _call(stage: Stage, to: str, data: bytes) -> Told:
    """Ask for a call as the gateway would, with what the chain would have told."""
    known = [{"address": each.address, "standard": each.standard} for each in readings(stage.aim.mandate)]
    asked: dict[str, Any] = {"to": to, "data": "0x" + data.hex(), "contracts": known}
    asked |= {"gas": GAS, "max_fee_per_gas": f"{MOST_FEE} wei"}
    try:
        args: CallContract = TOOLS["wallet.call"].parse(asked)
    except CallerError as error:
        return stopped(error.code)
    charges = [Charge("wallet", Amount(GAS * MOST_FEE, stage.aim.asset))]
    charges += [Charge("wallet", each) for each in outflow(args.leaves)]
    chain = await stage.world.node.quantity("eth_chainId")
    wallet = {"chain_id": chain, "nonce": 0, "balance": None, "over_ceiling": False, "owner": stage.owner_address}
    tried = {"by": "simulate_v1", "reverts": False, "reason": None, "more": list[Any]()}
    learned = {"wallet": wallet, "contracts": dict.fromkeys(accounts_of(args), True), "simulation": tried}
    return await stage.alone("wallet.call", asked, *charges, learned=learned)


@CHAPTER.harmless("pay", "pay a listed payee in a listed token, within tokens.per_transfer", mend=_RULES)
async def _(stage: Stage) -> Told:
    return await _call(stage, _usable(stage).address, _transfer(_usable(stage).payees[0].address, 1))


@CHAPTER.attack(
    "payees",
    "pay a stranger in a token, one whose address imitates a listed one, the token itself",
    severity=CRITICAL,
    code="call.payee_not_listed",
    mend=_RULES,
    neighbour="pay",
)
async def _(stage: Stage) -> Told:
    token = _usable(stage)
    others = (stage.aim.stranger, lookalike(token.payees[0].address), token.address)
    return mildest([await _call(stage, token.address, _transfer(each, 1)) for each in others])


@CHAPTER.attack(
    "amounts",
    "pay one unit more than tokens.per_transfer, and all there can be",
    severity=CRITICAL,
    code="call.over_per_transfer",
    mend=_RULES,
    neighbour="pay",
)
async def _(stage: Stage) -> Told:
    token = _usable(stage)
    payee, cap = token.payees[0].address, 0 if token.per_transfer is None else token.per_transfer.units
    return mildest([await _call(stage, token.address, _transfer(payee, each)) for each in (cap + 1, UNITS_MAX)])


@CHAPTER.attack(
    "contracts",
    "pay in another token, call an unknown function, hide a payment in a batch nobody listed",
    severity=CRITICAL,
    code="call.token_not_listed",
    mend="the rules of call; [tokens] and [contracts] of the mandate",
    neighbour="pay",
)
async def _(stage: Stage) -> Told:
    token = _usable(stage)
    payment = _transfer(token.payees[0].address, 1)
    batch = _data("aggregate3((address,bool,bytes)[])", ((token.address, False, payment),))
    calls = ((stage.aim.stranger, payment), (token.address, b"\xde\xad\xbe\xef"), (stage.aim.stranger, batch))
    return mildest([await _call(stage, to, data) for to, data in calls])


@CHAPTER.attack(
    "bytes",
    "pay with bytes left over, dirt in an address, three bytes",
    mend="core/calldata.py",
    neighbour="pay",
)
async def _(stage: Stage) -> Told:
    token = _usable(stage)
    payment = _transfer(token.payees[0].address, 1)
    odd = (payment + b"\0", payment[:4] + b"\1" + payment[5:], payment[:3])
    return mildest([await _call(stage, token.address, each) for each in odd])
