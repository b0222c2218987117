"""Variants of one agent: launches that are nearly the same, and whether those that earned more had more descendants.

A program that breeds agents launches near-copies, lets them earn, and makes the next ones from the best. Running the
same agent again and again is no population; nor are many tasks of one agent of which none is made from another's
success.

Similarity is the share of equal minima of hashed word pairs (MinHash, Broder 1997). Texts are kept and only looked at
when a launch asks: a ledger of ten thousand runs is read without it.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from safebox.firewall.core.windows import DAY

MINIMA: Final = 64
"""A likeness of 0.8 is measured to within 0.05."""
LAUNCHES_KEPT: Final = 128
"""Launches that are compared; of more within a day, the latest."""
FAMILY_MAX: Final = 48
"""Near-copies among which descent is looked for."""
NEAR: Final = 32
"""So many equal minima of 64 make a near-copy: a third of the words may differ."""
TEXT_MAX: Final = 4_096

_WORD: Final = re.compile(r"[\w.-]+")
_MASK: Final = 2**64 - 1

Sketch = tuple[int, ...]


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


_SALTS: Final = tuple(_hash(b"%d" % number) | 1 for number in range(MINIMA))


def pairs_of(text: str) -> frozenset[str]:
    """The pairs of neighbouring words in a text."""
    words = _WORD.findall(text[:TEXT_MAX].lower())
    return frozenset(f"{first} {second}" for first, second in pairwise(words)) or frozenset({text[:TEXT_MAX]})


def sketch(text: str) -> Sketch:
    """What a text is compared by at first."""
    hashes = [_hash(pair.encode()) for pair in pairs_of(text)]
    return tuple(min((one * salt & _MASK) >> 32 for one in hashes) for salt in _SALTS)


def likeness(one: Sketch, other: Sketch) -> int:
    """How many of 64 minima are equal."""
    return sum(a == b for a, b in zip(one, other, strict=True))


class _Launch:
    """One launch, and what it earned since."""

    __slots__ = ("_pairs", "_sketch", "at_ns", "earned", "run", "text")

    def __init__(self, at_ns: int, run: str, text: str) -> None:
        self.at_ns = at_ns
        self.run = run
        self.text = text[:TEXT_MAX]
        self.earned = 0
        self._sketch: Sketch | None = None
        self._pairs: frozenset[str] | None = None

    @property
    def sketch(self) -> Sketch:
        if self._sketch is None:
            self._sketch = sketch(self.text)
        return self._sketch

    @property
    def pairs(self) -> frozenset[str]:
        if self._pairs is None:
            self._pairs = pairs_of(self.text)
        return self._pairs


class Population:
    """The launches of an owner within a day."""

    __slots__ = ("_by_run", "_launches")

    def __init__(self) -> None:
        self._launches: deque[_Launch] = deque()
        self._by_run: dict[str, _Launch] = {}

    def launch(self, at_ns: int, run: str, text: str) -> None:
        """Something was started; the text says what."""
        one = self._by_run[run] = _Launch(at_ns, run, text)
        self._launches.append(one)
        if len(self._launches) > LAUNCHES_KEPT:
            self._by_run.pop(self._launches.popleft().run, None)

    def earn(self, run: str, units: int) -> None:
        """A variant earned something: what it is chosen by."""
        found = self._by_run.get(run)
        if found is not None:
            found.earned += units

    def facts(self, at_ns: int, text: str) -> dict[str, int]:
        """`facts.population`: near-copies of a day that aren't the same, and how they came to be.

        `chosen` counts those made from one that earned more than most. `bred` says how steadily that was so: one up for
        each, two down for one that was made from any other (a CUSUM, Page 1954). What is launched without a look at
        success stays near zero.
        """
        its = sketch(text)
        day = [one for one in self._launches if one.at_ns + DAY > at_ns]
        family = [one for one in day if likeness(one.sketch, its) >= NEAR][-FAMILY_MAX:]
        made = [_chosen(family[:place], one) for place, one in enumerate(family)]
        return {
            "variants": len({one.sketch for one in family if one.sketch != its}),
            "chosen": made.count(True),
            "bred": _steadily(made),
        }


def _steadily(made: Iterable[bool | None]) -> int:
    score = highest = 0
    for chosen in made:
        if chosen is not None:
            score = score + 1 if chosen else max(0, score - 2)
            highest = max(highest, score)
    return highest


def _chosen(earlier: Sequence[_Launch], child: _Launch) -> bool | None:
    """Whether what it was made from looks chosen; None if it was made from none of these."""
    parent = _parent(earlier, child)
    return None if parent is None else _stands_out(parent, earlier)


def _parent(earlier: Sequence[_Launch], child: _Launch) -> _Launch | None:
    """The launch a variant was most likely made from; None if there is none, or it is that one unchanged.

    By all their word pairs: what a sketch adds by chance would make one launch everybody's parent. Of several that are
    equally near it is the latest.
    """
    best = max(earlier, key=lambda one: (_nearness(one.pairs, child.pairs), one.at_ns), default=None)
    return None if best is None or best.pairs == child.pairs else best


def _nearness(one: frozenset[str], other: frozenset[str]) -> int:
    """The share that two sets have in common, in millionths: exact, so that equally near is equal."""
    common = len(one & other)
    return common * 1_000_000 // (len(one) + len(other) - common)


def _stands_out(parent: _Launch, others: Sequence[_Launch]) -> bool:
    """Whether it earned more than most of the others: then it looks chosen, and not just at hand."""
    less = sum(one.earned < parent.earned for one in others)
    return len(others) > 1 and 2 * less >= len(others)
