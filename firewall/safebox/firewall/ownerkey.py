"""The owner's key, made or taken in by a person: never over another, never while a firewall is up.

Every run's wallet is derived from it, so another key is refused while wallets of the present one may hold money.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

import msgspec

from safebox.firewall.accounts import LocalAccount
from safebox.firewall.errors import ConfigError, LedgerUnavailable
from safebox.firewall.keyfile import FOLDER, OWNER_NAME, keep_key, owner_key, passphrase_path, unlock
from safebox.firewall.keystore import Keystore
from safebox.firewall.signer.holders import FILE_NAME, read_service
from safebox.firewall.store.database import lock_ledger
from safebox.firewall.store.moves import read_leases

FILE_BYTES_MAX: Final = 65_536
_HEX: Final = re.compile(rb"(?:0x)?([0-9a-fA-F]{64})")
_OTHERS_WRITE: Final = 0o022


def owner_path(state: Path) -> Path:
    """Where the owner's key is in a state folder."""
    return state / FOLDER / OWNER_NAME


def make_owner(state: Path) -> str:
    """Make the owner's key; returns its address.

    Raises:
        ConfigError: if there is one, a firewall is up, or wallets of a lost one may hold money.
    """
    with _alone(state):
        _refuse_stranding(state, None)
        return str(LocalAccount(owner_key(state)).address)


def take_owner(state: Path, key: bytes) -> str:
    """Keep this key as the owner's; returns its address.

    Raises:
        ConfigError: as `make_owner`.
    """
    with _alone(state):
        _refuse_stranding(state, key)
        try:
            keep_key(owner_path(state), passphrase_path(state), key)
        except FileExistsError as error:
            raise _exists(owner_path(state)) from error
        return str(LocalAccount(owner_key(state)).address)


def read_key(content: bytes, passphrase: Callable[[], bytes]) -> bytes:
    """The private key in a key file (Web3 Secret Storage, version 3) or in 64 hexadecimal digits.

    Args:
        content: the file.
        passphrase: is asked if one is needed.

    Raises:
        ConfigError: if it is neither, damaged, or the passphrase is another one. It never repeats what was read.
    """
    text = content.strip()
    try:
        key = _key(text, passphrase)
        _check_named(text, str(LocalAccount(key).address))
    except ValueError as error:
        remedy = "give a whole key file of version 3 with its passphrase, or a key as 64 hexadecimal digits"
        raise ConfigError(f"the key can't be used: {_said(error)}", remedy=remedy, code="wallet.bad_key") from None
    return key


def _key(text: bytes, passphrase: Callable[[], bytes]) -> bytes:
    found = _HEX.fullmatch(text)
    if found is not None:
        return bytes.fromhex(found[1].decode())
    if text.startswith(b"{"):
        return unlock(text, passphrase())
    raise ValueError("it is neither a key file nor 64 hexadecimal digits")


def _said(error: ValueError) -> str:
    """Our own words, but never a library's, which could repeat what it read."""
    text = str(error)
    return text if text.startswith("it is ") else "it is no private key of this curve"


def _check_named(document: bytes, address: str) -> None:
    """A key file may say whose it is: then it must be.

    Raises:
        ValueError: if it is another's.
    """
    if not document.startswith(b"{"):
        return
    named: Any = msgspec.json.decode(document, type=dict[str, Any]).get("address")
    if isinstance(named, str) and named.lower().removeprefix("0x") != address.lower().removeprefix("0x"):
        raise ValueError("it is damaged: the address in it is not its key's")


@contextlib.contextmanager
def _alone(state: Path) -> Generator[None]:
    """Keep firewalls out, and see that no key is there and the place for one is ours alone.

    Raises:
        ConfigError: if that can't be.
    """
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = lock_ledger(state / "ledger.sqlite3", shared=False)
    except (LedgerUnavailable, OSError) as error:
        remedy = "stop the firewall of this state folder first, or name another by SAFEBOX_HOME"
        raise ConfigError(f"{state} is in use: {error}", remedy=remedy, code="wallet.in_use") from error
    try:
        _refuse_service(state)
        _check_place(state / FOLDER)
        if os.path.lexists(owner_path(state)):
            raise _exists(owner_path(state))
        yield
    finally:
        os.close(handle)


def _refuse_service(state: Path) -> None:
    """See that the owner's key is to be in a file.

    Raises:
        ConfigError: if a service holds it: whoever makes or takes in a key here would take that for the owner's.
    """
    if read_service(state) is not None:
        raise ConfigError(
            f"the owner's key is in the service that {state / FILE_NAME} names",
            remedy="safebox wallet show tells its address; the key of runs' wallets is made by the first firewall",
            code="wallet.in_service",
        )


def _check_place(folder: Path) -> None:
    try:
        about = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & _OTHERS_WRITE:
        remedy = f"put a folder there that only you can write to, or move {folder} away"
        raise ConfigError(f"{folder} is no folder of yours alone", remedy=remedy, code="wallet.unsafe_place")


def _exists(path: Path) -> ConfigError:
    return ConfigError(
        f"there is a wallet at {path} already, and a key is never overwritten",
        remedy=f"safebox wallet show tells whose it is; to use another, move {path} to a safe place first, "
        "or name another state folder by SAFEBOX_HOME",
        code="wallet.exists",
    )


def _refuse_stranding(state: Path, key: bytes | None) -> None:
    """See that no wallet that may hold money was derived from another key.

    Raises:
        ConfigError: if one was.
    """
    ledger = state / "ledger.sqlite3"
    if not ledger.exists():
        return
    known = None if key is None else Keystore(key)
    leases = [lease for lease in read_leases(ledger).values() if lease["state"] == "live" or lease["holds"]]
    lost = [each for each in leases if known is None or known.create_for_run(each["run"]) != each["address"]]
    if lost:
        raise ConfigError(
            f"wallets of another key may hold money: {len(lost)} of the ledger's runs, {lost[-1]['run']} is one",
            remedy="bring back that key (safebox wallet import), or use another state folder: SAFEBOX_HOME",
            code="wallet.other_key",
        )
