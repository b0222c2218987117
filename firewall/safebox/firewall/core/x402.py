"""A payment that a server asks for with HTTP 402 (x402, scheme `exact`), and the authorisation that pays it (EIP-3009).

Rule 1: what is signed is made here, from what was asked and what the firewall planned; nobody brings typed data along.
Rule 2: the contract that believes it and its chain are the mandate's, so a signature is good there or nowhere.
Rule 3: the times and the nonce are the firewall's. A server says only how long it needs at most.

Sources: x402 specification, versions 1 and 2, with their HTTP transports; `scheme_exact_evm`; EIP-3009; EIP-712.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from safebox.firewall.behaviour.lookalike import lookalike
from safebox.firewall.core.arguments import parse_address
from safebox.firewall.core.digests import domain_separator
from safebox.firewall.core.mandate import Mandate, TokenGrant
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.core.signature import Contracts, token_facts
from safebox.firewall.core.signing import AskTypedData, SignTypedData, normalise_typed_data, parse_units
from safebox.firewall.core.typed_data import Member
from safebox.firewall.core.web import URL_MAX, AskWeb, host_kind, normalise_web
from safebox.firewall.errors import CallerError

TIMEOUT_MAX: Final = 10**9
"""Thirty years: policy bounds how long an authorisation lives, this bounds arithmetic."""
NAME_MAX: Final = 128
"""Characters of a domain's name or version; tokens have a few."""

ECHO_MAX: Final = 4_096
"""Characters that go into one header; servers take 8 KiB of headers and more, and base64 adds a third."""

NETWORKS: Final[dict[str, int]] = {
    "base": 8453,
    "base-sepolia": 84532,
    "avalanche": 43114,
    "avalanche-fuji": 43113,
    "polygon": 137,
    "polygon-amoy": 80002,
    "sei": 1329,
    "sei-testnet": 1328,
    "iotex": 4689,
    "peaq": 3338,
    "abstract": 2741,
    "abstract-testnet": 11124,
}
"""The names that version 1 has for chains; version 2 names every chain by its id (CAIP-2)."""
HEADERS: Final[dict[int, str]] = {1: "X-PAYMENT", 2: "PAYMENT-SIGNATURE"}
"""The request header that carries the payment, by the protocol's version."""

_CAIP2: Final = re.compile(r"eip155:([1-9][0-9]{0,15})", re.ASCII)
"""Sixteen digits stay exact in every policy engine."""
_NONCE: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
_TYPE: Final = "TransferWithAuthorization"
_MEMBERS: Final = (
    Member("from", "address"),
    Member("to", "address"),
    Member("value", "uint256"),
    Member("validAfter", "uint256"),
    Member("validBefore", "uint256"),
    Member("nonce", "bytes32"),
)
_DOMAIN: Final = (
    Member("name", "string"),
    Member("version", "string"),
    Member("chainId", "uint256"),
    Member("verifyingContract", "address"),
)

Label = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX)]


