"""How much of the run itself a payload carries: winnowed fingerprints, as written and with every name forgotten.

The corpus keeps winnowed fingerprints of the run's own texts; of a payload every run of tokens is looked up, so one
shared run of `k + WINDOW - 1` tokens is always found. What counts is the number of distinct fingerprints found, and
that number as a share: a small piece of a large program has a small share, a whole small program a small number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from safebox.firewall.behaviour.idioms import IDIOMS, without_boilerplate
from safebox.firewall.behaviour.tokens import (
    TOKENS_IF_TRUNCATED,
    TOKENS_MAX,
    is_keyword,
    is_mark,
    normalise,
    rolling_hashes,
    shape_as_codes,
    tokenise,
    winnow,
    without_comments,
    words_as_codes,
)
from safebox.firewall.behaviour.unwrap import Unwrapped, unwrap

WORDS: Final = 10
"""k of the written form: a long line of code or a clause of prose. Fewer, and idioms match; more, and edits hide it."""
SHAPE: Final = 24
"""k of the nameless form: three lines. Names tell most of a program, so without them more of it is needed."""
WINDOW: Final = 4
"""One fingerprint of every 2.5 tokens is kept: two thirds of the memory saved, and nothing above 13 tokens missed."""
SMALL: Final = 80
"""Shares are taken of at least this many fingerprints (1 KB of code): two dense lines are 21, and may be quoted in a
mail that says little else."""
CORPUS_TOKENS_MAX: Final = 500_000
"""About 2 MB of sources; a larger corpus is partial, and every measure against it truncated."""

_TOKEN_BYTES: Final = 4
"""Bytes to a token of program text, white space included, on the low side."""

_SHAPE_BIT: Final = 1 << 61
"""Above every hash: the two forms of one text are counted apart."""
_DISTINCT_WORDS: Final = 6
_DISTINCT_SHAPE: Final = 9
"""Runs with fewer different tokens are tables, rulers and lists of numbers."""
_MARKS_MIN: Final = 6
"""A quarter of a run: program text has nearly half marks, prose a tenth."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a payload has in common with the run's own texts.

    Attributes:
        matched: distinct fingerprints of the run found in the payload.
        share_bp: the larger of what part of the payload and what part of one source they are, in basis points.
        source: the own text most of them belong to.
        truncated: some of the payload was not looked at, so the numbers may be too small.
        fingerprints: those found, for `Accumulator`.
    """

    matched: int
    share_bp: int
    source: str | None
    truncated: bool
    fingerprints: frozenset[int] = field(default=frozenset(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class _Form:
    """One way of reading text: which source each fingerprint is of, and how many each source has."""

    length: int
    owners: Mapping[int, str]
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Fingerprints of what a run is made of. `partial`: it was too large to be taken in whole."""

    words: _Form
    shape: _Form
    partial: bool

    @classmethod
    def build(cls, sources: Mapping[str, bytes], common: Iterable[bytes] = ()) -> Corpus:
        """Fingerprint a run's own texts (name → content): code, prompts, task, mandate.

        What is also in `common` (libraries, public examples), in imports, licence headers and everyday idioms is left
        out. Fails closed: past `CORPUS_TOKENS_MAX` the corpus is partial and every measure truncated.
        """
        known = [normalise(text) for text in (IDIOMS, *common)]
        left = CORPUS_TOKENS_MAX
        texts: dict[str, bytes] = {}
        for name, content in sources.items():
            texts[name] = without_boilerplate(normalise(content[: left * _TOKEN_BYTES]))
            left -= len(content) // _TOKEN_BYTES
            if left < 0:
                break
        return cls(_words_form(texts, known), _shape_form(texts, known), left < 0)


def is_shape(fingerprint: int) -> bool:
    """Whether a fingerprint of `Overlap` is of the nameless form."""
    return bool(fingerprint & _SHAPE_BIT)


def measure(corpus: Corpus, payload: bytes) -> Overlap:
    """Compare one payload with the run's own texts.

    Fails closed: `truncated` when any of it was not looked at.
    """
    return measure_layers(corpus, unwrap(payload))


