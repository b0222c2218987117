"""Governed mode, on a real `safebox serve`: what was not signed by enough people now in the file never judges."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from safebox.firewall.control.wire import ControlError
from safebox.firewall.core.approval import Signer
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.signed import SignedBundle, make_release
from tests.attached import NOWHERE, Attached
from tests.live import Home, home_at, until

SIGNERS = {name: Signer.make(name) for name in ("alice", "bob", "carol")}
SUNDAY = 'package safebox.site.email\n\ndeny contains {"code": "site.closed", "message": "Closed."} if true\n'
OPTIONS = [word for option in NOWHERE.items() for word in option]


class Rig:
    """A state folder in governed mode: two of alice and bob have to sign."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.folder = home.path.parent
        self.governance = self.folder / "governance.toml"
        self.name("alice", "bob")

    def name(self, *names: str, threshold: int = 2) -> None:
        """Who is in the governance file from now on."""
        lines = [f'{name} = "{SIGNERS[name].verifier.text()}"' for name in names]
        self.governance.write_text("\n".join([f"threshold = {threshold}", "[keys]", *lines, ""]))
        self.governance.chmod(0o600)

    def release(self, version: int, *names: str, closed: bool = False) -> SignedBundle:
        """A bundle of the pack, with a rule that denies all mail if `closed`, signed by these."""
        layers = [pack_folder()]
        if closed:
            layers.append(self.folder / "closed")
            path = layers[1] / "safebox/site/email/email.rego"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(SUNDAY)
        made = make_release(load_bundle(layers), version)
        for name in names:
            made = made.signed_by(SIGNERS[name])
        return made

    def start(self) -> Attached:
        return Attached(self.home, [*OPTIONS, "--governance", str(self.governance)])

    def activate(self, raw: bytes) -> dict[str, Any]:
        with self.home.client() as client:
            return client.request("activate", file=base64.b64encode(raw).decode())

    def refused(self, raw: bytes, why: str) -> None:
        """The firewall says no, records that, and goes on with what it had."""
        before, known = self.home.status()["bundle"], len(self.home.events("policy_refused"))
        with pytest.raises(ControlError) as error:
            self.activate(raw)
        assert why in error.value.cause
        assert self.home.status()["bundle"] == before
        records = self.home.events("policy_refused")[known:]
        assert len(records) == 1
        assert why in records[0]["reason"]
        assert records[0]["by"]

    @property
    def copies(self) -> list[Path]:
        return sorted((self.home.path / "governed").glob("*.tar.gz"))


@pytest.fixture
def rig(short_path: Path) -> Generator[Rig]:
    with home_at(short_path / "home") as home:
        yield Rig(home)


def nothing_starts(firewall: Attached) -> None:
    """Without policy there is no yes, not even to the start of a run; the firewall says what to do."""
    status = firewall.home.status()
    assert not status["ready"]
    assert "safebox policy bundle activate FILE" in status["reasons"][0]
    with pytest.raises(ControlError, match="no policy is in force"):
        firewall.start()


def ended(firewall: Attached) -> None:
    """End the firewall and its supervisor, as SIGTERM does."""
    firewall.close()
    firewall.firewall.process.terminate()
    firewall.firewall.end()


