"""Secrets that would leave, known by value or by structure.

Known values (this run's keys, canaries, upstream credentials) are found in any encoding, backwards, spaced out, or one
half alone. Unknown ones are found by what they look like, and by the words around them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from safebox.firewall.behaviour.phrases import Wordlist, has_recovery_phrase
from safebox.firewall.behaviour.unwrap import Unwrapped, unwrap
from safebox.firewall.behaviour.work import OUTPUT_BYTES_MAX

KNOWN_SECRET: Final = "known_secret"  # noqa: S105 -- the name of a kind
PRIVATE_KEY: Final = "private_key"
RECOVERY_PHRASE: Final = "recovery_phrase"
KEYSTORE: Final = "keystore"
API_KEY: Final = "api_key"
PEM_PRIVATE_KEY: Final = "pem_private_key"
MODEL_WEIGHTS: Final = "model_weights"
HIGH_ENTROPY: Final = "high_entropy"

SECRET_BYTES_MIN: Final = 8
"""A shorter known value would be found in anything."""
OPAQUE_BYTES_MAX: Final = 16_384
"""Noise that may leave in one payload: 60 KB of program text compress and encrypt to this; a small picture is below."""
SEARCHED_IF_TRUNCATED: Final = 1_048_576
"""Bytes searched for evidence when the answer is no already."""

_HALVED_FROM: Final = 24
"""From this length half a secret is a secret: 16 bytes of a key leave 128 bits to guess, too near for comfort."""
_CONTEXT: Final = 48
"""Bytes before a number in which the word that says what it is stands."""
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of secp256k1: a private key is below it (SEC 2, 2.4.1)."""

_OTHER_THAN_ALNUM: Final = bytes(byte for byte in range(256) if not (chr(byte).isalnum() and byte < 128))  # noqa: PLR2004
_HEX_KEY: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_MEANING: Final = re.compile(
    rb"(?P<plain>(?:public|pub|idempotency|cache|primary|foreign|sort)[ _-]?key|hash|digest|sha\d*|transaction|\btx"
    rb"|commit|block|checksum|fingerprint|topic|root)"
    rb"|(?P<secret>priv|secret|seed|mnemonic|signing|\bpk\b|\bsk\b|key)"
)
_AFTERWARDS: Final = re.compile(rb"[\s\"',.;:)]*(?:is|was|=|<-)?\s*(?:\w+\s+){0,2}(?:private|secret|signing)")
_API_KEYS: Final = re.compile(
    rb"(?<![A-Za-z0-9])(?:(?P<openai>sk-[A-Za-z0-9_-]{20,200}+)|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}"
    rb"|xox[abprs]-[0-9A-Za-z-]{20,200})"
)
_DIGIT: Final = re.compile(rb"[0-9]")
_PEM: Final = re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEYSTORE: Final = (b"ciphertext", b"kdf", b"mac", b"cipher")
_LEGACY_TORCH: Final = b"l\xfc\x9cF\xf9 j\xa8P\x19"
"""The pickled magic number torch.save wrote before it wrote zip files."""
_TENSORS: Final = re.compile(rb"\"data_offsets\"\s{0,8}:\s{0,8}\[")
_WEIGHT_FILES: Final = (*(b"GGUF" + bytes((version, 0, 0, 0)) for version in range(1, 10)), b"\x89HDF\r\n\x1a\n")


@dataclass(frozen=True, slots=True)
class KnownSecrets:
    """What to search for: exact bytes, letters in lower case, and base64 letters."""

    raw: tuple[bytes, ...]
    folded: tuple[bytes, ...]
    base64: tuple[bytes, ...]

    @classmethod
    def build(cls, values: Iterable[bytes]) -> KnownSecrets:
        """Prepare known secret values.

        Raises:
            ValueError: if one is shorter than `SECRET_BYTES_MIN`, which can't be searched for.
        """
        raw: set[bytes] = set()
        folded: set[bytes] = set()
        letters: set[bytes] = set()
        for value in values:
            if len(value) < SECRET_BYTES_MIN:
                raise ValueError(f"a known secret needs at least {SECRET_BYTES_MIN} bytes")
            folded.add(str(int.from_bytes(value, "big")).encode())
            for part in _parts(value):
                raw |= {part, part[::-1]}
                folded |= _folded(part)
                letters |= _base64_cores(part)
        return cls(tuple(sorted(raw)), tuple(sorted(folded)), tuple(sorted(letters)))

    def are_in(self, layer: bytes, text: bytes) -> bool:
        """Whether one of them is in a layer of a payload; `text` is the same layer normalised."""
        letters = layer.translate(None, _OTHER_THAN_ALNUM)
        bare = text.replace(b"0x", b"").translate(None, _OTHER_THAN_ALNUM)
        return (
            any(value in layer for value in self.raw)
            or any(value in bare for value in self.folded)
            or any(value in letters for value in self.base64)
        )


