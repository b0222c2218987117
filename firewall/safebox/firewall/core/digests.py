"""What is signed of a message (EIP-191) and of typed data in normal form (EIP-712): 32 bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from safebox.firewall.core.abi import WORD
from safebox.firewall.core.addresses import keccak256
from safebox.firewall.core.signing import TypedData
from safebox.firewall.core.typed_data import DOMAIN, Member, encode_type

_ARRAY: Final = re.compile(r"(.+)\[[0-9]*\]", re.ASCII)
_DOMAIN_TYPE: Final = "EIP712Domain"

Types = Mapping[str, tuple[Member, ...]]


def message_digest(content: bytes) -> bytes:
    """What `personal_sign` signs: keccak256 of a prefix, the length and the bytes (EIP-191, version 0x45)."""
    return keccak256(b"\x19Ethereum Signed Message:\n%d" % len(content) + content)


def typed_data_digest(data: TypedData) -> bytes:
    """What is signed: keccak256(0x1901, domain separator, hash of the message)."""
    declared = data.types.get(_DOMAIN_TYPE, tuple(member for member in DOMAIN if member.name in data.domain))
    domain = domain_separator(declared, data.domain)
    if data.primary_type == _DOMAIN_TYPE:
        return keccak256(b"\x19\x01" + domain)
    return keccak256(b"\x19\x01" + domain + _hash_struct(data.types, data.primary_type, data.message))


def domain_separator(declared: tuple[Member, ...], domain: Mapping[str, Any]) -> bytes:
    """Whom a signature is for, as a contract says it of itself: the hash of a domain in normal form (EIP-712)."""
    return _hash_struct({_DOMAIN_TYPE: declared}, _DOMAIN_TYPE, domain)


def _hash_struct(types: Types, name: str, value: Mapping[str, Any]) -> bytes:
    encoded = b"".join(_encode(types, member.type, value[member.name]) for member in types[name])
    return keccak256(keccak256(encode_type(types, name).encode()) + encoded)


def _encode(types: Types, kind: str, value: Any) -> bytes:
    """One member as a word: a struct, an array and what has no fixed size by its hash."""
    if (array := _ARRAY.fullmatch(kind)) is not None:
        return keccak256(b"".join(_encode(types, array[1], each) for each in cast("list[Any]", value)))
    if kind in types:
        return _hash_struct(types, kind, value)
    return _encode_basic(kind, value)


def _encode_basic(kind: str, value: Any) -> bytes:
    match kind:
        case "string" | "bytes":
            content = str(value).encode() if kind == "string" else _octets(value)
            return keccak256(content)
        case "address":
            return _octets(value).rjust(WORD, b"\0")
        case "bool":
            return int(value is True).to_bytes(WORD)
        case _ if kind.startswith("bytes"):
            return _octets(value).ljust(WORD, b"\0")
        case _:
            return int(value).to_bytes(WORD, signed=kind.startswith("int"))


def _octets(value: Any) -> bytes:
    return bytes.fromhex(str(value)[2:])
