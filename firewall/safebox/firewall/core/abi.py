"""Arguments of contract calls (Solidity's ABI), read strictly: each value has one encoding here, any other is refused.

Rule 1: a dynamic value lies right behind what came before it. No offset points back, ahead or into another value.
Rule 2: bits and bytes that a type doesn't use are zero (copies of the sign, in signed integers).
Rule 3: every byte is read; nothing is left over.

Decoders on chain are laxer, so by these rules bytes are refused that would work. They are nobody's ordinary calls, and
in bytes with two readings the one that is judged need not be the one that is done. eth_abi takes such bytes, too.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from safebox.firewall.core.addresses import ADDRESS_BYTES, checksummed, keccak256
from safebox.firewall.errors import CallerError

WORD: Final = 32
SELECTOR: Final = 4
SIGNATURE_MAX: Final = 512
"""Longer than any function in common use: Seaport's have about 300 characters."""
NESTING_MAX: Final = 6
FIXED_MAX: Final = 64
"""Elements of an array of fixed length."""
HEAD_MAX: Final = 4_096
"""Bytes of a type's fixed part, so that arrays of arrays of fixed length stay small."""
ITEMS_MAX: Final = 256
"""Elements of an array of any length; no batch that is read here has as many calls."""

_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,127}", re.ASCII)
_PLAIN: Final = re.compile(r"address|bool|string|bytes(?:3[0-2]|[12]\d|[1-9])?|(u?)int([1-9]\d{0,2})", re.ASCII)
_SIZE: Final = re.compile(r"\[([1-9]\d{0,3})?\]", re.ASCII)

Kind = Literal["address", "bool", "uint", "int", "fixed", "bytes", "string", "array", "tuple"]


class Type(msgspec.Struct, frozen=True):
    """One type. `head` is how many bytes it takes where it stands; `size` are bits, bytes or elements, None for any."""

    name: str
    kind: Kind
    head: int = WORD
    dynamic: bool = False
    size: int | None = None
    items: tuple[Type, ...] = ()


class Function(msgspec.Struct, frozen=True):
    """A function by its whole signature, and the four bytes it is called by."""

    signature: str
    selector: bytes
    types: tuple[Type, ...]


@functools.lru_cache(maxsize=1024)
def function(signature: str) -> Function:
    """Read a signature such as `transfer(address,uint256)`, types in full and without spaces.

    Raises:
        CallerError: if it is none, or has a type that isn't read here.
    """
    name, parenthesis, _ = signature.partition("(")
    if len(signature) > SIGNATURE_MAX or _NAME.fullmatch(name) is None or not parenthesis:
        raise _no_signature(signature)
    found, rest = _type(signature[len(name) :], NESTING_MAX)
    if rest or found.kind != "tuple":
        raise _no_signature(signature)
    return Function(signature, keccak256(signature.encode())[:SELECTOR], found.items)


def _no_signature(text: str) -> CallerError:
    return CallerError(f"{text[:80]!r} is no signature of a function that can be read")


def _type(text: str, left: int) -> tuple[Type, str]:
    """The type that a text begins with, and the rest of the text."""
    if text.startswith("(") and left:
        found, rest = _tuple(text, left - 1)
    elif (match := _PLAIN.match(text)) is not None:
        found, rest = _plain(match), text[match.end() :]
    else:
        raise _no_signature(text)
    for _ in range(NESTING_MAX):
        if (match := _SIZE.match(rest)) is None:
            break
        found, rest = _array(found, None if match[1] is None else int(match[1])), rest[match.end() :]
    return found, rest


def _plain(match: re.Match[str]) -> Type:
    name, bits = match[0], match[2]
    if bits is not None:
        if int(bits) % 8 or int(bits) > 8 * WORD:
            raise _no_signature(name)
        return Type(name, "uint" if match[1] else "int", size=int(bits))
    if name in ("bytes", "string"):
        return Type(name, "bytes" if name == "bytes" else "string", dynamic=True)
    if name.startswith("bytes"):
        return Type(name, "fixed", size=int(name[5:]))
    return Type(name, "bool" if name == "bool" else "address")


def _tuple(text: str, left: int) -> tuple[Type, str]:
    items: list[Type] = []
    rest = text[1:]
    while not rest.startswith(")") or items:
        item, rest = _type(rest, left)
        items.append(item)
        if rest.startswith(")"):
            break
        if not rest.startswith(","):
            raise _no_signature(text)
        rest = rest[1:]
    name, dynamic = f"({','.join(item.name for item in items)})", any(item.dynamic for item in items)
    head = sum(item.head for item in items)
    if head > HEAD_MAX:
        raise _no_signature(text)
    return Type(name, "tuple", WORD if dynamic else head, dynamic, None, tuple(items)), rest[1:]


def _array(item: Type, size: int | None) -> Type:
    if not item.head:  # any number of them would take no bytes
        raise _no_signature(item.name)
    name, dynamic = f"{item.name}[{'' if size is None else size}]", size is None or item.dynamic
    head = WORD if dynamic else item.head * (size or 0)
    if (size or 0) > FIXED_MAX or head > HEAD_MAX:
        raise _no_signature(name)
    return Type(name, "array", head, dynamic, size, (item,))


