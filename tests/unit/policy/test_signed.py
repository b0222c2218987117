"""`safebox.firewall.engines.signed` and `governance`: what is in the file, what is signed, and who has to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from safebox.firewall.core.approval import Signer
from safebox.firewall.engines.archive import pack, unpack, unwrap, wrap
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.engines.signed import SIGNATURES, SignedBundle, is_signed, make_release, read_release
from safebox.firewall.engines.validate import validate
from safebox.firewall.errors import ConfigError
from safebox.firewall.governance import Governance, read_governance
from tests import real_parts
from tests.unit.policy import cases

ALICE, BOB, CAROL = (Signer.make(name) for name in ("alice", "bob", "carol"))
TWO = Governance(2, {each.name: each.verifier.text() for each in (ALICE, BOB)})


@pytest.fixture(scope="module")
def release() -> SignedBundle:
    return make_release(load_bundle([pack_folder()]), 7)


@pytest.fixture(scope="module")
def signed(release: SignedBundle) -> bytes:
    return release.signed_by(ALICE).signed_by(BOB).encode()


def test_the_same_policies_and_version_are_the_same_bytes(release: SignedBundle, tmp_path: Path) -> None:
    copy = cases.copy_pack(tmp_path)
    assert make_release(load_bundle([copy]), 7).encode() == release.encode()
    assert make_release(load_bundle([copy]), 8).encode() != release.encode()


def test_what_is_read_back_decides_the_same(release: SignedBundle) -> None:
    found = read_release(release.encode())
    assert (found.bundle.digest, found.version, found.content) == (release.bundle.digest, 7, release.content)
    assert validate(found.bundle) is None
    one, two = EmbeddedEngine(found.bundle), EmbeddedEngine(release.bundle)
    for document in cases.good().values():
        assert one.answer(cases.encode(document)) == two.answer(cases.encode(document))


def test_people_may_sign_in_any_order_and_twice(release: SignedBundle) -> None:
    one = release.signed_by(ALICE).signed_by(BOB)
    assert one.encode() == read_release(release.signed_by(BOB).encode()).signed_by(ALICE).signed_by(BOB).encode()
    assert one.content == release.content
    assert TWO.admit(one) == ("alice", "bob")


def test_a_signature_says_its_purpose_and_everything_it_is_about(release: SignedBundle) -> None:
    assert release.release.signed_bytes().startswith(b"safebox policy bundle 1\n")
    (mine,) = release.signed_by(ALICE).signatures
    assert is_signed(mine, release.release)
    for field, value in (("version", 8), ("digest", "sha256:0"), ("content", "sha256:0")):
        assert not is_signed(mine, msgspec.structs.replace(release.release, **{field: value}))
    assert not is_signed(msgspec.structs.replace(mine, name="bob"), release.release)
    assert not is_signed(msgspec.structs.replace(mine, key=BOB.verifier.text()), release.release)


def test_too_few_signatures_are_not_enough(release: SignedBundle) -> None:
    with pytest.raises(ConfigError, match="has 0 of the 2"):
        TWO.admit(release)
    with pytest.raises(ConfigError, match="has 1 of the 2"):
        TWO.admit(release.signed_by(ALICE))


def test_who_is_not_named_counts_for_nothing_and_harms_nothing(release: SignedBundle) -> None:
    with pytest.raises(ConfigError, match=r"has 1 of the 2 .*; carol signed with a key that is not in"):
        TWO.admit(release.signed_by(ALICE).signed_by(CAROL))
    assert TWO.admit(release.signed_by(ALICE).signed_by(CAROL).signed_by(BOB)) == ("alice", "bob")


def test_another_key_of_the_same_name_counts_for_nothing(release: SignedBundle) -> None:
    with pytest.raises(ConfigError, match="has 1 of the 2"):
        TWO.admit(release.signed_by(ALICE).signed_by(Signer.make("bob")))


def test_one_person_can_not_sign_for_two(release: SignedBundle) -> None:
    mine = release.signed_by(ALICE).signatures[0]
    forged = msgspec.structs.replace(mine, name="bob", key=BOB.verifier.text())
    with pytest.raises(ConfigError, match="signature of bob is not over this bundle"):
        TWO.admit(SignedBundle(release.bundle, 7, release.content, (mine, forged)))


def test_signatures_of_one_bundle_are_none_of_another(release: SignedBundle) -> None:
    signatures = release.signed_by(ALICE).signed_by(BOB).signatures
    later = make_release(release.bundle, 8)
    moved = SignedBundle(later.bundle, later.version, later.content, signatures)
    with pytest.raises(ConfigError, match="not over this bundle"):
        TWO.admit(read_release(moved.encode()))


def test_a_version_below_the_lowest_is_not_admitted(release: SignedBundle) -> None:
    rules = Governance(2, TWO.keys, 8)
    with pytest.raises(ConfigError, match="version 7 is below 8"):
        rules.admit(release.signed_by(ALICE).signed_by(BOB))


def test_no_changed_byte_is_read_as_the_same_signed_bundle(signed: bytes) -> None:
    whole = read_release(signed)
    for place in {*range(1_200), *range(0, len(signed), 53), *range(len(signed) - 1_200, len(signed))}:
        changed = bytearray(signed)
        changed[place] ^= 1 << place % 8
        with pytest.raises(ConfigError):
            read_release(bytes(changed))
    assert TWO.admit(whole) == ("alice", "bob")


def test_every_changed_byte_inside_is_refused_or_signed_by_nobody(signed: bytes) -> None:
    """With the archive's own checksums made right again, as somebody would who wants to."""
    tar = unwrap(signed)
    for place in range(0, len(tar), 97):
        changed = bytearray(tar)
        changed[place] ^= 1
        with pytest.raises(ConfigError):
            TWO.admit(read_release(wrap(bytes(changed))))


