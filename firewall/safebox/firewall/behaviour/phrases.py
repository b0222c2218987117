"""Recovery phrases (BIP-39): twelve to twenty-four words of the list whose checksum is right."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WINDOWS_MAX: Final = 20_000
"""Checksums tried on one text; one in sixteen is right by chance, so a text that needs more was made to tire us."""
_LENGTHS: Final = (12, 15, 18, 21, 24)
_WORDS: Final = 2048
_BITS: Final = 11
_WORD: Final = re.compile(rb"[a-z]+")


@dataclass(frozen=True, slots=True)
class Wordlist:
    """The 2,048 words, each with its number. Read from a file by whoever builds it."""

    numbers: Mapping[bytes, int]

    @classmethod
    def build(cls, words: Sequence[str]) -> Wordlist:
        """Number the words of a list.

        Raises:
            ValueError: if there aren't exactly 2,048 different ones.
        """
        numbers = {word.encode(): number for number, word in enumerate(words)}
        if len(numbers) != _WORDS or len(words) != _WORDS:
            raise ValueError("a BIP-39 word list has 2,048 different words")
        return cls(numbers)


def has_recovery_phrase(text: bytes, words: Wordlist) -> bool:
    """Whether lower-case text has a valid phrase, whatever stands between its words.

    Fails closed: true when the text has more candidates than `WINDOWS_MAX`.
    """
    left = WINDOWS_MAX
    for run in _runs(text, words):
        for start in range(len(run) - _LENGTHS[0] + 1):
            for length in _LENGTHS:
                if start + length <= len(run):
                    left -= 1
                    if left < 0 or _checksum_is_right(run[start : start + length]):
                        return True
    return False


def _runs(text: bytes, words: Wordlist) -> Iterator[list[int]]:
    """Every stretch of at least twelve words that are all in the list, as their numbers."""
    run: list[int] = []
    for number in map(words.numbers.get, _WORD.findall(text)):
        if number is not None:
            run.append(number)
            continue
        if len(run) >= _LENGTHS[0]:
            yield run
        run = []
    if len(run) >= _LENGTHS[0]:
        yield run


def _checksum_is_right(numbers: Sequence[int]) -> bool:
    total = 0
    for number in numbers:
        total = total << _BITS | number
    check_bits = len(numbers) // 3
    entropy = (total >> check_bits).to_bytes((len(numbers) * _BITS - check_bits) // 8, "big")
    return hashlib.sha256(entropy).digest()[0] >> (8 - check_bits) == total & ((1 << check_bits) - 1)
