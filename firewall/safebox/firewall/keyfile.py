"""Key files: Web3 Secret Storage version 3 with scrypt, one key each, private and written whole or not at all.

Loads little, so that opening a key, which is slow on purpose, can begin before the rest of the firewall is loaded.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from safebox.firewall.core.addresses import keccak256
from safebox.firewall.durable import sync_folder
from safebox.firewall.errors import ConfigError
from safebox.firewall.signer.hardening import wipe

SCRYPT_N: Final = 2**18
"""The work factor geth uses for keys at rest: about a second and 256 MiB, for passphrases that people choose."""
MADE_SCRYPT_N: Final = 2**12
"""A passphrase made here is 256 random bits: nobody tries them all, however little each try costs."""
FOLDER: Final = "keystore"
OWNER_NAME: Final = "owner.json"
_R, _P, _DERIVED = 8, 1, 32
_SCRYPT_WORK_MAX: Final = 2**25
"""n·r·p: sixteen times what geth uses. A key file that wants more would keep its reader busy for ever."""
_PBKDF2_ROUNDS_MAX: Final = 10_000_000
_DERIVED_MAX: Final = 1_024
_MEMORY_MAX: Final = 2**31
"""A key file that wants more to be opened is damaged."""
_KEY_BYTES: Final = 32
_PASSPHRASE_BYTES: Final = 32
_FILE_BYTES_MAX: Final = 65_536
_PRIVATE: Final = 0o600
_AES_KEY: Final = 16
_VERSION: Final = 3


def owner_key(state: Path) -> bytes:
    """The owner's private key of a state folder; the first time, make all of it.

    Raises:
        ConfigError: as `open_key`.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    return open_key(state / FOLDER / OWNER_NAME, passphrase_path(state))


def open_key(path: Path, passphrase_file: Path, *, scrypt_n: int = SCRYPT_N) -> bytes:
    """The private key in a file; the first time, make it (and a passphrase, if there is none).

    Raises:
        ConfigError: A file is readable by others, damaged, or the passphrase doesn't open the key.
    """
    if not path.exists():
        with suppress(FileExistsError):  # somebody was faster: theirs is opened
            keep_key(path, passphrase_file, secrets.token_bytes(_KEY_BYTES), scrypt_n=scrypt_n)
    passphrase = _passphrase(passphrase_file)
    try:
        return _decrypted(path, passphrase)
    finally:
        wipe(passphrase)


