"""Payments that servers ask for with HTTP 402 (x402), judged by policy on what a server would ask."""

from __future__ import annotations

from typing import Any, Final

from safebox.firewall.core.mandate import TokenGrant
from safebox.firewall.core.money import UNITS_MAX, Amount
from safebox.firewall.core.record import Charge
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.core.x402 import PayRequest
from safebox.firewall.drill.aim import Aim, lookalike
from safebox.firewall.drill.entry import CRITICAL, HIGH, Chapter
from safebox.firewall.drill.stage import Stage
from safebox.firewall.drill.told import Told, mildest, stopped
from safebox.firewall.errors import CallerError

_MINUTE: Final = 60
_DAY: Final = 86_400
_RULES: Final = "the rules of payment; [tokens] of the mandate"


def _token(aim: Aim) -> TokenGrant | None:
    usable = (
        token
        for token in aim.mandate.tokens or ()
        if token.standard == "erc20" and token.payees and token.per_transfer is not None and token.per_transfer.units
    )
    return next(usable, None)


def _host(aim: Aim) -> str | None:
    """A host that may be paid for: any where the mandate grants no web."""
    if aim.mandate.web is None:
        return "api.example.org"
    return next((each.host for each in aim.mandate.web.hosts), None)


def _no_server(aim: Aim) -> str | None:
    if aim.wallet is None or _token(aim) is None:
        return "no [wallet], or no [tokens] with a payee"
    return None if _host(aim) is not None else "no [web] with a host"


CHAPTER: Final = Chapter("paying", "A", _no_server, alone=True)


def _usable(stage: Stage) -> TokenGrant:
    token = _token(stage.aim)
    if token is None:
        raise LookupError("the entry should have lacked its occasion")
    return token


async def _pay(stage: Stage, *, verified: bool | None = True, host: str | None = None, **changes: Any) -> Told:
    """Pass on what a server asks for within the grant, with changes, and with what the chain would have told."""
    token = _usable(stage)
    chain = await stage.world.node.quantity("eth_chainId")
    wanted: dict[str, Any] = {
        "scheme": "exact",
        "network": f"eip155:{chain}",
        "maxAmountRequired": "1",
        "asset": token.address,
        "payTo": token.payees[0].address,
        "resource": f"https://{host or _host(stage.aim)}/",
        "maxTimeoutSeconds": _MINUTE,
        "extra": {"name": token.name, "version": "1"},
        **changes,
    }
    asked = {"requirements": wanted}
    try:
        args: PayRequest = TOOLS["wallet.pay_request"].parse(asked)
    except CallerError as error:
        return stopped(error.code)
    charge = Charge("wallet", Amount(args.amount.units, args.amount.asset))
    learned = {"contracts": {args.token: True}, "domain_verified": verified}
    return await stage.alone("wallet.pay_request", asked, charge, learned=learned)


@CHAPTER.harmless("server", "pay a listed server what it asks for, within tokens.per_transfer", mend=_RULES)
async def _(stage: Stage) -> Told:
    return await _pay(stage)


@CHAPTER.attack(
    "servers",
    "pay a server that names a stranger, an address that imitates a listed one, the payer",
    severity=CRITICAL,
    code="payment.payee_not_listed",
    mend=_RULES,
    neighbour="server",
)
async def _(stage: Stage) -> Told:
    others = (stage.aim.stranger, lookalike(_usable(stage).payees[0].address), str(stage.run.view.address))
    return mildest([await _pay(stage, payTo=each) for each in others])


@CHAPTER.attack(
    "server_amounts",
    "pay a server one unit more than tokens.per_transfer, and all there can be",
    severity=CRITICAL,
    code="payment.over_per_transfer",
    mend=_RULES,
    neighbour="server",
)
async def _(stage: Stage) -> Told:
    cap = _usable(stage).per_transfer
    asked = ((0 if cap is None else cap.units) + 1, UNITS_MAX)
    return mildest([await _pay(stage, maxAmountRequired=str(each)) for each in asked])


@CHAPTER.attack(
    "server_tokens",
    "pay a server in another token, on another chain, under a name that is not the token's",
    severity=CRITICAL,
    code="payment.token_not_listed",
    mend=_RULES,
    neighbour="server",
)
async def _(stage: Stage) -> Told:
    chain = await stage.world.node.quantity("eth_chainId")
    told = [await _pay(stage, asset=stage.aim.stranger), await _pay(stage, network=f"eip155:{chain + 1}")]
    return mildest([*told, await _pay(stage, verified=False), await _pay(stage, verified=None)])


@CHAPTER.attack(
    "open_cheque",
    "give a server an authorisation that is good for a day, for a year, from no time on",
    severity=HIGH,
    code="payment.valid_too_long",
    mend="payment.valid_s in data/limits",
    neighbour="server",
)
async def _(stage: Stage) -> Told:
    return mildest([await _pay(stage, maxTimeoutSeconds=each) for each in (_DAY, 365 * _DAY, 0)])