def test_what_has_not_enough_good_signatures_or_is_old_is_refused_and_recorded(rig: Rig) -> None:
    firewall = rig.start()
    nothing_starts(firewall)
    rig.refused(rig.release(1).encode(), "has 0 of the 2 signatures")
    nothing_starts(firewall)

    first = rig.release(1, "alice", "bob").encode()
    answer = rig.activate(first)
    assert (answer["version"], answer["signers"]) == (1, ["alice", "bob"])
    assert rig.home.status()["ready"]
    run = firewall.start()
    assert run.mail("b").status == 200
    recorded = rig.home.events("policy_activated")[-1]
    assert (recorded["version"], recorded["signers"]) == (1, ["alice", "bob"])
    assert recorded["bundle"] == rig.home.status()["bundle"] == answer["bundle"]

    second = rig.release(2, "alice", "bob", closed=True).encode()
    rig.refused(rig.release(2, "alice", closed=True).encode(), "has 1 of the 2 signatures")  # k - 1
    rig.refused(rig.release(2, "alice", "carol", closed=True).encode(), "carol signed with a key that is not in")
    for place in range(0, len(second), len(second) // 8):
        changed = bytes([*second[:place], second[place] ^ 1, *second[place + 1 :]])
        rig.refused(changed, "")
    rig.refused(b"", "not a policy bundle")
    rig.refused(rig.release(1, "alice", "bob", closed=True).encode(), "version 1 is not higher than 1")
    assert run.mail("c").status == 200

    rig.activate(second)
    assert run.mail("d").code == "site.closed"
    rig.refused(first, "version 1 is not higher than 2")  # replayed

    rig.name("alice", "carol")  # bob's key is taken out
    rig.refused(rig.release(3, "alice", "bob").encode(), "bob signed with a key that is not in")
    rig.activate(rig.release(3, "alice", "carol").encode())
    assert run.mail("e").status == 200

    tail = rig.home("audit", "tail").out
    assert "version 2" in tail
    assert "signed by alice, bob" in tail
    assert "refused bundle version 1" in tail
    assert "its version 1 is not higher than 2" in tail
    ended(firewall)
    rig.home.verified()


def test_an_old_version_stays_refused_after_a_restart_and_with_swapped_files(rig: Rig) -> None:
    first = rig.release(1, "alice", "bob").encode()
    firewall = rig.start()
    rig.activate(first)
    (old,) = rig.copies
    kept = rig.folder / "kept.tar.gz"
    shutil.copy(old, kept)
    rig.activate(rig.release(2, "alice", "bob", closed=True).encode())
    ended(firewall)

    firewall = rig.start()
    run = firewall.start()
    assert run.mail("a").code == "site.closed"  # in force again, from the copy
    rig.refused(first, "version 1 is not higher than 2")
    ended(firewall)

    (new,) = rig.copies
    for target in (new, old):  # the old bundle in the new one's place, and both in their own
        shutil.copy(kept, target)
        firewall = rig.start()
        nothing_starts(firewall)
        status = rig.home.status()
        assert "is not the bundle that was activated (version 2)" in status["reasons"][0]
        assert status["bundle"] == ""
        rig.refused(first, "version 1 is not higher than 2")
        ended(firewall)

    firewall = rig.start()
    rig.activate(rig.release(2, "alice", "bob", closed=True).encode())  # the very same mends it
    assert firewall.start().mail("a").code == "site.closed"
    ended(firewall)
    rig.home.verified()


def test_a_copy_that_was_changed_on_disk_is_not_loaded_and_everything_is_denied(rig: Rig) -> None:
    firewall = rig.start()
    rig.activate(rig.release(1, "alice", "bob").encode())
    ended(firewall)
    (copy,) = rig.copies
    raw = copy.read_bytes()
    copy.write_bytes(raw[:-700] + bytes([raw[-700] ^ 1]) + raw[-699:])
    firewall = rig.start()
    assert "the activated policy bundle was not loaded" in rig.home.status()["reasons"][0]
    nothing_starts(firewall)
    ended(firewall)


def test_a_bundle_that_would_not_come_into_force_is_refused_though_all_signed_it(rig: Rig) -> None:
    firewall = rig.start()
    rig.activate(rig.release(1, "alice", "bob").encode())
    bad = rig.folder / "bad/safebox/site/all/all.rego"
    bad.parent.mkdir(parents=True)
    bad.write_text("package safebox.site.all\n\ndeny contains 1 if http.send({})\n")
    made = make_release(load_bundle([pack_folder(), rig.folder / "bad"]), 2)
    rig.refused(made.signed_by(SIGNERS["alice"]).signed_by(SIGNERS["bob"]).encode(), "http.send calls out")
    assert firewall.start().mail("a").status == 200
    ended(firewall)


def test_folders_count_for_nothing_in_governed_mode_and_bundles_for_nothing_without(rig: Rig) -> None:
    done = rig.home("serve", *OPTIONS, "--governance", str(rig.governance), "--policies", str(rig.folder))
    assert done.status == 3
    assert "--policies and --governance at once" in done.err
    firewall = rig.home.serve(*OPTIONS)
    with pytest.raises(ControlError, match="follows its policy folders"):
        rig.activate(rig.release(1, "alice", "bob").encode())
    firewall.process.terminate()
    firewall.end()
    assert rig.home.events("policy_refused") == []


def test_the_commands_take_a_bundle_from_folders_into_force(rig: Rig) -> None:
    keys = rig.folder / "keys"
    lines = [rig.home("approvals", "keygen", name, "--out", str(keys / name)).out for name in ("alice", "bob")]
    rig.governance.write_text("threshold = 2\n[keys]\n" + "".join(lines))
    ours, file = rig.folder / "ours", rig.folder / "policy.tar.gz"
    (ours / "data/limits").mkdir(parents=True)
    (ours / "data/limits/data.json").write_text('{"rate": {"denials_in_ten_minutes": 9}}')
    build = ("policy", "bundle", "build", str(ours), "--version", "7", "--out", str(file))
    assert "denials_in_ten_minutes would be looser" in rig.home(*build).err
    (ours / "relax.json").write_text('{"data.data.limits.rate.denials_in_ten_minutes": "load tests"}')
    assert rig.home(*build).status == 0
    verify = ("policy", "bundle", "verify", str(file), "--governance", str(rig.governance))
    done = rig.home(*verify)
    assert (done.status, "has 0 of the 2" in done.out) == (7, True)
    for name in ("alice", "bob"):
        done = rig.home("policy", "bundle", "sign", str(file), "--key", str(keys / name))
        assert (done.status, "load tests" in done.out) == (0, True)  # who signs sees what is relaxed
    done = rig.home(*verify, "--from", str(ours), "--json")
    assert done.status == 0
    about = json.loads(done.out)
    assert (about["ok"], about["version"]) == (True, 7)
    assert rig.home(*verify, "--from", str(rig.folder / "keys")).status == 7  # built from other folders
    firewall = rig.start()
    done = rig.home("policy", "bundle", "activate", str(file))
    assert (done.status, "is in force" in done.out) == (0, True)
    assert rig.home("policy", "bundle", "activate", str(keys / "alice")).status == 5
    policy = rig.home.status()["parts"]["policy"]
    assert "version 7, signed by alice, bob" in policy
    assert "data.data.limits.rate.denials_in_ten_minutes (load tests)" in policy
    recorded = rig.home.events("policy_activated")[-1]
    assert recorded["relaxed"] == {"data.data.limits.rate.denials_in_ten_minutes": "load tests"}
    ended(firewall)


def test_two_activations_at_once_are_one_after_the_other(rig: Rig) -> None:
    firewall = rig.start()
    clients = [rig.home.client() for _ in range(4)]
    files = [rig.release(version, "alice", "bob", closed=version % 2 == 0).encode() for version in (1, 2, 3, 4)]

    def ask(number: int) -> int:
        try:
            with clients[number] as client:
                file = base64.b64encode(files[number]).decode()
                return int(client.request("activate", file=file)["version"])
        except ControlError:
            return 0

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    recorded = [event["version"] for event in rig.home.events("policy_activated")]
    assert recorded == sorted(set(recorded))
    assert sorted(recorded) == sorted(each for each in answers if each)
    assert max(recorded) == 4
    until(lambda: rig.home.status()["parts"]["policy"].find("version 4") > 0, "version 4 in force")
    ended(firewall)
