"""Approvals of tokens and signatures that others can use later, normalised: nothing of them is left to be guessed.

A token approval is decoded already: which call, of which token, for whom, how much. Typed data (EIP-712) is read along
its own types; numbers become decimal text, addresses are checksummed, and what doesn't fit its type is refused.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Final, Literal

import msgspec

from safebox.firewall.core.arguments import BODY_MAX, GAS_MAX, parse_address, parse_wei
from safebox.firewall.core.money import UNITS_MAX, Amount, token_asset
from safebox.firewall.core.typed_data import DOMAIN, Member, Types, normalise_struct
from safebox.firewall.errors import CallerError

TYPES_MAX: Final = 32
"""Seaport's orders, the largest in common use, have six types."""
MEMBERS_MAX: Final = 64
_UNITS: Final = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)
_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)

Method = Literal["approve", "increase_allowance", "decrease_allowance", "set_approval_for_all"]
Standard = Literal["erc20", "erc721", "erc1155"]
_METHODS: Final[dict[str, frozenset[str]]] = {
    "erc20": frozenset({"approve", "increase_allowance", "decrease_allowance"}),
    "erc721": frozenset({"approve", "set_approval_for_all"}),
    "erc1155": frozenset({"set_approval_for_all"}),
}
"""The calls each standard has: EIP-20 (and OpenZeppelin's two more), EIP-721, EIP-1155."""

Gas = Annotated[int, msgspec.Meta(ge=21_000, le=GAS_MAX)]
Nonce = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class AskApproval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decoded approval as a gateway writes it; amounts and token ids are decimal text in smallest units."""

    token: str
    spender: str
    standard: Standard
    method: Method
    amount: str | None = None
    token_id: str | None = None
    approved: bool | None = None
    gas: Gas | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None
    nonce: Nonce | None = None


class Approve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token approval. `amount` is of ERC-20, `token_id` of ERC-721, `approved` of setApprovalForAll; else null."""

    token: str
    spender: str
    standard: Standard
    method: Method
    amount: Amount | None
    token_id: str | None
    approved: bool | None
    gas: Gas | None
    max_fee_per_gas: Amount | None
    max_priority_fee_per_gas: Amount | None
    nonce: Nonce | None


class AskTypedData(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"primary_type": "primaryType"}):
    """Typed data as wallets are given it (EIP-712)."""

    types: Annotated[dict[str, tuple[Member, ...]], msgspec.Meta(max_length=TYPES_MAX)]
    primary_type: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    domain: dict[str, Any]
    message: dict[str, Any]


class TypedData(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"primary_type": "primaryType"}):
    """Typed data in normal form: every value fits its type, numbers are decimal text."""

    types: dict[str, tuple[Member, ...]]
    primary_type: str
    domain: dict[str, Any]
    message: dict[str, Any]


class SignTypedData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Typed data to sign, as one canonical JSON text: policy is told what it hands over in the facts, exactly."""

    primary_type: str
    typed_data: str
    digest: str

    def parsed(self) -> TypedData:
        """The typed data itself."""
        return msgspec.json.decode(self.typed_data, type=TypedData)


class AskMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to sign: its bytes in hexadecimal, and by which method."""

    message: Annotated[str, msgspec.Meta(max_length=2 * BODY_MAX)]
    method: Literal["personal_sign", "eth_sign"] = "personal_sign"


class SignMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to sign. `text` is what the bytes say, null if they are no text."""

    message: str
    method: Literal["personal_sign", "eth_sign"]
    size: int
    text: str | None
    digest: str

    def content(self) -> bytes:
        """The bytes."""
        return bytes.fromhex(self.message[2:])


def normalise_approval(ask: AskApproval) -> Approve:
    """Checksum the addresses, read the amount as one of this very token, refuse what the call doesn't have."""
    if ask.method not in _METHODS[ask.standard]:
        raise CallerError(f"{ask.standard} has no {ask.method}")
    wanted = {"amount": ask.standard == "erc20", "token_id": ask.standard == "erc721" and ask.method == "approve"}
    wanted["approved"] = ask.method == "set_approval_for_all"
    for field, needed in wanted.items():
        if (getattr(ask, field) is not None) is not needed:
            raise CallerError(f"{ask.method} of {ask.standard} {'needs' if needed else 'has no'} {field}")
    token = parse_address(ask.token)
    return Approve(
        token=token,
        spender=parse_address(ask.spender),
        standard=ask.standard,
        method=ask.method,
        amount=None if ask.amount is None else Amount(parse_units(ask.amount), token_asset(token)),
        token_id=None if ask.token_id is None else str(parse_units(ask.token_id)),
        approved=ask.approved,
        gas=ask.gas,
        max_fee_per_gas=None if ask.max_fee_per_gas is None else parse_wei(ask.max_fee_per_gas),
        max_priority_fee_per_gas=(
            None if ask.max_priority_fee_per_gas is None else parse_wei(ask.max_priority_fee_per_gas)
        ),
        nonce=ask.nonce,
    )


def parse_units(text: str) -> int:
    """Read a whole number of smallest units.

    Raises:
        CallerError: if it is none, or more than an EVM word holds.
    """
    if _UNITS.fullmatch(text) is None or int(text) > UNITS_MAX:
        raise CallerError(f"{text[:90]!r} is no whole number of smallest units within 256 bit")
    return int(text)


def normalise_typed_data(ask: AskTypedData) -> SignTypedData:
    """Read domain and message along their types.

    Raises:
        CallerError: if a type is unknown or a value doesn't fit, is missing, or is one too many.
    """
    types: Types = dict(ask.types)
    if any(len(members) > MEMBERS_MAX for members in types.values()):
        raise CallerError(f"a type has more than {MEMBERS_MAX} members")
    if ask.primary_type not in types:
        raise CallerError("primaryType is none of the types")
    declared = types.get("EIP712Domain", tuple(member for member in DOMAIN if member.name in ask.domain))
    if not set(declared) <= set(DOMAIN):
        raise CallerError("EIP712Domain has a member that EIP-712 doesn't know")
    typed_data = TypedData(
        types=types,
        primary_type=ask.primary_type,
        domain=normalise_struct({"EIP712Domain": declared}, "EIP712Domain", ask.domain),
        message=normalise_struct(types, ask.primary_type, ask.message),
    )
    text = msgspec.json.encode(typed_data, order="deterministic")
    if len(text) > BODY_MAX:
        raise CallerError("the typed data is too large", code="request.too_large")
    digest = "sha256:" + hashlib.sha256(text).hexdigest()
    return SignTypedData(primary_type=ask.primary_type, typed_data=text.decode(), digest=digest)


def normalise_message(ask: AskMessage) -> SignMessage:
    """Read the bytes; what people could read in them is shown as text."""
    message = ask.message.lower()
    if _HEX.fullmatch(message) is None:
        raise CallerError("message is 0x and its bytes in hexadecimal")
    content = bytes.fromhex(message[2:])
    if len(content) > BODY_MAX:
        raise CallerError("the message is too large", code="request.too_large")
    try:
        text: str | None = content.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return SignMessage(message=message, method=ask.method, size=len(content), text=text, digest=digest)