def measure_layers(corpus: Corpus, unwrapped: Unwrapped) -> Overlap:
    """Compare what `unwrap` found; for callers that need the layers for other detectors too."""
    words, shape = _Tally(corpus.words), _Tally(corpus.shape)
    left = TOKENS_IF_TRUNCATED if unwrapped.truncated else TOKENS_MAX
    for text in dict.fromkeys(unwrapped.texts):
        tokens = tokenise(text)[: max(0, left)]
        left -= len(tokens) + 1
        words.add(words_as_codes(tokens))
        bare = without_comments(text)
        shape.add(shape_as_codes(tokens if bare is text else tokenise(bare)[: len(tokens)]))
        if left < 0:
            break
    best = max(words, shape, key=lambda tally: len(tally.found))
    return Overlap(
        matched=len(best.found),
        share_bp=max(words.share_bp(), shape.share_bp()),
        source=best.source(),
        truncated=unwrapped.truncated or corpus.partial or left < 0,
        fingerprints=frozenset(words.found | {value | _SHAPE_BIT for value in shape.found}),
    )


class _Tally:
    """Fingerprints of one form found so far."""

    def __init__(self, form: _Form) -> None:
        self.found: set[int] = set()
        self._form = form
        self._layer_bp = 0

    def add(self, codes: Sequence[int]) -> None:
        grams = set(rolling_hashes(codes, self._form.length))
        found = self._form.owners.keys() & grams
        if found:
            self.found |= found
            expected = max(SMALL, len(grams) * 2 // (WINDOW + 1))
            self._layer_bp = max(self._layer_bp, min(10_000, len(found) * 10_000 // expected))

    def _by_source(self) -> Counter[str]:
        return Counter(self._form.owners[fingerprint] for fingerprint in self.found)

    def source(self) -> str | None:
        return max(sorted(self._by_source().items()), key=lambda item: item[1], default=(None, 0))[0]

    def share_bp(self) -> int:
        sizes = self._form.sizes
        shares = [count * 10_000 // max(SMALL, sizes[name]) for name, count in self._by_source().items()]
        return min(10_000, max([self._layer_bp, *shares]))


def _words_form(texts: Mapping[str, bytes], known: Sequence[bytes]) -> _Form:
    """As written, forwards and (for a payload turned around, at no cost when measuring) backwards."""
    boring = {gram for text in known for gram in rolling_hashes(words_as_codes(tokenise(text)), WORDS)}
    owners: dict[int, str] = {}
    sizes: dict[str, int] = {}
    for name, text in texts.items():
        tokens = tokenise(text)
        sizes[name] = _own(name, words_as_codes(tokens), WORDS, boring, owners, _tells_words)
        backwards = tokenise(text[::-1])
        _own(name, words_as_codes(backwards), WORDS, boring, owners, _tells_words)
    return _Form(WORDS, owners, sizes)


def _shape_form(texts: Mapping[str, bytes], known: Sequence[bytes]) -> _Form:
    boring = {gram for text in known for gram in rolling_hashes(shape_as_codes(tokenise(text)), SHAPE)}
    owners: dict[int, str] = {}
    sizes: dict[str, int] = {}
    for name, text in texts.items():
        codes = shape_as_codes(tokenise(without_comments(text)))
        sizes[name] = _own(name, codes, SHAPE, boring, owners, _tells_shape)
    return _Form(SHAPE, owners, sizes)


def _own(
    name: str,
    codes: Sequence[int],
    length: int,
    boring: set[int],
    owners: dict[int, str],
    tells: Callable[[Sequence[int]], bool],
) -> int:
    """Add the fingerprints of one source; how many there are."""
    hashes = rolling_hashes(codes, length)
    wanted = winnow(hashes, WINDOW) - boring
    count = 0
    for place, value in enumerate(hashes):
        if value in wanted:
            wanted.discard(value)
            if tells(codes[place : place + length]):
                owners.setdefault(value, name)
                count += 1
    return count


def _tells_words(run: Sequence[int]) -> bool:
    return len(set(run)) >= _DISTINCT_WORDS


def _tells_shape(run: Sequence[int]) -> bool:
    """Whether a nameless run is program text: prose has too few marks, data no keywords, tables too little variety."""
    marks = sum(1 for code in run if is_mark(code))
    keywords = sum(1 for code in run if is_keyword(code))
    return marks >= _MARKS_MIN and keywords >= 1 and len(set(run)) >= _DISTINCT_SHAPE
