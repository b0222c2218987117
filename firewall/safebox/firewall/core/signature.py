"""What the firewall knows of an approval or a signature before it is given: `facts.token`, `spender`, `signature`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from safebox.firewall.behaviour.lookalike import lookalike
from safebox.firewall.core.mandate import Mandate, TokenGrant
from safebox.firewall.core.messages import classify, matches, read_sign_in
from safebox.firewall.core.money import UNITS_MAX, Amount, token_asset
from safebox.firewall.core.signing import SignMessage, SignTypedData
from safebox.firewall.core.typed_data import Handed, Taking, read_handed

CHAIN_MAX: Final = 2**53 - 1
"""Beyond this an engine may round a number; no chain has such an id."""
FOREVER_S: Final = 10**10
"""Three centuries: every time beyond is the same to policy."""

Contracts = Mapping[str, bool | None]
"""Address → whether it has code, as far as the chain was asked."""


def token_facts(address: str, mandate: Mandate, contracts: Contracts) -> dict[str, Any]:
    """What the mandate says of a token; decimals are the owner's, never the contract's."""
    token = _token(address, mandate)
    return {
        "address": address,
        "name": None if token is None else token.name,
        "listed": token is not None,
        "decimals": None if token is None else token.decimals,
        "standard": None if token is None else token.standard,
        "is_contract": contracts.get(address),
    }


def spender_facts(
    address: str, token: str, mandate: Mandate, own: str | None, contracts: Contracts, *, role: str = "spender"
) -> dict[str, Any]:
    """What is known of who may take a token. Whom the owner pays in this token may be a `payee`, too."""
    grant = _token(token, mandate)
    listed = {each.name: each.address for each in grant.spenders} if grant is not None else {}
    paid = {each.name: each.address for each in grant.payees} if grant is not None else {}
    payees = {**(mandate.wallet.payees if mandate.wallet is not None else {}), **paid}
    known = {**paid, **listed} if role == "payee" else listed
    name = next((name for name, each in known.items() if each == address), None)
    return {
        "address": address,
        "name": name,
        "listed": name is not None,
        "lookalike": None if name is not None else lookalike(address, {**payees, **listed}),
        "is_contract": contracts.get(address),
        "self": own is not None and address == own,
    }


def _token(address: str, mandate: Mandate) -> TokenGrant | None:
    return next((token for token in mandate.tokens or () if token.address == address), None)


def signature_facts(
    args: SignTypedData | SignMessage, mandate: Mandate, own: str | None, contracts: Contracts, now_s: int
) -> dict[str, Any]:
    """`facts.signature`: what is signed, in the firewall's words. What it can't say is null or empty."""
    if isinstance(args, SignTypedData):
        return _typed(args, mandate, own, contracts, now_s)
    return _message(args, mandate, own)


def _blank(standard: str, digest: str) -> dict[str, Any]:
    return {
        "digest": digest, "standard": standard, "chain_id": None, "contract": None, "signer_self": None,
        "takings": [], "totals": [], "valid_s": None, "domain": None, "domain_listed": None, "message_listed": None,
    }  # fmt: skip


def _typed(args: SignTypedData, mandate: Mandate, own: str | None, contracts: Contracts, now_s: int) -> dict[str, Any]:
    data = args.parsed()
    handed = read_handed(data.types, data.primary_type, data.domain, data.message)
    chain = int(data.domain.get("chainId", -1))
    return {
        **_blank(handed.standard, args.digest),
        "chain_id": chain if 0 <= chain <= CHAIN_MAX else None,
        "contract": data.domain.get("verifyingContract"),
        "signer_self": handed.signer is None or handed.signer == own,
        "takings": [_taking(each, mandate, own, contracts) for each in handed.takings],
        "totals": taken_in_all(handed),
        "valid_s": max((_left(each.until, now_s) for each in handed.takings), default=None),
    }


def taken_in_all(handed: Handed) -> list[Amount]:
    """What may be taken of each token together; more than there can be is all there can be, which no budget has."""
    totals = Counter[str]()
    for taking in handed.takings:
        totals[taking.token] += taking.units
    return [Amount(min(units, UNITS_MAX), token_asset(token)) for token, units in sorted(totals.items())]


def _left(until: int, now_s: int) -> int:
    return max(0, min(until - now_s, FOREVER_S))


def _taking(taking: Taking, mandate: Mandate, own: str | None, contracts: Contracts) -> dict[str, Any]:
    return {
        "token": token_facts(taking.token, mandate, contracts),
        "spender": spender_facts(taking.taker, taking.token, mandate, own, contracts, role=taking.role),
        "role": taking.role,
        "amount": Amount(taking.units, token_asset(taking.token)),
    }


def _message(args: SignMessage, mandate: Mandate, own: str | None) -> dict[str, Any]:
    facts = _blank(classify(args.content()), args.digest)
    listed = mandate.signing.messages if mandate.signing is not None else ()
    text = args.text or ""
    if facts["standard"] == "text":
        facts["message_listed"] = any(matches(text, pattern) for pattern in listed)
    if facts["standard"] == "sign_in" and (found := read_sign_in(text)) is not None:
        domains = mandate.signing.domains if mandate.signing is not None else ()
        facts |= {
            "domain": found.domain,
            "domain_listed": found.domain in domains,
            "chain_id": found.chain_id if found.chain_id <= CHAIN_MAX else None,
            "signer_self": own is not None and found.address == own,
        }
    return facts