def read_arguments(types: Sequence[Type], data: bytes) -> tuple[Any, ...]:
    """The values of a call: integers, truth values, checksummed addresses, bytes, texts, and tuples of these.

    Raises:
        CallerError: if the bytes are not exactly these types' one encoding; the code says why.
    """
    values, end = _sequence(types, data, 0)
    if end != len(data):
        raise CallerError(f"{len(data) - end} bytes are left over behind the arguments", code="call.left_over")
    if write_arguments(types, values) != data:
        raise CallerError("the arguments are not in their one encoding", code="call.padding")
    return values


def _sequence(types: Sequence[Type], data: bytes, start: int) -> tuple[tuple[Any, ...], int]:
    values: list[Any] = []
    at, tail = start, start + sum(each.head for each in types)
    if tail > len(data):
        raise _cut_short()
    for each in types:
        if each.dynamic:
            _check_offset(int.from_bytes(data[at : at + WORD]), tail - start)
            value, tail = _dynamic(each, data, tail)
        else:
            value = _static(each, data, at)
        values.append(value)
        at += each.head
    return tuple(values), tail


def _check_offset(found: int, wanted: int) -> None:
    if found != wanted:
        how = "points back, or into another value" if found < wanted else "leaves a gap, or points outside"
        raise CallerError(f"an offset {how}", code="call.offset")


def _cut_short() -> CallerError:
    return CallerError("the call's data end before its arguments do", code="call.cut_short")


def _dynamic(kind: Type, data: bytes, at: int) -> tuple[Any, int]:
    if kind.kind == "tuple":
        return _sequence(kind.items, data, at)
    if kind.kind == "array" and kind.size is not None:
        return _sequence(kind.items * kind.size, data, at)
    if at + WORD > len(data):
        raise _cut_short()
    length, start = int.from_bytes(data[at : at + WORD]), at + WORD
    if kind.kind == "array":
        if length > ITEMS_MAX:
            raise CallerError(f"a list has more than {ITEMS_MAX} elements", code="call.too_many")
        return _sequence(kind.items * length, data, start)
    end = start + -(-length // WORD) * WORD
    if end > len(data):
        raise _cut_short()
    if any(data[start + length : end]):
        raise _padding(kind)
    content = data[start : start + length]
    return (_text(content) if kind.kind == "string" else content), end


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CallerError("a string is no UTF-8 text") from error


def _padding(kind: Type) -> CallerError:
    return CallerError(f"bits that {kind.name[:40]} doesn't use are not zero", code="call.padding")


def _static(kind: Type, data: bytes, at: int) -> Any:
    if kind.items or kind.kind == "tuple":
        items = kind.items * (kind.size or 1) if kind.kind == "array" else kind.items
        return _sequence(items, data, at)[0]
    word = data[at : at + WORD]
    value = _word(kind, word)
    if _write_word(kind, value) != word:
        raise _padding(kind)
    return value


def _word(kind: Type, word: bytes) -> Any:
    match kind.kind:
        case "address":
            return checksummed(word[-ADDRESS_BYTES:])
        case "bool":
            return bool(word[-1])
        case "fixed":
            return word[: kind.size]
        case "int":
            bits = kind.size or 0
            low = int.from_bytes(word) & (1 << bits) - 1
            return low - (low >> bits - 1 << bits)
        case _:
            return int.from_bytes(word) & (1 << (kind.size or 0)) - 1


def _write_word(kind: Type, value: Any) -> bytes:
    match kind.kind:
        case "address":
            return bytes.fromhex(value[2:]).rjust(WORD, b"\0")
        case "fixed":
            return bytes(value).ljust(WORD, b"\0")
        case "int":
            return int(value).to_bytes(WORD, signed=True)
        case _:
            return int(value).to_bytes(WORD)


def write_arguments(types: Sequence[Type], values: Sequence[Any]) -> bytes:
    """The one encoding of values; they must fit their types, as those do that were read."""
    heads: list[bytes] = []
    tails: list[bytes] = []
    at = sum(each.head for each in types)
    for each, value in zip(types, values, strict=True):
        written = _write(each, value)
        if each.dynamic:
            heads.append(at.to_bytes(WORD))
            tails.append(written)
            at += len(written)
        else:
            heads.append(written)
    return b"".join(heads + tails)


def _write(kind: Type, value: Any) -> bytes:
    match kind.kind:
        case "tuple":
            return write_arguments(kind.items, value)
        case "array":
            length = len(value).to_bytes(WORD) if kind.size is None else b""
            return length + write_arguments(kind.items * len(value), value)
        case "bytes" | "string":
            content = value.encode() if kind.kind == "string" else bytes(value)
            return len(content).to_bytes(WORD) + content + bytes(-len(content) % WORD)
        case _:
            return _write_word(kind, value)


def plain(kind: Type, value: Any) -> Any:
    """A value as JSON says it: numbers as decimal text, bytes in hexadecimal, lists of these."""
    match kind.kind:
        case "uint" | "int":
            return str(value)
        case "bytes" | "fixed":
            return "0x" + value.hex()
        case "array" | "tuple":
            items = kind.items * len(value) if kind.kind == "array" else kind.items
            return [plain(item, each) for item, each in zip(items, value, strict=True)]
        case _:
            return value


def addresses_in(kind: Type, value: Any) -> Iterator[str]:
    """Every address in a value."""
    if kind.kind == "address":
        yield value
    elif kind.items:
        items = kind.items * len(value) if kind.kind == "array" else kind.items
        for item, each in zip(items, value, strict=True):
            yield from addresses_in(item, each)
