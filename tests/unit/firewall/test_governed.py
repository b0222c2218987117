"""`safebox.firewall.governed`: only what the ledger says was activated, verified again each time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from safebox.firewall.core.approval import Signer
from safebox.firewall.core.record import PolicyActivated, PolicyRefused
from safebox.firewall.drill.clock import StepClock
from safebox.firewall.engines.bundle import Bundle, Module, seal
from safebox.firewall.engines.reload import ReloadingEngine
from safebox.firewall.engines.signed import SignedBundle, make_release, read_release
from safebox.firewall.engines.validate import Checked
from safebox.firewall.errors import ConfigError, LedgerUnavailable, PolicyUnavailable
from safebox.firewall.governed import Governed
from safebox.firewall.ledger import Ledger
from tests.twins import MemoryStore

SIGNERS = {name: Signer.make(name) for name in ("alice", "bob", "carol")}


class Rig:
    """One state folder and ledger, and a firewall's policy in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "governance.toml"
        self.store = MemoryStore()
        self.name("alice", "bob")
        self.restart()

    def restart(self) -> None:
        self.ledger = Ledger(self.store)
        self.governed = Governed(self.folder, self.file, self.ledger, StepClock())
        self.engine = ReloadingEngine((), load=self.governed.load)

    def name(self, *names: str, threshold: int = 2, lowest: int = 1) -> None:
        lines = [f'{name} = "{SIGNERS[name].verifier.text()}"' for name in names]
        head = [f"threshold = {threshold}", f"minimum_version = {lowest}", "[keys]"]
        self.file.write_text("\n".join([*head, *lines, ""]))
        self.file.chmod(0o600)

    def release(self, version: int, *names: str, text: str = "") -> SignedBundle:
        rules = 'default decision := {"verdict": "deny", "reasons": [], "obligations": {}}\n' + text
        made = make_release(seal([Module("main.rego", f"package safebox.main\n\n{rules}")], "{}"), version)
        for name in names or ("alice", "bob"):
            made = made.signed_by(SIGNERS[name])
        return made

    async def activate(self, release: SignedBundle) -> None:
        await self.governed.activate(release.encode(), "root", self.engine)

    def events(self) -> list[PolicyActivated | PolicyRefused]:
        return [event for event in self.store.events if isinstance(event, PolicyActivated | PolicyRefused)]

    @property
    def copies(self) -> list[Path]:
        return sorted((self.folder / "governed").iterdir())


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr("safebox.firewall.engines.reload.check_bundle", _fine)  # the child is not the matter here
    return Rig(tmp_path)


def test_before_the_first_activation_there_is_no_policy(rig: Rig) -> None:
    with pytest.raises(PolicyUnavailable, match="no policy bundle was activated yet: safebox policy bundle activate"):
        rig.governed.load()
    assert "no bundle is in force" in rig.governed.shown("")


async def test_an_activation_is_recorded_kept_and_in_force_and_the_copy_before_is_gone(rig: Rig) -> None:
    await rig.activate(rig.release(1))
    second = rig.release(2, text="# more\n")
    await rig.activate(second)
    assert rig.engine.bundle == second.bundle.digest
    assert [(event.version, event.signers, event.by) for event in rig.events()] == [
        (1, ("alice", "bob"), "root"),
        (2, ("alice", "bob"), "root"),
    ]
    (copy,) = rig.copies
    assert (copy.read_bytes(), copy.stat().st_mode & 0o777) == (second.encode(), 0o600)
    assert "version 2, signed by alice, bob" in rig.governed.shown(rig.engine.bundle)


async def test_an_activation_that_is_not_recorded_is_not_in_force(rig: Rig) -> None:
    await rig.activate(rig.release(1))
    before = rig.engine.bundle
    rig.store.broken = True
    with pytest.raises(LedgerUnavailable):
        await rig.activate(rig.release(2, text="# more\n"))
    assert rig.engine.bundle == before
    rig.store.broken = False
    rig.restart()
    assert rig.governed.load().digest == before


async def test_a_bundle_whose_check_fails_is_refused_and_recorded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safebox.firewall.engines.reload.check_bundle", _calls_out)
    with pytest.raises(PolicyUnavailable, match="calls out"):
        await rig.activate(rig.release(1))
    assert [type(event) for event in rig.events()] == [PolicyRefused]
    assert not (rig.folder / "governed").exists()
    assert rig.engine.bundle == ""


