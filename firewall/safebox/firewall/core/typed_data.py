"""Typed structured data (EIP-712): read along its types, and what the known kinds of it hand over to whom.

A kind is known by its whole definition, never by a name: `Permit` with other members is something else, and what isn't
known may hand over anything. What the firewall can say of the known ones is in `Handed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

from safebox.firewall.core.arguments import parse_address
from safebox.firewall.errors import CallerError


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One member of a struct type."""

    name: str
    type: str


Types = dict[str, tuple[Member, ...]]

DOMAIN: Final = (
    Member("name", "string"),
    Member("version", "string"),
    Member("chainId", "uint256"),
    Member("verifyingContract", "address"),
    Member("salt", "bytes32"),
)
"""What a domain may say (EIP-712, definition of domainSeparator)."""

_ARRAY: Final = re.compile(r"(.+)\[([1-9][0-9]{0,3}|)\]", re.ASCII)
_INTEGER: Final = re.compile(r"(u?)int([1-9][0-9]{0,2})?", re.ASCII)
_BYTES: Final = re.compile(r"bytes([1-9]|[12][0-9]|3[0-2])?", re.ASCII)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,77})", re.ASCII)
_HEX_NUMBER: Final = re.compile(r"0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,63})", re.ASCII)
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,127}", re.ASCII)


def normalise_struct(types: Mapping[str, tuple[Member, ...]], name: str, value: Any) -> dict[str, Any]:
    """A struct's values in normal form.

    Raises:
        CallerError: if a member is missing, unknown, named twice, or doesn't fit its type.
    """
    members = types[name]
    names = [member.name for member in members]
    if any(_NAME.fullmatch(each) is None for each in names) or len(set(names)) != len(names):
        raise CallerError(f"the type {name[:80]!r} has a member without a proper name of its own")
    if not isinstance(value, dict) or cast("dict[str, Any]", value).keys() != set(names):
        raise CallerError(f"a {name[:80]!r} must have exactly the members of its type")
    return {member.name: _normalise(types, member.type, value[member.name]) for member in members}


def _normalise(types: Mapping[str, tuple[Member, ...]], kind: str, value: Any) -> Any:
    if (array := _ARRAY.fullmatch(kind)) is not None:
        return _items(types, array[1], array[2], value)
    if kind in types:
        return normalise_struct(types, kind, value)
    if (integer := _INTEGER.fullmatch(kind)) is not None:
        return str(_integer(integer[1] == "u", int(integer[2] or 256), value))
    if (octets := _BYTES.fullmatch(kind)) is not None:
        return _octets(octets[1], value)
    match kind, value:
        case ("address", str()):
            return parse_address(value)
        case ("bool", bool()) | ("string", str()):
            return value
        case _:
            raise CallerError(f"a value doesn't fit its type {kind[:80]!r}")


def _items(types: Mapping[str, tuple[Member, ...]], kind: str, number: str, value: Any) -> list[Any]:
    items: list[Any] | None = value if isinstance(value, list) else None  # pyright: ignore[reportUnknownVariableType]
    if items is None or (number and len(items) != int(number)):
        raise CallerError(f"a value is no list of {number or 'any number of'} {kind[:80]!r}")
    return [_normalise(types, kind, item) for item in items]


def _integer(unsigned: bool, bits: int, value: Any) -> int:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    elif isinstance(value, str) and _HEX_NUMBER.fullmatch(value):
        value = int(value, 16)
    if type(value) is not int or bits % 8 or bits > 256:  # noqa: PLR2004 - an EVM word
        raise CallerError("a number is no whole number")
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not low <= value <= high:
        raise CallerError("a number is beyond its type")
    return value


def _octets(size: str | None, value: Any) -> str:
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        raise CallerError("bytes are 0x and hexadecimal digits")
    if size is not None and len(value) != 2 + 2 * int(size):
        raise CallerError(f"bytes{size} must be {size} bytes")
    return value.lower()


