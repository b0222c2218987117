"""Signs what the ledger has become: an Ed25519 checkpoint over its Merkle tree, soon after each commit.

The key is in the state folder and never in a record; its public half is all a verifier needs. Who can write the ledger
but not read the key can't forge a checkpoint; who has both can, so keep checkpoints elsewhere, too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from safebox.firewall.core.checkpoint import Checkpoint, Verifier, sign
from safebox.firewall.core.merkle import Tree, leaf_hash
from safebox.firewall.errors import ConfigError

KEY_NAME: Final = "checkpoint.key"
VERIFIER_NAME: Final = "checkpoint.pub"
SIGNER: Final = "safebox"
_KEY_BYTES: Final = 32


class Notary:
    """Keeps a ledger's tree and signs its checkpoints.

    Args:
        key: signs.
        origin: names the ledger; goes into every checkpoint.
    """

    def __init__(self, key: Ed25519PrivateKey, origin: str) -> None:
        self._key = key
        self._origin = origin
        self._tree = Tree()

    @classmethod
    def open(cls, folder: Path) -> Notary:
        """The notary of a state folder; makes its key and publishes the verifier key at first use.

        Raises:
            ConfigError: if the key can't be read, or others could read it.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / KEY_NAME
        try:
            if not path.exists():
                key = Ed25519PrivateKey.generate()
                _write_new(path, key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
            if path.stat().st_mode & 0o077:
                raise ConfigError(f"others could read {path}", remedy=f"chmod 600 {path}")
            raw = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path} can't be used: {error.strerror}", remedy="restore the file") from error
        if len(raw) != _KEY_BYTES:
            raise ConfigError(f"{path} is no checkpoint key", remedy="restore the file")
        notary = cls(Ed25519PrivateKey.from_private_bytes(raw), origin_of(raw))
        (folder / VERIFIER_NAME).write_text(notary.verifier.text() + "\n", encoding="ascii")
        return notary

    @property
    def verifier(self) -> Verifier:
        """The public key that checks this notary's checkpoints."""
        return Verifier(SIGNER, self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @property
    def size(self) -> int:
        """How many records the tree has."""
        return self._tree.size

    def add(self, record: bytes) -> None:
        """Take one more record into the tree."""
        self._tree.append(leaf_hash(record))

    def checkpoint(self) -> str:
        """Sign the tree as it is."""
        return self._signed(self._tree)

    def checkpoint_with(self, records: Sequence[bytes]) -> str:
        """Sign the tree as it will be with these records, which are not in it yet."""
        tree = self._tree.copy()
        for record in records:
            tree.append(leaf_hash(record))
        return self._signed(tree)

    def _signed(self, tree: Tree) -> str:
        return sign(Checkpoint(self._origin, tree.size, tree.root()), SIGNER, self._key)


def origin_of(key: bytes) -> str:
    """Name the ledger after its key, so that no other ledger's checkpoint fits it."""
    public = Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"safebox/ledger/{hashlib.sha256(public).hexdigest()[:16]}"


def _write_new(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
