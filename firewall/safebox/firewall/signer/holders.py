"""Who holds the owner's key: the key file, or the service that `signer.toml` in the state folder names.

    [owner]
    service = "unix:/run/kms/sign.sock"     # or an https:// address, or http:// on this machine
    key = "alias/treasury"                  # what the service calls the key
    address = "0x…"                         # whose address it is
    token = "/etc/safebox/kms-token"        # a file with what is sent as a bearer token; may be left out

The address is said here and never asked for: what runs hold is swept to it, and a service that names another one would
be sent all of it. Runs' keys come from the key file either way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from safebox.firewall import keyfile
from safebox.firewall.core.arguments import parse_address
from safebox.firewall.errors import CallerError, ConfigError
from safebox.firewall.keystore import Keystore
from safebox.firewall.ownfile import OTHERS_ANY, OTHERS_WRITE, read_own
from safebox.firewall.signer.hardening import keep_in_memory

FILE_NAME: Final = "signer.toml"
FILE_BYTES_MAX: Final = 4_096
TOKEN_BYTES_MAX: Final = 16_384
"""As long as a header may be at most servers."""
_TOKEN: Final = re.compile(rb"[!-~]+")
_KEY_MAX: Final = 2_048
"""The longest identifier AWS KMS takes."""
_WORDS: Final = frozenset({"service", "key", "address", "token"})
_NEEDED: Final = _WORDS - {"token"}
_REMEDY: Final = "[owner] with service, key, address and perhaps token, all of them text"


class Service(NamedTuple):
    """A service that holds the owner's key. `token` is a file, read anew for each question."""

    url: str
    key: str
    address: str
    token: Path | None = None


def open_keystore(state: Path) -> Keystore:
    """The keys of a state folder; the first time, make them.

    Raises:
        ConfigError: if they can't be opened, or `signer.toml` is wrong.
    """
    service = read_service(state)
    secret = keyfile.owner_key(state)
    keep_in_memory(secret)
    if service is None:
        return Keystore(secret)
    from safebox.firewall.signer.kms import KeyService  # HTTP is loaded by who needs it

    holder = KeyService(service)
    holder.check()
    return Keystore(secret, holder)


def owner_address(state: Path) -> str:
    """The owner's address of a state folder, checksummed. Makes nothing, and asks no service.

    Raises:
        ConfigError: if there is no key yet, or as `open_keystore`.
    """
    service = read_service(state)
    return keyfile.owner_address(state) if service is None else service.address


def read_service(state: Path) -> Service | None:
    """What `signer.toml` says; None if there is none.

    Raises:
        ConfigError: if others could have written it, or anything in it is wrong; names the line.
    """
    path = state / FILE_NAME
    content = read_own(path, others=OTHERS_WRITE, most=FILE_BYTES_MAX)
    if content is None:
        return None
    from safebox.firewall.mandate.toml import TomlError, parse

    try:
        document = parse(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text", remedy=_REMEDY) from error
    except TomlError as error:
        raise ConfigError(f"{path}:{error.line}: {error.cause}; expected {error.expected}", remedy=_REMEDY) from error
    try:
        return _service(document.values)
    except (ValueError, CallerError) as error:
        raise ConfigError(f"{path}:{document.line(('owner',))}: {error}", remedy=_REMEDY) from error


def _service(values: Mapping[str, Any]) -> Service:
    owner = values.get("owner")
    if set(values) != {"owner"} or not isinstance(owner, dict):
        raise ValueError("it says nothing but [owner]")
    said = cast("dict[str, Any]", owner)
    if not _NEEDED <= said.keys() <= _WORDS:
        wrong = sorted((_NEEDED - said.keys()) or (said.keys() - _WORDS))[0]
        raise ValueError(f"{wrong[:40]!r} is missing or unknown in [owner]")
    if not all(isinstance(each, str) and each for each in said.values()) or len(said["key"]) > _KEY_MAX:
        raise ValueError("something in [owner] is no text, or too long")
    token = Path(said["token"]) if "token" in said else None
    if token is not None and not token.is_absolute():
        raise ValueError("token must be the whole path of a file")
    from safebox.firewall.exchange import endpoint

    endpoint(said["service"])
    return Service(said["service"], said["key"], parse_address(said["address"]), token)


def read_token(path: Path | None) -> str:
    """The bearer token in a file that nobody else can read; empty without one.

    Raises:
        ConfigError: if it can't be read, is readable by others, or is no token.
    """
    if path is None:
        return ""
    content = read_own(path, others=OTHERS_ANY, most=TOKEN_BYTES_MAX)
    token = (content or b"").strip()
    if _TOKEN.fullmatch(token) is None:
        raise ConfigError(f"there is no token in {path}", remedy="one line that the key service gave you")
    return token.decode()