class Taking(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a signature lets somebody take: so many units of a token, until a time (seconds since the epoch).

    `role` is `spender` for who may take it later, and `payee` for who gets it.
    """

    token: str
    taker: str
    role: str
    units: int
    until: int


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """What typed data hands over: its `standard`, who must sign it, and what may be taken (nothing if unknown)."""

    standard: str
    signer: str | None
    takings: tuple[Taking, ...]


def encode_type(types: Mapping[str, tuple[Member, ...]], primary: str) -> str:
    """The definition of a type and of all it refers to, as EIP-712's encodeType writes it."""
    found, waiting = {primary}, [primary]
    while waiting:
        for member in types[waiting.pop()]:
            base = member.type.partition("[")[0]
            if base in types and base not in found:
                found.add(base)
                waiting.append(base)
    return "".join(_definition(types, name) for name in (primary, *sorted(found - {primary})))


def _definition(types: Mapping[str, tuple[Member, ...]], name: str) -> str:
    return f"{name}({','.join(f'{member.type} {member.name}' for member in types[name])})"


def read_handed(
    types: Mapping[str, tuple[Member, ...]], primary: str, domain: Mapping[str, Any], message: Mapping[str, Any]
) -> Handed:
    """Say what typed data in normal form hands over."""
    definition = encode_type(types, primary)
    if primary == _WITNESSED and (plain := _without_witness(types)) is not None:
        definition, standard = plain, "permit2_witness"
    else:
        standard = None
    contract = domain.get("verifyingContract")
    if definition in _PERMITS and isinstance(contract, str):
        usual, read = _PERMITS[definition]
        return read(standard or usual, contract, message)
    if definition == _DAI:
        return Handed(standard="dai_permit", signer=None, takings=())
    return Handed(standard=_DANGEROUS.get(primary, "unknown"), signer=None, takings=())


_WITNESSED: Final = "PermitWitnessTransferFrom"


def _without_witness(types: Mapping[str, tuple[Member, ...]]) -> str | None:
    """The definition of a witnessed transfer without its witness, as that of a plain one."""
    *plain, witness = types[_WITNESSED] or (Member("", ""),)
    if witness.name != "witness" or witness.type not in types:
        return None
    return encode_type({**types, "PermitTransferFrom": tuple(plain)}, "PermitTransferFrom")


def _permit(standard: str, contract: str, message: Mapping[str, Any]) -> Handed:
    taking = _taking(contract, message["spender"], message["value"], message["deadline"])
    return Handed(standard=standard, signer=message["owner"], takings=(taking,))


def _authorization(standard: str, contract: str, message: Mapping[str, Any]) -> Handed:
    taking = _taking(contract, message["to"], message["value"], message["validBefore"], role="payee")
    return Handed(standard=standard, signer=message["from"], takings=(taking,))


def _allowances(standard: str, _: str, message: Mapping[str, Any]) -> Handed:
    details = message["details"]
    each = cast("list[dict[str, str]]", details if isinstance(details, list) else [details])
    takings = (
        _taking(
            one["token"], message["spender"], one["amount"], max(one["expiration"], message["sigDeadline"], key=int)
        )
        for one in each
    )
    return Handed(standard=standard, signer=None, takings=tuple(takings))


def _transfers(standard: str, _: str, message: Mapping[str, Any]) -> Handed:
    permitted = message["permitted"]
    each = cast("list[dict[str, str]]", permitted if isinstance(permitted, list) else [permitted])
    takings = (_taking(one["token"], message["spender"], one["amount"], message["deadline"]) for one in each)
    return Handed(standard=standard, signer=None, takings=tuple(takings))


def _taking(token: str, taker: str, units: str, until: str, *, role: str = "spender") -> Taking:
    return Taking(token=token, taker=taker, role=role, units=int(units), until=int(until))


_DETAILS: Final = "PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)"
_PERMISSIONS: Final = "TokenPermissions(address token,uint256 amount)"
_3009: Final = "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"

_PERMITS: Final[dict[str, tuple[str, Callable[[str, str, Mapping[str, Any]], Handed]]]] = {
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)": ("eip2612", _permit),
    f"TransferWithAuthorization({_3009})": ("eip3009", _authorization),
    f"ReceiveWithAuthorization({_3009})": ("eip3009", _authorization),
    f"PermitSingle(PermitDetails details,address spender,uint256 sigDeadline){_DETAILS}": (
        "permit2_single",
        _allowances,
    ),
    f"PermitBatch(PermitDetails[] details,address spender,uint256 sigDeadline){_DETAILS}": (
        "permit2_batch",
        _allowances,
    ),
    f"PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline){_PERMISSIONS}": (
        "permit2_transfer",
        _transfers,
    ),
    f"PermitBatchTransferFrom(TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline)"
    f"{_PERMISSIONS}": ("permit2_batch_transfer", _transfers),
}
"""EIP-2612, EIP-3009, and Uniswap's Permit2 (AllowanceTransfer and SignatureTransfer)."""

_DAI: Final = "Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)"
"""All or nothing: it names no amount."""

_DANGEROUS: Final = {
    "OrderComponents": "seaport",
    "BulkOrder": "seaport",
    "SafeTx": "safe",
    "SafeMessage": "safe",
    "ForwardRequest": "erc2771",
    "MetaTransaction": "erc2771",
    "UserOperation": "erc4337",
    "PackedUserOperation": "erc4337",
    "Delegation": "erc7710",
}
"""What is recognised only to be called by its name: each can hand over everything."""
