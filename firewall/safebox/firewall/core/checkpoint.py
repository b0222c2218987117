"""Signed checkpoints: who says that a ledger of this size has this root, in the C2SP forms others can check.

The text is a checkpoint of c2sp.org/tlog-checkpoint inside a note of c2sp.org/signed-note, signed with Ed25519:

    safebox/ledger/<id>
    1234
    <base64 of the root>

    — safebox <base64 of key id and signature>
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from safebox.firewall.core.merkle import HASH_BYTES
from safebox.firewall.errors import ConfigError

ED25519: Final = b"\x01"
"""The signature type of c2sp.org/signed-note."""
_ID_BYTES: Final = 4
_SIGNATURE_BYTES: Final = 64
_NOTE_BYTES_MAX: Final = 65_536
_DASH: Final = "— "  # EM DASH and a space: what a signature line starts with
_ONE_NOTE: Final = re.compile(r"(?:[^\n]+\n){3,16}\n(?:— [^\n]+\n)+")


class Checkpoint(msgspec.Struct, frozen=True):
    """The state of a ledger: which one, how many records, and the root over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class Verifier(msgspec.Struct, frozen=True):
    """A public key with its name; written `<name>+<key id>+<base64>` (a C2SP verifier key)."""

    name: str
    key: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that find the right signature line."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.key).digest()[:_ID_BYTES]

    def text(self) -> str:
        """The key as people copy it."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(ED25519 + self.key).decode()}"

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read a key that `text` wrote.

        Raises:
            ConfigError: if it is none, or its id doesn't fit.
        """
        name, _, rest = text.strip().partition("+")
        digits, _, encoded = rest.partition("+")
        try:
            raw = _decode(encoded)
        except binascii.Error as error:
            raise ConfigError(
                "not a verifier key", remedy="write NAME+ID+BASE64, as safebox audit key prints it"
            ) from error
        found = cls(name, raw[1:])
        if raw[:1] != ED25519 or len(raw) != HASH_BYTES + 1 or not name or found.id.hex() != digits:
            raise ConfigError("not an Ed25519 verifier key, or its id does not fit", remedy="copy the whole key again")
        return found


def sign(checkpoint: Checkpoint, name: str, key: Ed25519PrivateKey) -> str:
    """Sign a checkpoint as a note."""
    text = checkpoint.text()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    line = base64.b64encode(Verifier(name, public).id + key.sign(text.encode())).decode()
    return f"{text}\n{_DASH}{name} {line}\n"


def read(note: str, verifier: Verifier) -> Checkpoint:
    """Read a note that must carry a good signature of `verifier`.

    Raises:
        ConfigError: if it is no checkpoint, or nobody signed it with this key. Fails closed.
    """
    text, mark, signatures = note.partition("\n\n")
    if not mark or len(note) > _NOTE_BYTES_MAX or not note.endswith("\n"):
        raise ConfigError("not a signed checkpoint")
    text += "\n"
    if not any(_is_good(line, text, verifier) for line in signatures.split("\n")):
        raise ConfigError(f"the checkpoint has no good signature of {verifier.name}")
    return _parse(text)


def split(text: str) -> tuple[list[str], str]:
    """Part notes that were written one after another, and what follows the last whole one: the start of a cut note."""
    notes: list[str] = []
    place = 0
    while (found := _ONE_NOTE.match(text, place)) is not None:
        notes.append(found.group())
        place = found.end()
    return notes, text[place:]


def unchecked(note: str) -> Checkpoint:
    """What a note says, whoever signed it: enough to contradict a ledger, never to vouch for one.

    Raises:
        ConfigError: if it is no checkpoint.
    """
    return _parse(note.partition("\n\n")[0] + "\n")


def _is_good(line: str, text: str, verifier: Verifier) -> bool:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or name != verifier.name:
        return False
    try:
        raw = _decode(encoded)
        if raw[:_ID_BYTES] != verifier.id or len(raw) != _ID_BYTES + _SIGNATURE_BYTES:
            return False
        Ed25519PublicKey.from_public_bytes(verifier.key).verify(raw[_ID_BYTES:], text.encode())
    except (binascii.Error, InvalidSignature, ValueError):
        return False
    return True


def _decode(text: str) -> bytes:
    """Read base64 that has one way to be written."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise binascii.Error("not canonical")
    return raw


def _parse(text: str) -> Checkpoint:
    lines = text.split("\n")
    try:
        origin, size, root = lines[0], lines[1], _decode(lines[2])
    except (IndexError, binascii.Error) as error:
        raise ConfigError("not a checkpoint: it lacks origin, size or root") from error
    canonical = size.isascii() and size.isdecimal() and str(int(size)) == size
    if not origin or not canonical or len(root) != HASH_BYTES:
        raise ConfigError("not a checkpoint: its origin, size or root is malformed")
    return Checkpoint(origin, int(size), root)
