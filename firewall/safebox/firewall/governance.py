"""Who may say which policy is in force: a TOML file with public keys, read strictly.

    threshold = 2               # so many of them have to sign a bundle
    minimum_version = 1         # no bundle below it, whatever was in force before; may be left out

    [keys]
    alice = "alice+6f1c2a9e+AT…"        # the line `safebox approvals keygen alice` prints

While there is no such file, or anything at all is wrong with it, no bundle can be activated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, cast

import msgspec

from safebox.firewall.core.checkpoint import Verifier
from safebox.firewall.engines.signed import REFUSED, VERSION_MAX, SignedBundle, is_signed
from safebox.firewall.errors import ConfigError
from safebox.firewall.mandate.toml import BYTES_MAX, Document, TomlError, parse
from safebox.firewall.mandate.toml import Path as Place
from safebox.firewall.ownfile import OTHERS_WRITE, read_own

_FIELDS: Final = frozenset({"threshold", "minimum_version", "keys"})
_REMEDY: Final = "write threshold = N, and below [keys] one line each, as safebox approvals keygen prints it"


class Governance(msgspec.Struct, frozen=True):
    """How many of whom (name → public key, a C2SP verifier key) must sign, and the lowest version there may be."""

    threshold: int
    keys: Mapping[str, str]
    minimum_version: int = 1

    def signers(self, release: SignedBundle) -> tuple[str, ...]:
        """Who of those named here signed this bundle, under the key they have here.

        Raises:
            ConfigError: if a signature in one of their names is not good.
        """
        found: list[str] = []
        for each in release.signatures:
            if self.keys.get(each.name) == each.key:
                if not is_signed(each, release.release):
                    raise ConfigError(
                        f"the signature of {each.name} is not over this bundle",
                        remedy="the file was changed, or put together wrongly; sign it again",
                        code=REFUSED,
                    )
                found.append(each.name)
        return tuple(found)

    def admit(self, release: SignedBundle) -> tuple[str, ...]:
        """See that a bundle has what it needs by this file alone; returns who signed.

        Raises:
            ConfigError: if it hasn't.
        """
        found = self.signers(release)
        if len(found) < self.threshold:
            strangers = [each.name for each in release.signatures if each.name not in found]
            others = (
                f"; {', '.join(strangers)} signed with a key that is not in the governance file" if strangers else ""
            )
            raise ConfigError(
                f"it has {len(found)} of the {self.threshold} signatures it needs{others}",
                remedy="have it signed with safebox policy bundle sign",
                code=REFUSED,
            )
        if release.version < self.minimum_version:
            cause = (
                f"its version {release.version} is below {self.minimum_version}, the lowest the governance file lets"
            )
            raise ConfigError(cause, remedy="build it with a higher --version", code=REFUSED)
        return found


def read_governance(path: Path) -> Governance:
    """Read the file.

    Raises:
        ConfigError: if it isn't there, others could write it, or anything in it is wrong; names the line.
    """
    content = read_own(path, others=OTHERS_WRITE, most=BYTES_MAX)
    if content is None:
        raise ConfigError(f"there is no {path}", remedy=_REMEDY)
    try:
        document = parse(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text", remedy=_REMEDY) from error
    except TomlError as error:
        raise ConfigError(f"{path}:{error.line}: {error.cause}; expected {error.expected}", remedy=_REMEDY) from error
    return _Reading(path, document).governance()


class _Reading:
    """One document on its way to what it says."""

    def __init__(self, path: Path, document: Document) -> None:
        self._path = path
        self._document = document
        self._values = document.values

    def governance(self) -> Governance:
        for name in self._values.keys() - _FIELDS:
            self._wrong((name,), f"{name[:40]!r} is not known here")
        keys = self._keys()
        threshold = self._count("threshold", None)
        if threshold > len(keys):
            self._wrong(("threshold",), f"{threshold} signatures are needed and there are {len(keys)} keys")
        return Governance(threshold, keys, self._count("minimum_version", 1))

    def _count(self, name: str, default: int | None) -> int:
        value = self._values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= VERSION_MAX:
            self._wrong((name,), f"{name} is not a number from 1 upwards")
        return value

    def _keys(self) -> dict[str, str]:
        named = self._values.get("keys")
        if not isinstance(named, dict) or not named:
            self._wrong(("keys",), "nobody is named under [keys]")
        found: dict[str, str] = {}
        owners: dict[bytes, str] = {}
        for name, value in cast("dict[str, Any]", named).items():
            verifier = self._verifier(name, value)
            if owners.setdefault(verifier.key, name) != name:
                self._wrong(("keys", name), f"{name[:40]!r} has the key of {owners[verifier.key][:40]!r}")
            found[name] = verifier.text()
        return found

    def _verifier(self, name: str, value: object) -> Verifier:
        try:
            verifier = Verifier.parse(value if isinstance(value, str) else "")
        except ConfigError:
            self._wrong(("keys", name), f"the key of {name[:40]!r} can't be read")
        if verifier.name != name:
            self._wrong(("keys", name), f"{name[:40]!r} is not the name of this key")
        return verifier

    def _wrong(self, place: Place, cause: str) -> NoReturn:
        raise ConfigError(f"{self._path}:{self._document.line(place)}: {cause}", remedy=_REMEDY)
