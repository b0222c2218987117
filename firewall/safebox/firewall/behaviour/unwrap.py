"""The texts a payload carries: decodes, inflates and unpacks it, layer by layer, under a bound on the whole work."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, deque
from typing import Final, NamedTuple

from safebox.firewall.behaviour.containers import LONG_MAGICS, members
from safebox.firewall.behaviour.encodings import decoded, is_text, narrowed
from safebox.firewall.behaviour.tokens import normalise
from safebox.firewall.behaviour.work import DEPTH_MAX, Purse

PAYLOAD_BYTES_MAX: Final = 2 * 1024 * 1024
"""A longer payload is looked at up to here and reported as truncated."""
_NOISE_BYTES_MIN: Final = 256
"""Shorter pieces are hashes, signatures and identifiers, or words misread as base64."""
_NOISE_ENTROPY: Final = 6.8
"""256 random bytes have 7.2 bits each, longer noise more; English misread as base64 stays under 5.7."""
_WIDE: Final = re.compile(rb"(?:[\t-\r -~]\x00){16,}+")
"""UTF-16 within other bytes, an archive for one."""
_STRINGS: Final = re.compile(rb"[\t-\r -~]{16,}")


class Unwrapped(NamedTuple):
    """What a payload turned out to hold.

    Attributes:
        layers: the payload itself and everything found in it, outermost first, each once.
        texts: the same, normalised: lower case, no disguised characters; what the detectors read.
        opaque: bytes of noise (encrypted, or compressed in an unknown way) that nothing could be made of.
        truncated: some of it was not looked at; policy must treat this as a deny.
    """

    layers: tuple[bytes, ...]
    texts: tuple[bytes, ...]
    opaque: int
    truncated: bool


def unwrap(payload: bytes) -> Unwrapped:
    """Take a payload apart.

    Fails closed: past any bound the answer is `truncated`.
    """
    purse = Purse()
    purse.truncated = len(payload) > PAYLOAD_BYTES_MAX
    found = _Found(purse)
    found.add(payload[:PAYLOAD_BYTES_MAX], 0)
    while found.waiting and not purse.truncated:
        blob, depth = found.waiting.popleft()
        found.opaque += _open(blob, depth, found, purse)
    return Unwrapped(tuple(found.layers), tuple(map(normalise, found.layers)), found.opaque, purse.truncated)


class _Found:
    """Layers already seen, by digest, and those not opened yet."""

    def __init__(self, purse: Purse) -> None:
        self.layers: list[bytes] = []
        self.waiting: deque[tuple[bytes, int]] = deque()
        self.opaque = 0
        self._purse = purse
        self._seen: set[bytes] = set()

    def add(self, blob: bytes, depth: int) -> None:
        digest = hashlib.blake2b(blob, digest_size=16).digest()
        if digest in self._seen:
            return
        self._seen.add(digest)
        self._purse.layers -= 1
        if self._purse.layers < 0 or depth > DEPTH_MAX:
            self._purse.truncated = True
            return
        self.layers.append(blob)
        self.waiting.append((blob, depth))


def _open(blob: bytes, depth: int, found: _Found, purse: Purse) -> int:
    """Add what is in `blob`; how many bytes of it stay unexplained noise."""
    explained = 0
    for member in members(blob, purse):
        explained += member.end - member.start
        found.add(member.content, depth + 1)
    text = is_text(blob.replace(b"\x00", b"\n") if b"\x00" in blob else blob)
    narrow = narrowed(blob)
    if narrow is not blob:
        found.add(narrow, depth + 1)
    elif b"\x00" in blob and purse.attempt():
        pieces = [piece[::2] for piece in _WIDE.findall(blob)]
        if pieces and purse.produce(sum(map(len, pieces))):
            found.add(b"\n".join(pieces), depth + 1)
    if not text and not explained and any(magic[::-1] in blob for magic in LONG_MAGICS):
        found.add(blob[::-1], depth + 1)
    for inner in decoded(blob if text and b"\x00" not in blob else b"\n".join(_STRINGS.findall(blob)), purse):
        found.add(inner, depth + 1)
    rest = len(blob) - explained
    noise = not text and narrow is blob and rest >= _NOISE_BYTES_MIN and _entropy(blob) >= _NOISE_ENTROPY
    return rest if noise else 0


def _entropy(blob: bytes) -> float:
    """Shannon entropy of the bytes, in bits each."""
    size = len(blob)
    return sum(-count / size * math.log2(count / size) for count in Counter(blob).values())
