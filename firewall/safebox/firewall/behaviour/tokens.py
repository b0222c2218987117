"""Text as numbers: tokens that survive reformatting, and their shape, which survives renaming.

Tokens are lower-case words and single marks. White space, quotes, backslashes, `+` and `>` are dropped: they are what
escaping, quoting in mail, URL-encoding and string concatenation change.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence
from typing import Final

from safebox.firewall.behaviour.encodings import is_text

TOKENS_MAX: Final = 250_000
"""Per payload, over all its layers: most of a megabyte of program text."""
TOKENS_IF_TRUNCATED: Final = 50_000
"""Read for evidence when the answer is no already."""

_TOKEN: Final = re.compile(rb"""[a-z0-9_]+|[^\x00-\x20\x7fa-z0-9_"'`\\+>]""")
_STRING: Final = re.compile(rb"[\t-\r -~]{6,}")
_NUMBERS: Final = re.compile(rb"(?<![\w.])(?:(?:0x)?[0-9a-f]{1,3}[,;\s]+){24,}")
"""Bytes written as a list, which is read elsewhere, and tables, which say nothing about who made them."""
_COMMENT: Final = re.compile(rb"(?m)(?:^|\s)#.*$")
_MODULUS: Final = (1 << 61) - 1
"""A Mersenne prime: a megabyte against a large corpus gives a false match once in a million payloads."""
_BASE: Final = 0x1F3D_5B79_A2C4_E681 % _MODULUS

_KEYWORDS: Final = (
    b"and as assert async await break class continue def del elif else except false finally for from global if import "
    b"in is lambda none nonlocal not or pass raise return true try while with yield case catch const do export extends "
    b"fn func function go goto impl let match mut new null package pub self static struct super switch this throw type "
    b"undefined use var void then fi done esac echo local"
).split()
_MARK: Final = 256
_KEYWORD: Final = 512
_SYMBOL: Final = {word: _KEYWORD + place for place, word in enumerate(_KEYWORDS)}
_NEAR: Final = 24
"""How far back a name is recognised as the same name: about two lines of code."""


def normalise(layer: bytes) -> bytes:
    """Lower-case UTF-8 without compatibility forms, invisible characters; of binary data, its strings."""
    if b"\x00" in layer:
        layer = layer.replace(b"\x00", b"\n")
    if not layer.isascii():
        layer = _fold(layer)
    return layer.lower()


def _fold(layer: bytes) -> bytes:
    try:
        text = layer.decode()
    except UnicodeDecodeError:
        if not is_text(layer):
            return b"\n".join(_STRING.findall(layer))
        text = layer.decode("utf-8", "replace")
    return unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).translate(_INVISIBLE).encode("utf-8", "replace")


_INVISIBLE: Final = dict.fromkeys(
    [
        *(0xAD, 0x34F, 0x61C, 0xFEFF),
        *(*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)),
        *(*range(0xFE00, 0xFE10), *range(0xE0000, 0xE0200)),
        *range(0xFDF0, 0xFDFD),  # ligatures of whole phrases, which NFKC would make eighteen times as long
    ]
)


def tokenise(text: bytes) -> list[bytes]:
    """Words and marks of normalised text, without lists of numbers."""
    return _TOKEN.findall(_NUMBERS.sub(b" ", text))


def without_comments(text: bytes) -> bytes:
    """Program text without `#` comments, which whoever disguises a copy drops first."""
    return _COMMENT.sub(b"", text) if b"#" in text else text


def words_as_codes(tokens: Sequence[bytes]) -> list[int]:
    """Each token as a number of 32 bits."""
    return list(map(zlib.crc32, tokens))


def shape_as_codes(tokens: Sequence[bytes]) -> list[int]:
    """Each token as a number that no consistent renaming changes.

    Keywords and marks stand for themselves, numbers for any number, a name for how far back the same name last stood
    (0 beyond `_NEAR`), after Baker's parameterised matching (Baker 1993, "A theory of parameterized pattern matching").
    """
    last: dict[bytes, int] = {}
    codes: list[int] = []
    for place, token in enumerate(tokens):
        code = _SYMBOL.get(token)
        if code is None:
            first = token[0]
            if first >= _LETTERS_FROM or _DIGITS_FROM <= first <= _DIGITS_TO:
                back = place - last.get(token, -_NEAR - 1)
                last[token] = place
                code = back if back <= _NEAR else 0
            else:
                code = _MARK + first
        codes.append(code)
    return codes


_DIGITS_FROM: Final = ord("0")
_DIGITS_TO: Final = ord("9")
_LETTERS_FROM: Final = ord("_")
"""Normalised text has no capitals; what lies between `_` and `z` is `_`, a letter, or the dropped backtick."""


def is_mark(code: int) -> bool:
    """Whether a code of `shape_as_codes` stands for a punctuation mark."""
    return _MARK <= code < _KEYWORD


def is_keyword(code: int) -> bool:
    """Whether a code of `shape_as_codes` stands for a keyword."""
    return code >= _KEYWORD


def rolling_hashes(codes: Sequence[int], length: int) -> list[int]:
    """The hash of every run of `length` codes (Karp and Rabin 1987), from one pass of prefix hashes."""
    value = 0
    prefixes = [0, *[value := (value * _BASE + code + 1) % _MODULUS for code in codes]]
    shift = pow(_BASE, length, _MODULUS)
    return [(end - start * shift) % _MODULUS for start, end in zip(prefixes, prefixes[length:], strict=False)]


def winnow(hashes: Sequence[int], window: int) -> set[int]:
    """The smallest hash of every `window` neighbours (Schleimer, Wilkerson and Aiken 2003)."""
    if len(hashes) < window:
        return {min(hashes)} if hashes else set()
    return set(map(min, *(hashes[offset:] for offset in range(window))))
