"""What the bytes of a message are, before anybody signs them: a text people can read, or something that acts.

`personal_sign` puts a prefix before what it signs (EIP-191), so no chain takes it for a transaction. But what looks
like a digest, like prefixed data or like a transaction is asked for by those who hope that somebody signs it bare.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import msgspec

_TYPED_TRANSACTIONS: Final = b"\x01\x02\x03\x04"
"""EIP-2718 types in use: access lists, fee market, blobs, set code."""
_FIELDS_MIN: Final = 6
"""An unsigned legacy transaction before EIP-155 has six fields; none has fewer."""
_DIGEST: Final = 32
_RLP_LIST: Final = 0xC0
_HEX_TEXT: Final = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2})+)", re.ASCII)
_SIGN_IN: Final = "wants you to sign in with your Ethereum account"

_SIGN_IN_TEXT: Final = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]{0,15})://)?(?P<domain>[a-z0-9.-]{1,253}(?::[0-9]{1,5})?)"
    r" wants you to sign in with your Ethereum account:\n"
    r"(?P<address>0x[0-9a-fA-F]{40})\n\n(?:(?P<statement>[^\n]{1,1000})\n)?\n"
    r"URI: (?P<uri>[^\s\n]{1,1000})\nVersion: 1\nChain ID: (?P<chain>[1-9][0-9]{0,17})\n"
    r"Nonce: [a-zA-Z0-9]{8,128}\nIssued At: [0-9TZtz:.+-]{20,40}"
    r"(?:\nExpiration Time: [0-9TZtz:.+-]{20,40})?(?:\nNot Before: [0-9TZtz:.+-]{20,40})?"
    r"(?:\nRequest ID: [^\s\n]{0,200})?(?:\nResources:(?:\n- [^\s\n]{1,1000}){0,20})?",
    re.ASCII,
)
"""The message of EIP-4361, in its order, in ASCII."""
_AUTHORITY: Final = re.compile(r"[a-z][a-z0-9+.-]{0,15}://([a-z0-9.-]{1,253}(?::[0-9]{1,5})?)(?:[/?#].*)?", re.ASCII)

_PLACES: Final = {
    "{number}": "[0-9]{1,20}+",
    "{word}": "[A-Za-z0-9_-]{1,128}+",
    "{time}": "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.][0-9]{1,9}+)?(?:Z|[+-][0-9]{2}:[0-9]{2})",
}
"""What may stand open in a pattern; each takes all it can and gives nothing back, so no text takes long to match."""


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in message (EIP-4361) whose URI belongs to its domain."""

    domain: str
    address: str
    chain_id: int


def classify(content: bytes) -> str:
    """Say what bytes are: `digest`, `prefixed`, `transaction`, `binary`, `sign_in` or `text`.

    Text that spells out bytes in hexadecimal is what those bytes are.
    """
    if found := _acts(content):
        return found
    text = readable(content)
    if text is None:
        return "binary"
    if (spelled := _HEX_TEXT.fullmatch(text.strip())) is not None:
        found = _acts(bytes.fromhex(spelled[1]))
        if found:
            return found
    return "sign_in" if _SIGN_IN.casefold() in " ".join(text.split()).casefold() else "text"


def _acts(content: bytes) -> str:
    if len(content) == _DIGEST:
        return "digest"
    if content[:1] == b"\x19":
        return "prefixed"
    if is_transaction(content):
        return "transaction"
    return ""


def is_transaction(content: bytes) -> bool:
    """Whether bytes are one RLP list of a transaction's length, with or without a type before it, and nothing after."""
    if content[:1] and content[0] in _TYPED_TRANSACTIONS:
        content = content[1:]
    fields = _list_length(content)
    return fields is not None and fields >= _FIELDS_MIN


def _list_length(content: bytes) -> int | None:
    """How many items the one RLP list has that these bytes are; None if they are anything else."""
    if not content or content[0] < _RLP_LIST:
        return None
    found = _item(content, 0)
    if found is None or found[1] != len(content):
        return None
    at, count = found[0], 0
    while at < len(content):
        item = _item(content, at)
        if item is None or item[1] > len(content):
            return None
        at, count = item[1], count + 1
    return count


def _item(content: bytes, at: int) -> tuple[int, int] | None:
    """Where an item's payload starts and ends (RLP, Ethereum yellow paper, appendix B)."""
    first = content[at]
    if first < 0x80:  # noqa: PLR2004 - RLP: a byte that stands for itself
        return at, at + 1
    base = 0x80 if first < _RLP_LIST else _RLP_LIST
    size = first - base
    if size <= 55:  # noqa: PLR2004 - RLP: longer ones say their length in bytes of their own
        return at + 1, at + 1 + size
    start = at + 1 + size - 55
    if start > len(content):
        return None
    return start, start + int.from_bytes(content[at + 1 : start])


def readable(content: bytes) -> str | None:
    """The text these bytes are, if it shows all it says: UTF-8 without control or invisible characters."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    hidden = any(
        unicodedata.category(each) in {"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"} for each in text if each != "\n"
    )
    return None if hidden or not text.strip() else text


def read_sign_in(text: str) -> SignIn | None:
    """Read a sign-in message; None unless it is exactly one, for a URI of its own domain."""
    found = _SIGN_IN_TEXT.fullmatch(text)
    if found is None:
        return None
    authority = _AUTHORITY.fullmatch(found["uri"])
    if authority is None or authority[1] != found["domain"]:
        return None
    return SignIn(domain=found["domain"], address=found["address"], chain_id=int(found["chain"]))


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with a pattern of a mandate; None if nothing is."""
    rest = pattern
    for place in _PLACES:
        rest = rest.replace(place, "")
    if "{" in rest or "}" in rest:
        return f"{', '.join(_PLACES)} are all that may stand in braces"
    if not rest.strip():
        return "it would match nearly everything"
    return None if readable(pattern.encode()) is not None else "it has an invisible character"


def matches(text: str, pattern: str) -> bool:
    """Whether a text is a pattern, letter by letter, with its open places filled in."""
    parts = re.split("|".join(re.escape(place) for place in _PLACES), pattern)
    places = re.findall("|".join(re.escape(place) for place in _PLACES), pattern)
    built = re.escape(parts[0]) + "".join(
        _PLACES[place] + re.escape(part) for place, part in zip(places, parts[1:], strict=True)
    )
    return re.fullmatch(built, text, re.ASCII) is not None
