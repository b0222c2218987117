"""Who may approve: `approvers.toml` in the state folder, groups of names with public keys, read strictly.

    [owners]
    alice = "alice+6f1c2a9e+AT…"      # the line `safebox approvals keygen alice` prints

An edit acts at once. While there is no such file, or anything at all is wrong with it, nobody can approve: half a file
could be one from which a name is missing that would have said no.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from safebox.firewall.core.approval import Signer
from safebox.firewall.core.checkpoint import Verifier
from safebox.firewall.core.holds import GROUP
from safebox.firewall.errors import ConfigError
from safebox.firewall.mandate.toml import BYTES_MAX, Document, TomlError, parse
from safebox.firewall.mandate.toml import Path as Place
from safebox.firewall.ownfile import OTHERS_ANY, OTHERS_WRITE, read_own

FILE_NAME: Final = "approvers.toml"
KEY_BYTES_MAX: Final = 1024
"""A key is one line of about a hundred characters."""
_NAME: Final = re.compile(GROUP, re.ASCII)
_REMEDY: Final = "one line each, as safebox approvals keygen prints it, below [GROUP]"

Groups = Mapping[str, Mapping[str, str]]
"""Group → approver → public key (a C2SP verifier key)."""
_NOBODY: Final[Groups] = MappingProxyType({})


class Roster:
    """The approvers of one state folder.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._groups: Groups = _NOBODY
        self._problem: ConfigError | None = None

    def groups(self) -> Groups:
        """Everybody who may approve now.

        Raises:
            ConfigError: if the file can't be trusted or understood; then nobody may.
        """
        now = _print_of(self._path)
        if now != self._seen or now is None:
            self._seen, self._groups, self._problem = now, _NOBODY, None
            try:
                self._groups = read(self._path)
            except ConfigError as error:
                self._problem = error
        if self._problem is not None:
            raise self._problem
        return self._groups

    def members(self, group: str) -> Mapping[str, str]:
        """Who may speak for a group now: nobody if the group or a sound file isn't there."""
        try:
            return self.groups().get(group, {})
        except ConfigError:
            return {}


def read(path: Path) -> Groups:
    """Read the file at `path`; no file has no groups.

    Raises:
        ConfigError: if others could write it, or anything in it is wrong; names the line.
    """
    content = read_own(path, others=OTHERS_WRITE, most=BYTES_MAX)
    if content is None:
        return _NOBODY
    try:
        document = parse(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text", remedy=_REMEDY) from error
    except TomlError as error:
        raise ConfigError(f"{path}:{error.line}: {error.cause}; expected {error.expected}", remedy=_REMEDY) from error
    return _groups(path, document)


def _groups(path: Path, document: Document) -> Groups:
    names: dict[str, str] = {}
    groups: dict[str, Mapping[str, str]] = {}
    for group, members in document.values.items():
        if not isinstance(members, dict) or _NAME.fullmatch(group) is None:
            raise _wrong(path, document, (group,), f"{group[:40]!r} is no group")
        entries = cast("dict[str, Any]", members)
        groups[group] = {name: _key(path, document, (group, name), entries[name], names) for name in entries}
    return groups


def _key(path: Path, document: Document, place: tuple[str, str], value: object, names: dict[str, str]) -> str:
    """Read one approver; a key belongs to one name and a name has one key, or one person would have two voices."""
    name = place[1]
    try:
        key = Verifier.parse(value if isinstance(value, str) else "")
    except ConfigError as error:
        raise _wrong(path, document, place, f"the key of {name[:40]!r} can't be read") from error
    if _NAME.fullmatch(name) is None or key.name != name:
        raise _wrong(path, document, place, f"{name[:40]!r} is not the name of this key")
    text, raw = key.text(), key.key.hex()
    if names.setdefault(name, text) != text or names.setdefault(f"key {raw}", name) != name:
        raise _wrong(path, document, place, f"{name[:40]!r} has two keys, or shares one")
    return text


def _wrong(path: Path, document: Document, place: Place, cause: str) -> ConfigError:
    return ConfigError(f"{path}:{document.line(place)}: {cause}", remedy=_REMEDY)


def read_signer(path: Path) -> Signer:
    """Read an approver's private key from a file that nobody else can read.

    Raises:
        ConfigError: if it isn't there, others could read it, or it is no such key.
    """
    content = read_own(path, others=OTHERS_ANY, most=KEY_BYTES_MAX)
    if content is None:
        raise ConfigError(f"there is no {path}", remedy="safebox approvals keygen NAME makes a key")
    try:
        return Signer.parse(content.decode("ascii"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no key", remedy="safebox approvals keygen NAME makes one") from error


def write_signer(path: Path, signer: Signer) -> None:
    """Write a private key to a new file, mode 0600.

    Raises:
        ConfigError: if it can't be written, or there is something already.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{path} can't be made: {error.strerror}", remedy="name another: --out FILE") from error
    with open(handle, "wb") as file:
        file.write(f"{signer.text()}\n".encode("ascii"))
        file.flush()
        os.fsync(file.fileno())


def _print_of(path: Path) -> tuple[int, ...] | None:
    """Tell states of the file apart; None if there is none."""
    try:
        now = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return now.st_mtime_ns, now.st_ctime_ns, now.st_size, now.st_ino, now.st_mode, now.st_uid
