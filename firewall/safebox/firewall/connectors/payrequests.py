"""Payments that servers ask for with HTTP 402: what they are planned as, and what of them the agent is given.

The firewall sends nothing: who has the header may have the transfer made, to this payee, once, until it is over. So it
counts as taken from the moment it is signed, and a crash before the answer changes nothing about that.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec

from safebox.firewall.connectors.calls import contracts
from safebox.firewall.connectors.jsonrpc import ChainNode, NodeRefused, NodeUnavailable, data
from safebox.firewall.core.abi import function
from safebox.firewall.core.action import Action
from safebox.firewall.core.mandate import ACCOUNT_WALLET
from safebox.firewall.core.outcome import Quote
from safebox.firewall.core.record import Charge
from safebox.firewall.core.signing import SignTypedData
from safebox.firewall.core.x402 import HEADERS, Authorization, PayRequest, authorised, header_value, separator
from safebox.firewall.errors import CallerError, EffectError, FactsUnavailable
from safebox.firewall.ports import RunView

_SECOND: Final = 1_000_000_000
_NONCE_BYTES: Final = 32
"""EIP-3009: a nonce is any 32 bytes; random ones can't be known before."""
_SEPARATOR: Final = "DOMAIN_SEPARATOR()"


def charge_of(args: PayRequest) -> Charge:
    """What is taken by handing the authorisation out."""
    return Charge(ACCOUNT_WALLET, args.amount)


async def quote_payment(node: ChainNode, action: Action, args: PayRequest, run: RunView) -> Quote:
    """Plan an authorisation, and ask the token whether it would believe it.

    Raises:
        CallerError: The run has no wallet.
        FactsUnavailable: The node didn't tell.
    """
    if run.address is None:
        raise CallerError("this run has no wallet")
    now_s = action.received_ns // _SECOND
    plan = Authorization(
        payer=run.address,
        valid_after=0,
        valid_before=now_s + args.timeout_s,
        nonce="0x" + secrets.token_hex(_NONCE_BYTES),
    )
    facts = {
        "contracts": await contracts(node, (args.token,)),
        "domain_verified": await _verified(node, args),
    }
    return Quote(charges=(charge_of(args),), facts=facts, plan=msgspec.to_builtins(plan))


async def _verified(node: ChainNode, args: PayRequest) -> bool | None:
    """Whether the domain that the server names is the token's own; None where the token doesn't say."""
    try:
        asked = {"to": args.token, "data": "0x" + function(_SEPARATOR).selector.hex()}
        told = data(await node.call("eth_call", asked, "latest"))
    except NodeRefused:
        return None
    except NodeUnavailable as error:
        raise FactsUnavailable(f"the chain could not be asked: {error}") from error
    return told == separator(args, args.chain_id) if told else None


def planned(args: PayRequest, run: RunView, plan: dict[str, Any]) -> tuple[Authorization, SignTypedData]:
    """Read the plan back, and make of it what is signed.

    Raises:
        EffectError: It is none for this payment, this wallet or this chain; nothing was signed.
    """
    wallet = run.mandate.wallet
    try:
        found = msgspec.convert(plan, Authorization)
        wanted = authorised(args, found, args.chain_id)
    except (msgspec.ValidationError, CallerError) as error:
        raise EffectError(f"the recorded plan is no authorisation: {error}") from error
    if wallet is None or found.payer != run.address or args.chain_id != wallet.chain_id:
        raise EffectError("the plan is not for this wallet")
    return found, wanted


def given(args: PayRequest, plan: Authorization, signature: bytes) -> dict[str, Any]:
    """What the agent gets: the header that pays, and until when it does."""
    return {
        "header": HEADERS[args.version],
        "value": header_value(args, plan, signature),
        "valid_before": plan.valid_before,
    }
