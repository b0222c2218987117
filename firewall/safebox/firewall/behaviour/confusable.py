"""Names made to be mistaken for others, and characters nobody sees."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

_LOOK: Final = {
    "a": "аαɑ", "b": "вβ", "c": "сϲ", "d": "ԁ", "e": "еεҽ", "g": "ɡ", "h": "һн", "i": "іιıɩ", "j": "јϳ", "k": "кκ",  # noqa: RUF001
    "l": "ӏℓ1|!", "m": "мμ", "n": "пη", "o": "оοσ0", "p": "рρ", "q": "ԛ", "s": "ѕ", "t": "тτ", "u": "υս", "v": "νѵ",  # noqa: RUF001
    "w": "ԝω", "x": "хχ", "y": "уγ", "z": "ζᴢ",  # noqa: RUF001
}  # fmt: skip
"""Cyrillic, Greek and other letters, and digits, that look like Latin ones (a part of UTS 39's confusables)."""
_LETTERS: Final = str.maketrans({foreign: latin for latin, others in _LOOK.items() for foreign in others})
_SEPARATORS: Final = frozenset(" _-.:/\\\t\n\r")
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


def skeleton(name: str) -> str:
    """What a name looks like: without case, accents, spacing, invisible characters and foreign look-alikes."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold()).translate(_LETTERS)
    return "".join(
        "l" if each == "i" else each  # a capital i
        for each in folded
        if each not in _SEPARATORS and not unicodedata.combining(each) and unicodedata.category(each) not in _INVISIBLE
    )


def confusable(name: str, others: Iterable[str]) -> str | None:
    """Another name that this one could be mistaken for, or nothing."""
    shape = skeleton(name)
    return next((other for other in others if other != name and skeleton(other) == shape), None)


def hidden_text(text: str) -> bool:
    """Whether a text has characters nobody sees: tags, zero-width and bidirectional ones, other controls."""
    return any(unicodedata.category(each) in _INVISIBLE for each in text if each not in "\n\t\r")