REFUSED: dict[str, tuple[Callable[[Rig], SignedBundle], str]] = {
    "one signature": (lambda rig: rig.release(6, "alice"), "has 1 of the 2"),
    "a stranger's": (lambda rig: rig.release(6, "alice", "carol"), "carol signed with a key that is not in"),
    "the version that is in force, of other content": (lambda rig: rig.release(5, text="# x\n"), "not higher than 5"),
    "an older version": (lambda rig: rig.release(4), "not higher than 5"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_may_not_come_into_force_is_refused_and_recorded(what: str, rig: Rig) -> None:
    await rig.activate(rig.release(5))
    before = rig.engine.bundle
    make, why = REFUSED[what]
    release = make(rig)
    for again in (False, True):
        if again:
            rig.restart()
        with pytest.raises(ConfigError) as error:
            await rig.activate(release)
        assert why in error.value.cause
        assert error.value.remedy
        last = rig.events()[-1]
        assert isinstance(last, PolicyRefused)
        assert (last.version, last.bundle, last.content) == (release.version, release.bundle.digest, release.content)
        assert why in last.reason
    assert rig.governed.load().digest == before


async def test_a_file_nobody_can_read_is_refused_and_recorded_without_a_digest(rig: Rig) -> None:
    with pytest.raises(ConfigError):
        await rig.governed.activate(b"x" * 100, "root", rig.engine)
    (event,) = rig.events()
    assert isinstance(event, PolicyRefused)
    assert (event.bundle, event.version, event.signers) == ("", 0, ())


async def test_the_highest_version_counts_also_when_a_lower_one_was_recorded_after_it(rig: Rig) -> None:
    """Two firewalls on one ledger may activate at once; neither version comes back."""
    await rig.activate(rig.release(5))
    await rig.ledger.note(
        PolicyActivated(at_ns=1, bundle="sha256:x", version=3, content="sha256:y", signers=("alice",))
    )
    rig.restart()
    for version in (3, 4, 5):
        with pytest.raises(ConfigError, match="not higher than 5"):
            await rig.activate(rig.release(version, text="# x\n"))


async def test_policy_from_folders_before_or_after_changes_no_version(rig: Rig) -> None:
    await rig.activate(rig.release(5))
    await rig.ledger.note(PolicyActivated(at_ns=1, bundle="sha256:folders"))
    rig.restart()
    with pytest.raises(ConfigError, match="not higher than 5"):
        await rig.activate(rig.release(4))
    rig.governed.load()
    noted = rig.governed.note()
    assert noted is not None
    assert (noted.version, noted.signers) == (5, ("alice", "bob"))
    await rig.ledger.note(noted)
    assert rig.governed.note() is None


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _fine(bundle: Bundle) -> Checked:
    """What `check_bundle` says of a bundle that may come into force."""
    return Checked(bundle, None)


def _calls_out(bundle: Bundle) -> Checked:
    return Checked(bundle, "it calls out")


SPOILT: dict[str, tuple[Callable[[Rig, Path], object], str]] = {
    "a changed byte": (lambda rig, copy: copy.write_bytes(copy.read_bytes().replace(b"deny", b"dens")), "not a"),
    "cut off": (lambda rig, copy: copy.write_bytes(copy.read_bytes()[:900]), "not a policy bundle"),
    "gone": (lambda rig, copy: copy.unlink(), "it is gone"),
    "a folder": (lambda rig, copy: _folder(copy), "no file of yours"),
    "a link": (lambda rig, copy: copy.symlink_to(copy.rename(rig.folder / "x")), "can't be read"),
    "written by others": (lambda rig, copy: copy.chmod(0o666), "others could"),
    "too large": (lambda rig, copy: copy.write_bytes(bytes(4_000_000)), "more than"),
    "an older one of its name": (
        lambda rig, copy: copy.write_bytes(rig.release(1).encode()),
        "is not the bundle that was activated (version 2)",
    ),
    "a newer one of its name": (
        lambda rig, copy: copy.write_bytes(rig.release(3).encode()),
        "is not the bundle that was activated (version 2)",
    ),
    "signatures taken out": (
        lambda rig, copy: copy.write_bytes(rig.release(2, "alice").encode()),
        "has 1 of the 2",
    ),
    "a key taken out": (lambda rig, copy: rig.name("alice", "carol"), "bob signed with a key that is not in"),
    "no governance file": (lambda rig, copy: rig.file.unlink(), "there is no"),
    "a governance file others can write": (lambda rig, copy: rig.file.chmod(0o666), "others could"),
    "a higher threshold": (lambda rig, copy: rig.name("alice", "bob", "carol", threshold=3), "has 2 of the 3"),
    "a higher lowest version": (lambda rig, copy: rig.name("alice", "bob", lowest=3), "below 3"),
}


@pytest.mark.parametrize("what", SPOILT)
async def test_what_was_activated_is_verified_again_at_every_start(what: str, rig: Rig) -> None:
    await rig.activate(rig.release(1))
    await rig.activate(rig.release(2, text="# more\n"))
    spoil, why = SPOILT[what]
    (copy,) = rig.copies
    spoil(rig, copy)
    rig.restart()
    with pytest.raises(PolicyUnavailable) as error:
        rig.governed.load()
    assert "the activated policy bundle was not loaded" in error.value.cause
    assert why in error.value.cause
    assert "safebox policy bundle activate FILE" in error.value.cause
    await rig.engine.start()
    assert not rig.engine.health().ready
    await rig.engine.stop()


async def test_the_very_same_bundle_mends_its_copy(rig: Rig) -> None:
    release = rig.release(2)
    await rig.activate(release)
    shutil.rmtree(rig.folder / "governed")
    rig.restart()
    with pytest.raises(PolicyUnavailable):
        rig.governed.load()
    await rig.activate(release)
    assert rig.governed.load().digest == release.bundle.digest
    assert read_release(rig.copies[0].read_bytes()).version == 2
