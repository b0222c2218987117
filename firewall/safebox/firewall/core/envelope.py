"""Signed transactions as they are sent, read strictly: legacy (EIP-155), EIP-2930 and EIP-1559, and no others.

What is read here was signed by somebody else: the firewall's own are made and compared in `safebox.firewall.accounts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from safebox.firewall.core.addresses import ADDRESS_BYTES, checksummed, keccak256
from safebox.firewall.core.rlp import Item, read_rlp, write_rlp
from safebox.firewall.errors import CallerError

RAW_MAX: Final = 131_072
"""What nodes take at most (geth's txMaxSize)."""
_LEGACY, _ACCESS_LIST, _DYNAMIC, _BLOB, _AUTHORIZATION = 0, 1, 2, 3, 4
_LEGACY_FROM: Final = 0xC0
"""A first byte from here on begins a list, and with it a legacy transaction (EIP-2718)."""
_NAMES: Final[dict[int, tuple[str, ...]]] = {
    _LEGACY: ("nonce", "gasPrice", "gas", "to", "value", "data"),
    _ACCESS_LIST: ("chainId", "nonce", "gasPrice", "gas", "to", "value", "data", "accessList"),
    _DYNAMIC: ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "data", "accessList"),
}
"""In the order in which each type has them; the signature's three numbers follow."""
_SIGNATURE: Final = 3
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1; a signature's s is in the lower half (EIP-2)."""
_EIP155: Final = 35
_WORD: Final = 32


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A signed transaction. `digest` is what was signed, `signature` r, s and parity in 65 bytes."""

    type: int
    chain_id: int
    nonce: int
    to: str
    value: int
    data: bytes
    gas: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    access_list: tuple[tuple[str, tuple[bytes, ...]], ...]
    digest: bytes
    signature: bytes
    hash: bytes


def read_envelope(raw: bytes) -> Envelope:
    """Read a signed transaction.

    Raises:
        CallerError: if it is of another type, creates a contract, is for no chain, or not in its one encoding.
    """
    if len(raw) > RAW_MAX:
        raise CallerError(f"the transaction has more than {RAW_MAX} bytes", code="request.too_large")
    kind = _type(raw)
    names = _NAMES[kind]
    parts = _parts(raw if kind == _LEGACY else raw[1:])
    if len(parts) != len(names) + _SIGNATURE:
        raise _malformed("it has another number of fields than its type")
    fields = {name: _field(name, part) for name, part in zip(names, parts, strict=False)}
    v, r, s = (_number(part) for part in parts[-_SIGNATURE:])
    unsigned: list[Item] = list(parts[:-_SIGNATURE])
    if kind == _LEGACY:
        fields["chainId"], v = _chain_and_parity(v)
        unsigned += [_written(fields["chainId"]), b"", b""]
    digest = keccak256((b"" if kind == _LEGACY else bytes([kind])) + write_rlp(tuple(unsigned)))
    return _envelope(kind, fields, digest, _signature(v, r, s), keccak256(raw))


def _type(raw: bytes) -> int:
    first = raw[0] if raw else -1
    if first >= _LEGACY_FROM:
        return _LEGACY
    if first == _BLOB:
        raise CallerError("transactions with blobs are not accepted (EIP-4844)", code="transaction.blob")
    if first == _AUTHORIZATION:
        raise CallerError("authorizations of code are not accepted (EIP-7702)", code="transaction.authorization")
    if first not in (_ACCESS_LIST, _DYNAMIC):
        raise CallerError("this type of transaction is not known", code="transaction.unknown_type")
    return first


def _malformed(why: str) -> CallerError:
    return CallerError(f"the transaction can't be read: {why}", code="transaction.malformed")


def _parts(encoded: bytes) -> Sequence[Item]:
    try:
        item = read_rlp(encoded)
    except ValueError as error:
        raise _malformed(str(error)) from error
    if isinstance(item, bytes):
        raise _malformed("it is no list")
    return item


def _field(name: str, part: Item) -> Any:
    if name == "accessList":
        return _access_list(part)
    if name not in ("to", "data"):
        return _number(part)
    if not isinstance(part, bytes):
        raise _malformed(f"{name} is a list")
    return part


def _number(part: Item) -> int:
    if not isinstance(part, bytes) or len(part) > _WORD or part[:1] == b"\0":
        raise _malformed("a number is no number of 256 bits in its one encoding")
    return int.from_bytes(part)


def _written(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _access_list(part: Item) -> tuple[tuple[str, tuple[bytes, ...]], ...]:
    found: list[tuple[str, tuple[bytes, ...]]] = []
    for entry in part if isinstance(part, tuple) else (part,):
        match entry:
            case (bytes(address), tuple(keys)) if len(address) == ADDRESS_BYTES and all(map(_is_word, keys)):
                found.append((checksummed(address), cast("tuple[bytes, ...]", keys)))
            case _:
                raise _malformed("its access list is none")
    return tuple(found)


def _is_word(item: Item) -> bool:
    return isinstance(item, bytes) and len(item) == _WORD


def _chain_and_parity(v: int) -> tuple[int, int]:
    if v < _EIP155:
        raise CallerError("the transaction is for no chain, so for any (EIP-155)", code="transaction.no_chain")
    return (v - _EIP155) // 2, (v - _EIP155) % 2


def _signature(parity: int, r: int, s: int) -> bytes:
    if parity not in (0, 1) or not 0 < r < _ORDER or not 0 < s <= _ORDER // 2:
        raise _malformed("its signature is none in its one form")
    return r.to_bytes(_WORD) + s.to_bytes(_WORD) + bytes([parity])


def _envelope(kind: int, fields: dict[str, Any], digest: bytes, signature: bytes, named: bytes) -> Envelope:
    to: bytes = fields["to"]
    if not to:
        raise CallerError("contracts can't be created here", code="call.creation")
    if len(to) != ADDRESS_BYTES:
        raise _malformed("its payee is no address")
    if not fields["chainId"]:
        raise CallerError("the transaction is for no chain, so for any (EIP-155)", code="transaction.no_chain")
    most: int = fields["maxFeePerGas" if kind == _DYNAMIC else "gasPrice"]
    return Envelope(
        type=kind,
        chain_id=fields["chainId"],
        nonce=fields["nonce"],
        to=checksummed(to),
        value=fields["value"],
        data=fields["data"],
        gas=fields["gas"],
        max_fee_per_gas=most,
        max_priority_fee_per_gas=fields.get("maxPriorityFeePerGas", most),
        access_list=fields.get("accessList", ()),
        digest=digest,
        signature=signature,
        hash=named,
    )
