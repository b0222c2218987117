"""The keys: one owner key, encrypted on disk, from which each run's key is derived.

The owner's key is made at first use and kept as a Web3 Secret Storage v3 file (scrypt) in `FOLDER/owner.json`, mode
0600. Opening it costs about a second, once. A run's key is HKDF-SHA256 (RFC 5869) of the owner's key with a fixed salt
and the run's id as info: another run id gives an unrelated key, a run's key says nothing about the owner's, and nothing
per run has to be kept. Keys leave this object only as signatures.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json

from safebox.firewall.accounts import Account, LocalAccount, SignedTransaction
from safebox.firewall.errors import ConfigError

OWNER: Final = "owner"
"""Who signs for the treasury; no run may have this id."""
SCRYPT_N: Final = 2**18
"""The work factor geth uses for keys at rest: about a second and 256 MiB. Only tests lower it."""
_CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""secp256k1's (SEC 2): a private key is below it and not 0."""
_SALT: Final = b"safebox run key v1"
_PASSPHRASE_BYTES: Final = 32
_KEYFILE_BYTES_MAX: Final = 65_536
_PRIVATE: Final = 0o600


class Keystore:
    """Holds the owner's key and signs for the owner and for runs.

    Args:
        owner_key: the owner's 32-byte private key; use `Keystore.open` outside tests.
    """

    def __init__(self, owner_key: bytes) -> None:
        self._owner_key = owner_key
        self._accounts: dict[str, LocalAccount] = {OWNER: _account(owner_key)}

    @classmethod
    def open(cls, folder: Path, passphrase_file: Path, *, scrypt_n: int = SCRYPT_N) -> Keystore:
        """Open the keystore in `folder`; the first time, make the owner's key (and a passphrase, if there is none).

        Raises:
            ConfigError: A file is readable by others, damaged, or the passphrase doesn't open the key.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "owner.json"
        passphrase = _passphrase(passphrase_file, may_make=not path.exists())
        if not path.exists():
            _write_new(path, _encrypted(secrets.token_bytes(32), passphrase, scrypt_n))
        return cls(_decrypted(path, passphrase))

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
        if run_id not in self._accounts:
            self._accounts[run_id] = _account(self._derive(run_id))
        return self.address_of(run_id)

    def address_of(self, signer: str) -> str:
        """The address of the owner (`OWNER`) or of a run made with `create_for_run`.

        Raises:
            KeyError: There is no such run.
        """
        return str(self._accounts[signer].address)

    def sign_transaction(self, signer: str, transaction: dict[str, Any]) -> SignedTransaction:
        """Sign a transaction for the owner (`OWNER`) or a run; the same fields give the same bytes (RFC 6979).

        Raises:
            KeyError: There is no such run.
            ValueError: It is no complete EIP-1559 transaction bound to a chain.
        """
        wanted = {"type", "chainId", "nonce", "to", "value", "data", "gas", "maxFeePerGas", "maxPriorityFeePerGas"}
        if set(transaction) != wanted or transaction["type"] != 2:  # noqa: PLR2004 (EIP-1559's number)
            raise ValueError("only complete EIP-1559 transactions are signed")
        return self._accounts[signer].sign_transaction(transaction)

    def forget_run(self, run_id: str) -> None:
        """Drop a run's key from memory; `create_for_run` derives it again."""
        if run_id != OWNER:
            self._accounts.pop(run_id, None)

    def __repr__(self) -> str:
        return f"Keystore(owner={self.owner_address})"

    def _derive(self, run_id: str) -> bytes:
        for attempt in range(256):
            info = run_id.encode() + bytes([0, attempt])
            key = HKDF(algorithm=SHA256(), length=32, salt=_SALT, info=info).derive(self._owner_key)
            if 0 < int.from_bytes(key) < _CURVE_ORDER:
                return key
        raise AssertionError("256 derived keys in a row were out of range")


def passphrase_path(state: Path) -> Path:
    """Where the passphrase is: `$SAFEBOX_PASSPHRASE_FILE`, else `passphrase` in the state folder."""
    named = os.environ.get("SAFEBOX_PASSPHRASE_FILE")
    return Path(named) if named else state / "passphrase"


def _account(key: bytes) -> LocalAccount:
    return cast("LocalAccount", Account.from_key(key))


def _passphrase(path: Path, *, may_make: bool) -> bytes:
    if may_make and not path.exists():
        with suppress(FileExistsError):
            _write_new(path, secrets.token_hex(_PASSPHRASE_BYTES).encode() + b"\n")
    passphrase = _read_private(path).rstrip(b"\r\n")
    if not passphrase:
        raise ConfigError(f"{path} is empty", remedy="restore the file with the keystore's passphrase")
    return passphrase


def _encrypted(key: bytes, passphrase: bytes, scrypt_n: int) -> bytes:
    return msgspec.json.encode(create_keyfile_json(key, passphrase, kdf="scrypt", iterations=scrypt_n))


def _decrypted(path: Path, passphrase: bytes) -> bytes:
    try:
        document = msgspec.json.decode(_read_private(path), type=dict[str, Any])
        return bytes(decode_keyfile_json(document, passphrase))
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        # Never the library's own words: they could repeat what it read.
        raise ConfigError(
            f"{path} could not be opened with the passphrase given",
            remedy="restore the keystore folder and the passphrase file from the same backup",
        ) from error


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{path} could not be read: {error.strerror}", remedy="restore the file") from error
    with open(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
            raise ConfigError(f"{path} must be a file that only its owner can read", remedy=f"chmod 600 {path}")
        return file.read(_KEYFILE_BYTES_MAX)


def _write_new(path: Path, content: bytes) -> None:
    """Create a private file, whole or not at all, and make it durable."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
