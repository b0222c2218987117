"""The keys: one secret, encrypted on disk, which is the owner's key and from which each run's is derived.

It is made at first use and kept as a Web3 Secret Storage v3 file (scrypt) in `FOLDER/owner.json`, mode 0600
(`keyfile.py`). A run's key is HKDF-SHA256 (RFC 5869) of it with a fixed salt and the run's id as info: another run id
gives an unrelated key, a run's key says nothing about the secret, and nothing per run has to be kept. Where somebody
else holds the owner's key (`signer/kms.py`), only the runs' keys come from it. Keys leave this object as signatures.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from safebox.firewall.accounts import (
    CURVE_ORDER,
    LocalAccount,
    SignedTransaction,
    signed_transaction,
    unsigned_transaction,
)
from safebox.firewall.keyfile import OWNER_NAME, SCRYPT_N, open_key

if TYPE_CHECKING:
    from safebox.firewall.ports import KeyHolder

OWNER: Final = "owner"
"""Who signs for the treasury; no run may have this id."""
_SALT: Final = b"safebox run key v1"


class Keystore:
    """Signs for the owner and for runs.

    Args:
        secret: 32 bytes, a private key; use `Keystore.open` outside tests.
        owner: holds the owner's key, if the secret isn't it.
    """

    def __init__(self, secret: bytes, owner: KeyHolder | None = None) -> None:
        self._secret = secret
        self._holders: dict[str, KeyHolder] = {OWNER: owner or LocalAccount(secret)}

    @classmethod
    def open(cls, folder: Path, passphrase_file: Path, *, scrypt_n: int = SCRYPT_N) -> Keystore:
        """Open the keystore in `folder`; the first time, make the owner's key (and a passphrase, if there is none).

        Raises:
            ConfigError: A file is readable by others, damaged, or the passphrase doesn't open the key.
        """
        return cls(open_key(folder / OWNER_NAME, passphrase_file, scrypt_n=scrypt_n))

    @property
    def owner_address(self) -> str:
        """The owner's address, checksummed."""
        return self.address_of(OWNER)

    def create_for_run(self, run_id: str) -> str:
        """Derive a run's key and return its checksummed address; the same run id gives the same address.

        Raises:
            ValueError: The run id is empty or the owner's.
        """
        if not run_id or run_id == OWNER:
            raise ValueError("no run has this id")
        if run_id not in self._holders:
            self._holders[run_id] = LocalAccount(self._derive(run_id))
        return self.address_of(run_id)

    def address_of(self, signer: str) -> str:
        """The address of the owner (`OWNER`) or of a run made with `create_for_run`.

        Raises:
            KeyError: There is no such run.
        """
        return str(self._holders[signer].address)

    def sign_transaction(self, signer: str, transaction: dict[str, Any]) -> SignedTransaction:
        """Sign a transaction for the owner (`OWNER`) or a run; the same fields give the same bytes (RFC 6979).

        Raises:
            KeyError: There is no such run.
            EffectError: Who holds the owner's key doesn't sign.
            ValueError: It is no complete EIP-1559 transaction bound to a chain.
        """
        wanted = {"type", "chainId", "nonce", "to", "value", "data", "gas", "maxFeePerGas", "maxPriorityFeePerGas"}
        if set(transaction) != wanted or transaction["type"] != 2:  # noqa: PLR2004 (EIP-1559's number)
            raise ValueError("only complete EIP-1559 transactions are signed")
        return self.sign_payload(signer, unsigned_transaction(transaction))

    def sign_payload(self, signer: str, payload: bytes) -> SignedTransaction:
        """Sign an unsigned EIP-1559 transaction as it is written, for the owner (`OWNER`) or a run.

        Raises:
            KeyError: There is no such run.
            EffectError: Who holds the owner's key doesn't sign.
            ValueError: It is no such transaction.
        """
        return signed_transaction(payload, self._holders[signer].sign_digest)

    def sign_digest(self, signer: str, digest: bytes) -> bytes:
        """Sign the hash of a transaction, a message or typed data, for the owner (`OWNER`) or a run; r, s and v.

        Raises:
            KeyError: There is no such run.
            EffectError: Who holds the owner's key doesn't sign.
        """
        return self._holders[signer].sign_digest(digest)

    def repeats(self, signer: str) -> bool:
        """Whether the same hash always gets the same signature; that of a run's key does."""
        return signer != OWNER or self._holders[OWNER].repeats

    def forget_run(self, run_id: str) -> None:
        """Drop a run's key from memory; `create_for_run` derives it again."""
        found = self._holders.pop(run_id, None) if run_id != OWNER else None
        if found is not None:
            found.forget()

    def __repr__(self) -> str:
        return f"Keystore(owner={self.owner_address})"

    def _derive(self, run_id: str) -> bytes:
        for attempt in range(256):
            info = run_id.encode() + bytes([0, attempt])
            key = HKDF(algorithm=SHA256(), length=32, salt=_SALT, info=info).derive(self._secret)
            if 0 < int.from_bytes(key) < CURVE_ORDER:
                return key
        raise AssertionError("256 derived keys in a row were out of range")