def find_secrets(payload: bytes | Unwrapped, known: KnownSecrets, words: Wordlist) -> tuple[str, ...]:
    """Which kinds of secrets a payload carries, sorted; empty for none."""
    unwrapped = unwrap(payload) if isinstance(payload, bytes) else payload
    kinds: set[str] = set()
    left = SEARCHED_IF_TRUNCATED if unwrapped.truncated else OUTPUT_BYTES_MAX * 2
    for layer, text in zip(unwrapped.layers, unwrapped.texts, strict=True):
        if left <= 0:
            break
        left -= len(layer)
        if known.are_in(layer, text):
            kinds.add(KNOWN_SECRET)
        kinds |= _by_structure(layer) | _by_words(text, words)
    if unwrapped.opaque > OPAQUE_BYTES_MAX:
        kinds.add(HIGH_ENTROPY)
    return tuple(sorted(kinds))


def _parts(value: bytes) -> tuple[bytes, ...]:
    half = len(value) // 2
    return (value,) if len(value) < _HALVED_FROM else (value[:half], value[half:])


def _folded(part: bytes) -> set[bytes]:
    """A part as hex and, if it is text, as its letters and digits; both ways round."""
    forms = {part.hex().encode()}
    if part.isascii():
        bare = part.lower().translate(None, _OTHER_THAN_ALNUM)
        if len(bare) >= SECRET_BYTES_MIN:
            forms.add(bare)
    return forms | {form[::-1] for form in forms}


def _base64_cores(part: bytes) -> set[bytes]:
    """The letters that stand for a part wherever in a base64 text it starts, without those its neighbours share."""
    cores: set[bytes] = set()
    for shift in range(3):
        core = base64.b64encode(bytes(shift) + part)[(shift * 8 + 5) // 6 :]
        core = core.rstrip(b"=")[: -1 if (len(part) + shift) % 3 else None]
        bare = core.translate(None, _OTHER_THAN_ALNUM)
        cores |= {bare, bare[::-1]}
    return {core for core in cores if len(core) >= SECRET_BYTES_MIN}


def _by_structure(layer: bytes) -> set[str]:
    kinds: set[str] = set()
    if any(not found["openai"] or _DIGIT.search(found[0]) for found in _API_KEYS.finditer(layer)):
        kinds.add(API_KEY)
    if _PEM.search(layer):
        kinds.add(PEM_PRIVATE_KEY)
    if all(word in layer for word in _KEYSTORE):
        kinds.add(KEYSTORE)
    if _is_weights(layer):
        kinds.add(MODEL_WEIGHTS)
    return kinds


def _is_weights(layer: bytes) -> bool:
    """Whether it is a model's parameters: safetensors, GGUF, HDF5, or what torch.save writes, now or long ago."""
    zipped_pickle = b"PK\x03\x04" in layer and b"/data.pkl" in layer
    magic = any(start in layer for start in (_LEGACY_TORCH, *_WEIGHT_FILES))  # a file comes after the mail's text
    return zipped_pickle or magic or _TENSORS.search(layer) is not None


def _by_words(text: bytes, words: Wordlist) -> set[str]:
    kinds: set[str] = set()
    if any(_is_private_key(text, found) for found in _HEX_KEY.finditer(text)):
        kinds.add(PRIVATE_KEY)
    if has_recovery_phrase(text, words):
        kinds.add(RECOVERY_PHRASE)
    return kinds


def _is_private_key(text: bytes, found: re.Match[bytes]) -> bool:
    """Whether the nearest word that says what a 32-byte number is calls it a secret."""
    if not 0 < int(found[0], 16) < _ORDER:
        return False
    before = text[max(0, found.start() - _CONTEXT) : found.start()]
    meanings = list(_MEANING.finditer(before))
    if meanings and meanings[-1]["secret"]:
        return True
    return _AFTERWARDS.match(text, found.end(), found.end() + _CONTEXT) is not None
