"""What an approver signs, and the keys for it.

The signature is Ed25519 over a line that names its purpose and the canonical JSON of a `Statement`. The statement names
one held decision, its run, the digest of its action and the policy bundle, so that a yes to one thing is a yes to
nothing else. A private key is one line of text, a note signer key as in c2sp.org/signed-note; a public one a verifier
key.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, Literal, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from safebox.firewall.core.action import canonical
from safebox.firewall.core.checkpoint import ED25519, Verifier
from safebox.firewall.core.record import Voted
from safebox.firewall.errors import ConfigError

DOMAIN: Final = b"safebox approval 1\n"
"""What is signed here starts with this line, and nothing else that a key of safebox signs does."""
_PRIVATE: Final = "PRIVATE+KEY"
_SEED_BYTES: Final = 32


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One person's yes or no to one held decision. `signed_ns` is the time on the signer's own clock."""

    hold: str
    run: str
    digest: str
    bundle: str
    group: str
    verdict: Literal["approve", "deny"]
    approver: str
    signed_ns: int

    def signed_bytes(self) -> bytes:
        """Exactly what is signed."""
        return DOMAIN + canonical(self)


class Signable(Protocol):
    """What a person may sign; it says its purpose in the bytes."""

    def signed_bytes(self) -> bytes:
        """Exactly what is signed."""
        ...


class Signer(msgspec.Struct, frozen=True):
    """An approver's private key; `text` is what the key file holds."""

    name: str
    seed: bytes

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return Verifier(self.name, public.public_bytes(Encoding.Raw, PublicFormat.Raw))

    def text(self) -> str:
        """The key as one line."""
        encoded = base64.b64encode(ED25519 + self.seed).decode()
        return f"{_PRIVATE}+{self.name}+{self.verifier.id.hex()}+{encoded}"

    def sign(self, statement: Signable) -> str:
        """Sign a statement; the signature as base64."""
        return base64.b64encode(Ed25519PrivateKey.from_private_bytes(self.seed).sign(statement.signed_bytes())).decode()

    @classmethod
    def make(cls, name: str) -> Signer:
        """A new key, from the system's randomness."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))

    @classmethod
    def parse(cls, text: str) -> Signer:
        """Read a key that `text` wrote.

        Raises:
            ConfigError: if it is none. The message repeats nothing of it.
        """
        name, _, rest = text.strip().removeprefix(f"{_PRIVATE}+").partition("+")
        digits, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if not text.startswith(_PRIVATE) or not name or raw[:1] != ED25519 or len(raw) != _SEED_BYTES + 1:
            raise ConfigError("this is no approver's private key", remedy="safebox approvals keygen NAME makes one")
        signer = cls(name, raw[1:])
        if signer.verifier.id.hex() != digits:
            raise ConfigError("this private key is damaged: its id does not fit", remedy="restore the file")
        return signer


def statement_of(vote: Voted) -> Statement:
    """What the signature of a recorded vote is over."""
    return Statement(
        hold=vote.hold,
        run=vote.run,
        digest=vote.digest,
        bundle=vote.bundle,
        group=vote.group,
        verdict=vote.verdict,
        approver=vote.approver,
        signed_ns=vote.signed_ns,
    )


def is_signed(vote: Voted) -> bool:
    """Whether a recorded vote carries a good signature of the key it names, which bears the approver's name."""
    try:
        verifier = Verifier.parse(vote.key)
        signature = base64.b64decode(vote.signature, validate=True)
        Ed25519PublicKey.from_public_bytes(verifier.key).verify(signature, statement_of(vote).signed_bytes())
    except (ConfigError, binascii.Error, InvalidSignature, ValueError):
        return False
    return verifier.name == vote.approver