class Extra(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a server says about its token: the name and version in the token's domain, and how the transfer is made."""

    name: Label
    version: Label
    assetTransferMethod: Literal["eip3009"] | None = None  # noqa: N815 - the specification's spelling


class Requirements(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """One of the ways to pay that a server accepts, as it wrote it; amounts in the token's smallest unit."""

    scheme: Literal["exact"]
    network: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    asset: str
    pay_to: str
    max_timeout_seconds: Annotated[int, msgspec.Meta(ge=1, le=TIMEOUT_MAX)]
    extra: Extra
    max_amount_required: str | None = None
    amount: str | None = None
    resource: Annotated[str, msgspec.Meta(max_length=URL_MAX)] | None = None
    description: str | None = None
    mime_type: str | None = None
    output_schema: Any = None


class AskPayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent was answered with status 402: one element of `accepts`.

    `resource` is the URL it asked, which version 2 says beside `accepts`.
    """

    requirements: Requirements
    version: Literal[1, 2] = 1
    resource: Annotated[str, msgspec.Meta(max_length=URL_MAX)] | None = None


class PayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A payment asked for, normalised: to whom, how much of which token, for what.

    `domain_name` and `domain_version` are the server's words; the token itself is asked whether they are its own.
    `accepted` is what version 2 wants repeated to the letter, as JSON; of version 1 it is empty.
    """

    version: int
    network: str
    chain_id: int
    token: str
    payee: str
    amount: Amount
    timeout_s: int
    resource: str
    host: str
    domain_name: str
    domain_version: str
    accepted: str


class Authorization(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plan: who pays, from when until when (seconds since the epoch) and under which nonce."""

    payer: str
    valid_after: int
    valid_before: int
    nonce: str


def normalise_pay_request(ask: AskPayRequest) -> PayRequest:
    """Read what a server asks for.

    Raises:
        CallerError: if it isn't whole, of another version, or can't be read in one way.
    """
    said = ask.requirements
    text = said.max_amount_required if ask.version == 1 else said.amount
    if text is None or (said.max_amount_required is not None and said.amount is not None):
        raise CallerError(f"version {ask.version} has {'maxAmountRequired' if ask.version == 1 else 'amount'}, alone")
    resource = said.resource if ask.resource is None else ask.resource
    if resource is None or said.resource not in (None, resource):
        raise CallerError("the resource is missing, or said in two ways")
    token, units = parse_address(said.asset), parse_units(text)
    if not units:
        raise CallerError("nothing is asked for")
    return PayRequest(
        version=ask.version,
        network=said.network,
        chain_id=_chain(said.network),
        token=token,
        payee=parse_address(said.pay_to),
        amount=Amount(units, token_asset(token)),
        timeout_s=said.max_timeout_seconds,
        resource=resource,
        host=_host(resource),
        domain_name=said.extra.name,
        domain_version=said.extra.version,
        accepted=_echo(said) if ask.version == 2 else "",  # noqa: PLR2004 - the protocol's version
    )


def _chain(network: str) -> int:
    known = NETWORKS.get(network)
    if known is not None:
        return known
    found = _CAIP2.fullmatch(network)
    if found is None:
        raise CallerError(f"{network[:64]!r} is no network that is known here; eip155:ID names any chain")
    return int(found[1])


def _echo(said: Requirements) -> str:
    text = msgspec.json.encode(said).decode()
    if len(text) > ECHO_MAX:
        raise CallerError("what the server asks for is too long to be repeated", code="request.too_large")
    return text


def _host(resource: str) -> str:
    """The host of a URL, read as a web request's is."""
    request = normalise_web(AskWeb(method="GET", url=resource))
    if request.credentials or host_kind(request.host) == "odd":
        raise CallerError("the resource has credentials in it, or a host that can be read in two ways")
    return request.host


def authorised(args: PayRequest, plan: Authorization, chain_id: int) -> SignTypedData:
    """The typed data that pay this and nothing else: the only ones that are ever signed for it.

    Raises:
        CallerError: if the plan is none.
    """
    if _NONCE.fullmatch(plan.nonce) is None or not 0 <= plan.valid_after < plan.valid_before:
        raise CallerError("the plan is no authorisation")
    return normalise_typed_data(
        AskTypedData(
            types={"EIP712Domain": _DOMAIN, _TYPE: _MEMBERS},
            primary_type=_TYPE,
            domain=_domain(args, chain_id),
            message={"from": plan.payer, **_terms(args, plan)},
        )
    )


def separator(args: PayRequest, chain_id: int) -> bytes:
    """What the token must say of itself (`DOMAIN_SEPARATOR`) if the domain is its own."""
    return domain_separator(_DOMAIN, _domain(args, chain_id))


def _domain(args: PayRequest, chain_id: int) -> dict[str, Any]:
    return {
        "name": args.domain_name,
        "version": args.domain_version,
        "chainId": str(chain_id),
        "verifyingContract": args.token,
    }


def _terms(args: PayRequest, plan: Authorization) -> dict[str, str]:
    return {
        "to": args.payee,
        "value": str(args.amount.units),
        "validAfter": str(plan.valid_after),
        "validBefore": str(plan.valid_before),
        "nonce": plan.nonce,
    }


def header_value(args: PayRequest, plan: Authorization, signature: bytes) -> str:
    """The value of the request header that pays: base64 of the protocol's JSON."""
    payload = {
        "signature": "0x" + signature.hex(),
        "authorization": {"from": plan.payer, **_terms(args, plan)},
    }
    document: dict[str, Any] = {"x402Version": args.version, "payload": payload}
    if args.version == 1:
        document |= {"scheme": "exact", "network": args.network}
    else:
        document |= {"resource": {"url": args.resource}, "accepted": msgspec.json.decode(args.accepted)}
    return base64.b64encode(msgspec.json.encode(document)).decode()


def payment_facts(
    args: PayRequest, mandate: Mandate, own: str | None, contracts: Contracts, verifies: Any
) -> dict[str, Any]:
    """`facts.payment`: what the mandate says of token and payee; `verifies` is what the token said."""
    token = next((each for each in mandate.tokens or () if each.address == args.token), None)
    return {
        "token": token_facts(args.token, mandate, contracts),
        "payee": _payee(args.payee, token, mandate, own),
        "domain_verified": verifies if isinstance(verifies, bool) else None,
    }


def _payee(address: str, token: TokenGrant | None, mandate: Mandate, own: str | None) -> dict[str, Any]:
    listed = {each.name: each.address for each in token.payees} if token is not None else {}
    known: Mapping[str, str] = {**(mandate.wallet.payees if mandate.wallet is not None else {}), **listed}
    name = next((name for name, each in listed.items() if each == address), None)
    return {
        "address": address,
        "name": name,
        "listed": name is not None,
        "lookalike": None if name is not None else lookalike(address, known),
        "self": own is not None and address == own,
    }