def keep_key(path: Path, passphrase_file: Path, key: bytes, *, scrypt_n: int = SCRYPT_N) -> None:
    """Write a key to a file of its own, under the passphrase there is, else under one that is made. Overwrites nothing.

    Raises:
        FileExistsError: There is something at the path.
        ConfigError: The passphrase's file is readable by others or empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = not passphrase_file.exists()
    if made:
        with suppress(FileExistsError):
            _write_new(passphrase_file, secrets.token_hex(_PASSPHRASE_BYTES).encode() + b"\n")
    factor = min(scrypt_n, MADE_SCRYPT_N) if made else scrypt_n
    _write_new(path, _encrypted(key, _passphrase(passphrase_file), factor))


def unlock(document: bytes, passphrase: bytes) -> bytes:
    """The private key in another wallet's key file, given what is in it.

    Raises:
        ValueError: It is no key file, or the passphrase is another one; the message says no more than that.
    """
    try:
        fields = msgspec.json.decode(document, type=dict[str, Any])
        return _key_of(fields["version"], fields["crypto"], passphrase)
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        raise ValueError("it is no key file of version 3, or the passphrase is another one") from error


def read_passphrase(path: Path) -> bytes:
    """A passphrase's file, which nobody else may be able to read.

    Raises:
        ConfigError: It is readable by others, empty or gone.
    """
    return _passphrase(path)


def owner_address(state: Path) -> str:
    """The owner's address of a state folder, checksummed. Makes nothing.

    Raises:
        ConfigError: There is no owner's key yet, or as `open_key`.
    """
    from safebox.firewall.accounts import LocalAccount  # only people's commands ask for it here

    path = state / FOLDER / OWNER_NAME
    if not path.exists():
        raise ConfigError(f"there is no wallet at {path} yet", remedy="safebox wallet init makes one")
    return str(LocalAccount(_decrypted(path, _passphrase(passphrase_path(state)))).address)


def passphrase_path(state: Path) -> Path:
    """Where the passphrase is: `$SAFEBOX_PASSPHRASE_FILE`, else `passphrase` in the state folder."""
    named = os.environ.get("SAFEBOX_PASSPHRASE_FILE")
    return Path(named) if named else state / "passphrase"


def _passphrase(file: Path) -> bytes:
    found = _read_private(file).rstrip(b"\r\n")
    if not found:
        raise ConfigError(f"{file} is empty", remedy="restore the file with the keystore's passphrase")
    return found


def _encrypted(key: bytes, passphrase: bytes, scrypt_n: int) -> bytes:
    salt, iv = secrets.token_bytes(_DERIVED), secrets.token_bytes(_AES_KEY)
    parameters = {"dklen": _DERIVED, "n": scrypt_n, "r": _R, "p": _P, "salt": salt.hex()}
    derived = _derived("scrypt", parameters, passphrase)
    ciphertext = _ctr(derived, iv, key)
    crypto = {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": iv.hex()},
        "ciphertext": ciphertext.hex(),
        "kdf": "scrypt",
        "kdfparams": parameters,
        "mac": _mac(derived, ciphertext).hex(),
    }
    return msgspec.json.encode({"version": _VERSION, "id": str(uuid.uuid4()), "crypto": crypto})


def _decrypted(path: Path, passphrase: bytes) -> bytes:
    try:
        document = msgspec.json.decode(_read_private(path), type=dict[str, Any])
        return _key_of(document["version"], document["crypto"], passphrase)
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        # Never the library's own words: they could repeat what it read.
        raise ConfigError(
            f"{path} could not be opened with the passphrase given",
            remedy="restore the keystore folder and the passphrase file from the same backup",
        ) from error


def _key_of(version: int, crypto: dict[str, Any], passphrase: bytes) -> bytes:
    if version != _VERSION or crypto["cipher"] != "aes-128-ctr":
        raise ValueError("not a key file of version 3")
    derived = _derived(crypto["kdf"], crypto["kdfparams"], passphrase)
    ciphertext = bytes.fromhex(crypto["ciphertext"])
    try:
        if not hmac.compare_digest(_mac(derived, ciphertext), bytes.fromhex(crypto["mac"])):
            raise ValueError("the passphrase is another one")
        return _ctr(derived, bytes.fromhex(crypto["cipherparams"]["iv"]), ciphertext)
    finally:
        wipe(derived)


def _derived(kind: str, parameters: dict[str, Any], passphrase: bytes) -> bytes:
    """The key's key: by scrypt, or by PBKDF2 as other wallets write it. Other threads run meanwhile."""
    salt, length = bytes.fromhex(parameters["salt"]), int(parameters["dklen"])
    if not _DERIVED <= length <= _DERIVED_MAX:
        raise ValueError("the derived key is too short or too long")
    if kind == "scrypt":
        n, r, p = (int(parameters[name]) for name in "nrp")
        if n * r * p > _SCRYPT_WORK_MAX:
            raise ValueError("it takes too much work")
        return hashlib.scrypt(passphrase, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY_MAX - 1, dklen=length)
    if kind == "pbkdf2" and parameters["prf"] == "hmac-sha256":
        rounds = int(parameters["c"])
        if rounds > _PBKDF2_ROUNDS_MAX:
            raise ValueError("it takes too much work")
        return hashlib.pbkdf2_hmac("sha256", passphrase, salt, rounds, length)
    raise ValueError("an unknown way of deriving keys")


def _mac(derived: bytes, ciphertext: bytes) -> bytes:
    return keccak256(derived[_AES_KEY:_DERIVED] + ciphertext)


def _ctr(derived: bytes, iv: bytes, data: bytes) -> bytes:
    cipher = Cipher(AES(derived[:_AES_KEY]), CTR(iv)).encryptor()
    return cipher.update(data) + cipher.finalize()


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{path} could not be read: {error.strerror}", remedy="restore the file") from error
    with open(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
            raise ConfigError(f"{path} must be a file that only its owner can read", remedy=f"chmod 600 {path}")
        return file.read(_FILE_BYTES_MAX)


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
    sync_folder(path.parent)
