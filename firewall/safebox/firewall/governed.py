"""Governed mode: the only policy is a bundle that enough people signed and that was activated.

Rule 1: what is in force is what the ledger says was activated last, byte for byte: the copy in the state folder is
        believed only if its digest is the recorded one, and it is verified again at every start.
Rule 2: versions only go up. The highest is in the ledger, so swapping files brings no old one back. The very bundle
        that was activated last may be activated again, to mend a damaged copy.
Rule 3: an activation is recorded before it is in force, and a refused one is recorded, too.
Rule 4: without all that there is no policy, and so no yes.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safebox.firewall.core.record import PolicyActivated, PolicyRefused
from safebox.firewall.durable import sync_folder
from safebox.firewall.engines.archive import FILE_BYTES_MAX
from safebox.firewall.engines.bundle import Bundle
from safebox.firewall.engines.signed import REFUSED, SignedBundle, read_release
from safebox.firewall.errors import ConfigError, PolicyUnavailable, SafeboxError
from safebox.firewall.governance import read_governance
from safebox.firewall.ownfile import OTHERS_WRITE, read_own

if TYPE_CHECKING:
    from safebox.firewall.engines.reload import ReloadingEngine
    from safebox.firewall.ledger import Ledger
    from safebox.firewall.ports import Clock

_LOG = logging.getLogger(__name__)

FOLDER: Final = "governed"
_SUFFIX: Final = ".tar.gz"
_REASON_MAX: Final = 500
"""Characters of a refusal's reason in the ledger."""
_ACTIVATE: Final = "safebox policy bundle activate FILE"


class Governed:
    """The policy of one firewall in governed mode.

    Args:
        home: the state folder, where copies of activated bundles are kept.
        governance: the file that names who may sign.
        ledger: says what was activated, and is told.
        clock: dates the records.
    """

    def __init__(self, home: Path, governance: Path, ledger: Ledger, clock: Clock) -> None:
        self._folder = home / FOLDER
        self._governance = governance
        self._ledger = ledger
        self._clock = clock
        self._turn = asyncio.Lock()
        self.release: SignedBundle | None = None
        """What is in force."""

    def load(self) -> Bundle:
        """The bundle that was activated last, verified again.

        Raises:
            PolicyUnavailable: if there is none, its copy is not what was activated, or the governance file as it is
                now doesn't admit it.
        """
        recorded = self._ledger.books.activated
        if recorded is None:
            raise PolicyUnavailable(
                f"no policy bundle was activated yet: {_ACTIVATE}", kind="missing", remedy=_ACTIVATE
            )
        path = self._path(recorded.content)
        try:
            release = self._read(path)
            read_governance(self._governance).admit(release)
        except ConfigError as error:
            raise self._not_loaded(f"{path}: {error.cause}") from error
        if (release.content, release.version, release.bundle.digest) != _named(recorded):
            raise self._not_loaded(f"{path} is not the bundle that was activated (version {recorded.version})")
        self.release = release
        return release.bundle

    async def activate(self, raw: bytes, by: str, engine: ReloadingEngine) -> dict[str, Any]:
        """Put a bundle in force, if it may be; record both.

        Args:
            raw: the file.
            by: who asked, as the kernel says.
            engine: judges.

        Raises:
            SafeboxError: if it is refused; then nothing has changed but the ledger.
        """
        async with self._turn:
            release: SignedBundle | None = None
            try:
                release = await asyncio.to_thread(read_release, raw)
                signers = self._admit(release)
                await engine.replace(release.bundle, lambda: self._record(release, raw, signers, by))
            except (ConfigError, PolicyUnavailable) as error:
                await self._refused(release, error, by)
                raise
            self.release = release
            self._forget(release.content)
        return {"bundle": release.bundle.digest, "version": release.version, "signers": list(signers)}

    def note(self) -> PolicyActivated | None:
        """The record for a start under the bundle that is in force; None if the ledger's last word is that already."""
        release, last = self.release, self._ledger.books.activated
        if release is None or last is None or self._ledger.books.bundle == release.bundle.digest:
            return None
        return _event(release, self._clock.now_ns(), last.signers, last.by)

    def shown(self, in_force: str) -> str:
        """In words for people; `in_force` is the digest of the bundle that judges."""
        text = f"governed by {self._governance}"
        release, last = self.release, self._ledger.books.activated
        if release is None or last is None or release.bundle.digest != in_force:
            return f"{text}: no bundle is in force"
        return f"{text}: version {release.version}, signed by {', '.join(last.signers)}"

    def _admit(self, release: SignedBundle) -> tuple[str, ...]:
        signers = read_governance(self._governance).admit(release)
        last = self._ledger.books.activated
        highest = self._ledger.books.policy_version
        again = last is not None and (release.content, release.version) == (last.content, highest)
        if release.version <= highest and not again:
            cause = f"its version {release.version} is not higher than {highest}, which was in force"
            raise ConfigError(cause, remedy="build it with a higher --version, and have that signed", code=REFUSED)
        return signers

    async def _record(self, release: SignedBundle, raw: bytes, signers: tuple[str, ...], by: str) -> None:
        await asyncio.to_thread(_keep, self._path(release.content), raw)
        await self._ledger.note(_event(release, self._clock.now_ns(), signers, by))

    async def _refused(self, release: SignedBundle | None, error: SafeboxError, by: str) -> None:
        event = PolicyRefused(
            at_ns=self._clock.now_ns(),
            bundle=release.bundle.digest if release else "",
            version=release.version if release else 0,
            content=release.content if release else "",
            signers=tuple(each.name for each in release.signatures) if release else (),
            reason=error.cause[:_REASON_MAX],
            by=by,
        )
        _LOG.warning("a policy bundle was refused: %s", event.reason)
        await self._ledger.note(event)

    def _read(self, path: Path) -> SignedBundle:
        raw = read_own(path, others=OTHERS_WRITE, most=FILE_BYTES_MAX)
        if raw is None:
            raise ConfigError("it is gone", remedy=f"activate the same bundle again: {_ACTIVATE}")
        return read_release(raw)

    def _path(self, content: str) -> Path:
        return self._folder / f"{content.removeprefix('sha256:')}{_SUFFIX}"

    def _not_loaded(self, cause: str) -> PolicyUnavailable:
        return PolicyUnavailable(
            f"the activated policy bundle was not loaded: {cause}; {_ACTIVATE}, with the same bundle or a newer one",
            kind="refused",
            remedy=_ACTIVATE,
        )

    def _forget(self, content: str) -> None:
        """Remove copies of bundles that are in force no more."""
        for path in _copies(self._folder):
            if path != self._path(content):
                path.unlink(missing_ok=True)


def _copies(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.name.endswith(_SUFFIX))


def _named(event: PolicyActivated) -> tuple[str, int | None, str]:
    return event.content, event.version, event.bundle


def _event(release: SignedBundle, at_ns: int, signers: tuple[str, ...], by: str) -> PolicyActivated:
    return PolicyActivated(
        at_ns=at_ns,
        bundle=release.bundle.digest,
        version=release.version,
        content=release.content,
        signers=signers,
        relaxed=release.bundle.relaxed,
        by=by,
    )


def _keep(path: Path, raw: bytes) -> None:
    """Write a copy, whole or not at all, and make it durable.

    Raises:
        ConfigError: if it can't be written.
    """
    temporary = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with temporary.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}", remedy="free space, or chmod") from error