def edited(raw: bytes, edit: Callable[[dict[str, bytes]], None]) -> bytes:
    files = dict(unpack(unwrap(raw)))
    edit(files)
    return wrap(pack(files.items()))


def _manifest(files: dict[str, bytes], **changes: object) -> None:
    manifest = json.loads(files[".manifest"])
    about = manifest["metadata"]["safebox"]
    for name, value in changes.items():
        (about if name in about else manifest)[name] = value
    files[".manifest"] = json.dumps(manifest, separators=(",", ":")).encode()


def _without_rules(files: dict[str, bytes]) -> None:
    for name in [name for name in files if name.endswith(".rego")]:
        del files[name]


FORGED: dict[str, Callable[[dict[str, bytes]], None]] = {
    "another version": lambda files: _manifest(files, version=9),
    "another digest": lambda files: _manifest(files, digest="sha256:" + "0" * 64),
    "a version that is none": lambda files: _manifest(files, version=0),
    "a version that is text": lambda files: _manifest(files, version="9"),
    "a version beyond every number": lambda files: _manifest(files, version=10**30),
    "other roots": lambda files: _manifest(files, roots=[""]),
    "another format": lambda files: _manifest(files, format=2),
    "one field more": lambda files: _manifest(files, wasm=[]),
    "relaxations of another type": lambda files: _manifest(files, relaxed={"a": "b"}),
    "relaxations nobody signed": lambda files: _manifest(files, relaxed=[{"a": "b"}]),
    "no manifest": lambda files: files.__delitem__(".manifest"),
    "no data": lambda files: files.__delitem__("data.json"),
    "data that is no object": lambda files: files.__setitem__("data.json", b"[]"),
    "data with a key twice": lambda files: files.__setitem__("data.json", b'{"a": 1, "a": 1}'),
    "data with a fraction": lambda files: files.__setitem__("data.json", b'{"a": 1.5}'),
    "data that is nested": lambda files: files.__setitem__("data.json", b"[" * 100_000),
    "a manifest that is nested": lambda files: files.__setitem__(".manifest", b"[" * 100_000),
    "a manifest that is no UTF-8": lambda files: files.__setitem__(".manifest", b"\xff"),
    "no rule": _without_rules,
    "a rule more": lambda files: files.__setitem__("safebox/site/all/all.rego", b"package safebox.site.all\n"),
    "a rule that is no UTF-8": lambda files: files.__setitem__("safebox/main/main.rego", b"\xff"),
    "a test": lambda files: files.__setitem__("safebox/main/main_test.rego", b"package safebox.main_test\n"),
    "a program": lambda files: files.__setitem__("policy.wasm", b"x"),
    "data elsewhere": lambda files: files.__setitem__("safebox/data.json", b"{}"),
    "a patch": lambda files: files.__setitem__("patch.json", b"{}"),
    "no signature in the list": lambda files: files.__setitem__(SIGNATURES, b"[]"),
    "signatures that are no list": lambda files: files.__setitem__(SIGNATURES, b"{}"),
    "signatures twice": lambda files: files.__setitem__(
        SIGNATURES, json.dumps(2 * json.loads(files[SIGNATURES])).encode()
    ),
    "spaces in the signatures": lambda files: files.__setitem__(SIGNATURES, b" " + files[SIGNATURES]),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_file_that_is_not_what_it_says_is_refused(what: str, signed: bytes) -> None:
    with pytest.raises(ConfigError) as error:
        TWO.admit(read_release(edited(signed, FORGED[what])))
    assert error.value.code == "policy.bundle_refused"
    assert error.value.remedy


def test_relaxations_are_in_the_file_and_signed(tmp_path: Path) -> None:
    path = "data.data.limits.rate.denials_in_ten_minutes"
    (tmp_path / "data/limits").mkdir(parents=True)
    (tmp_path / "data/limits/data.json").write_text('{"rate": {"denials_in_ten_minutes": 9}}')
    (tmp_path / "relax.json").write_text(json.dumps({path: "we ask a lot"}))
    found = read_release(make_release(load_bundle([pack_folder(), tmp_path]), 1).encode())
    assert found.bundle.relaxed == {path: "we ask a lot"}
    (tmp_path / "relax.json").write_text(json.dumps({path: "another reason"}))
    again = make_release(load_bundle([pack_folder(), tmp_path]), 1)
    assert again.bundle.digest == found.bundle.digest
    assert again.content != found.content


def test_rules_that_nobody_declared_loose_stay_so_in_a_bundle(tmp_path: Path) -> None:
    path = tmp_path / "safebox/site/email/email.rego"
    path.parent.mkdir(parents=True)
    path.write_text('package safebox.site.email\n\nallow contains "x" if true\n')
    found = read_release(make_release(load_bundle([pack_folder(), tmp_path]), 1).encode())
    assert "data.safebox.site.email.allow would be looser" in (validate(found.bundle) or "")


@pytest.mark.opa
@pytest.mark.parametrize("overlay", [False, True])
def test_opa_reads_the_file_and_decides_the_same(overlay: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    opa = real_parts.require("opa")
    ours = tmp_path / "ours/safebox/site/all/all.rego"
    ours.parent.mkdir(parents=True)
    ours.write_text('package safebox.site.all\n\ndeny contains {"code": "site.no", "message": "No."} if true\n')
    bundle = load_bundle([pack_folder(), tmp_path / "ours"] if overlay else [pack_folder()])
    file, question = tmp_path / "policy.tar.gz", tmp_path / "input.json"
    file.write_bytes(make_release(bundle, 3).signed_by(ALICE).encode())

    def run(*words: str) -> str:
        done = subprocess.run([opa, *words], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    document = cases.good()["email.send"]
    question.write_text(json.dumps(document))
    answer = run("eval", "-b", str(file), "-i", str(question), "-f", "raw", "data.safebox.main.decision")
    mine = EmbeddedEngine(bundle).answer(cases.encode(document))
    assert json.loads(answer)["verdict"] == mine.verdict == ("deny" if overlay else "allow")
    run("test", "-b", str(file))
    assert json.loads(run("inspect", "-f", "json", str(file)))["manifest"]["revision"].startswith("3-")


def governance(path: Path, text: str) -> Path:
    file = path / "governance.toml"
    file.write_text(text)
    file.chmod(0o600)
    return file


KEYS = f'[keys]\nalice = "{ALICE.verifier.text()}"\nbob = "{BOB.verifier.text()}"\n'


def test_the_governance_file_is_read(tmp_path: Path) -> None:
    found = read_governance(governance(tmp_path, f"threshold = 2\nminimum_version = 3\n{KEYS}"))
    assert found == Governance(2, TWO.keys, 3)
    assert read_governance(governance(tmp_path, f"threshold = 1\n{KEYS}")).minimum_version == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (KEYS, "threshold is not a number"),
        (f"threshold = 0\n{KEYS}", ":1: threshold is not a number from 1"),
        (f"threshold = true\n{KEYS}", "not a number"),
        (f'threshold = "2"\n{KEYS}', "not a number"),
        (f"threshold = 1.0\n{KEYS}", "not a number"),
        (f"threshold = 3\n{KEYS}", "3 signatures are needed and there are 2 keys"),
        (f"threshold = 1\nminimum_version = 0\n{KEYS}", "minimum_version is not a number"),
        (f"threshold = 1\nthresold = 2\n{KEYS}", ":2: 'thresold' is not known"),
        ("threshold = 1\n", "nobody is named"),
        ("threshold = 1\n[keys]\n", "nobody is named"),
        ("threshold = 1\nkeys = 1\n", "nobody is named"),
        ('threshold = 1\n[keys]\nalice = "x"\n', ":3: the key of 'alice' can't be read"),
        ("threshold = 1\n[keys]\nalice = 1\n", "can't be read"),
        (f'threshold = 1\n[keys]\nbob = "{ALICE.verifier.text()}"\n', "'bob' is not the name of this key"),
        (f'threshold = 2\n{KEYS}alice2 = "{Signer("alice2", ALICE.seed).verifier.text()}"\n', "has the key of 'alice'"),
        ("threshold = ", "governance.toml"),
        ("", "governance.toml"),
        ("\x00", "governance.toml"),
    ],
)
def test_a_governance_file_with_anything_wrong_admits_nobody(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_governance(governance(tmp_path, text))
    assert why in error.value.cause


def test_a_governance_file_that_others_could_have_written_admits_nobody(tmp_path: Path) -> None:
    file = governance(tmp_path, f"threshold = 1\n{KEYS}")
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="others could"):
        read_governance(file)
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    with pytest.raises(ConfigError):
        read_governance(link)
    with pytest.raises(ConfigError, match="there is no"):
        read_governance(tmp_path / "nothing.toml")
