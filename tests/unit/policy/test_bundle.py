"""`safebox.firewall.engines.bundle`: what is read, what it is called, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from safebox.firewall.engines import bundle as module
from safebox.firewall.engines.bundle import decode_bundle, load_bundle, pack_folder
from safebox.firewall.errors import PolicyUnavailable


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


A = {"a/a.rego": "package a\n", "b/b.rego": "package b\n", "data/limits/data.json": '{"x": 1, "y": {"z": 2}}'}


def test_the_digest_depends_on_content_alone(tmp_path: Path) -> None:
    one = write(tmp_path / "one", A)
    two = write(tmp_path / "two", dict(reversed(A.items())))
    os.utime(two / "a/a.rego", (1, 1))
    assert load_bundle([one]).digest == load_bundle([two]).digest


@pytest.mark.parametrize("name", sorted(A))
def test_the_digest_changes_with_any_content(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, A)
    before = load_bundle([folder]).digest
    text = A[name].replace("1", "3") if name.endswith("json") else f"{A[name]}# more\n"
    write(folder, {name: text})
    assert load_bundle([folder]).digest != before


def test_the_digest_changes_when_text_moves_from_one_file_to_another(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"a.rego": "package a\nx := 1\n", "b.rego": "package a\n"})
    two = write(tmp_path / "two", {"a.rego": "package a\n", "b.rego": "package a\nx := 1\n"})
    assert load_bundle([one]).digest != load_bundle([two]).digest


def test_the_spacing_of_data_is_no_content(tmp_path: Path) -> None:
    one = write(tmp_path / "one", A)
    two = write(tmp_path / "two", {**A, "data/limits/data.json": '{"y":{"z":2},"x":1}'})
    assert load_bundle([one]).digest == load_bundle([two]).digest


def test_tests_hidden_files_and_other_files_are_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path, A)
    before = load_bundle([folder])
    write(folder, {"a/a_test.rego": "broken", ".git/x.rego": "broken", "a/.swp.rego": "broken", "README.md": "x"})
    write(folder, {"schemas/input.json": "broken"})
    assert load_bundle([folder]) == before
    assert [each.name for each in load_bundle([folder], tests=True).modules] == [
        "a/a.rego",
        "a/a_test.rego",
        "b/b.rego",
    ]


def test_data_is_at_the_path_of_its_folder(tmp_path: Path) -> None:
    assert json.loads(load_bundle([write(tmp_path, A)]).data) == {"data": {"limits": {"x": 1, "y": {"z": 2}}}}


def test_half_a_character_in_data_is_refused_and_not_a_crash(tmp_path: Path) -> None:
    folder = write(tmp_path, {**A, "data/x/data.json": '{"a": "\\ud800"}'})
    with pytest.raises(PolicyUnavailable, match="surrogates"):
        load_bundle([folder])


def test_a_later_folder_replaces_numbers_and_adds_rules(tmp_path: Path) -> None:
    pack = write(tmp_path / "pack", {**A, "data/strict/data.json": '{"limits": {"y": {"z": "higher"}}}'})
    site = write(tmp_path / "site", {"data/limits/data.json": '{"y": {"z": 9}}', "a/a.rego": "package a\nx := 1\n"})
    bundle = load_bundle([pack, site])
    assert json.loads(bundle.data)["data"]["limits"] == {"x": 1, "y": {"z": 9}}
    assert [each.name for each in bundle.modules] == ["1/a/a.rego", "a/a.rego", "b/b.rego"]
    other = write(tmp_path / "other", {"c.rego": "package c\n"})
    assert load_bundle([pack, site, other]).digest != load_bundle([pack, other, site]).digest


def test_a_bundle_survives_being_kept(tmp_path: Path) -> None:
    bundle = load_bundle([write(tmp_path, A)])
    again = decode_bundle(bundle.encode())
    assert (again.digest, again.data) == (bundle.digest, bundle.data)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"\xff", b'{"modules": [], "data": 1}'])
def test_what_was_never_a_bundle_is_refused(raw: bytes) -> None:
    with pytest.raises(PolicyUnavailable):
        decode_bundle(raw)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"x": 1, "x": 2}', "twice"),
        ('{"x": 0.5}', "not exact"),
        ('{"x": 1e3}', "not exact"),
        ('{"x": NaN}', "not exact"),
        ('{"x": 9007199254740993}', "beyond 2"),
        ("[1]", "not a JSON object"),
        ("{", "Expecting"),
        ('{"x": ' + "[" * 100_000, "recursion"),
    ],
)
def test_data_with_two_meanings_is_refused(tmp_path: Path, text: str, why: str) -> None:
    folder = write(tmp_path, {**A, "data/limits/data.json": text})
    with pytest.raises(PolicyUnavailable, match=why):
        load_bundle([folder])


def test_two_data_files_of_one_folder_giving_one_value_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, {**A, "data/data.json": '{"limits": {"x": 5}}'})
    with pytest.raises(PolicyUnavailable, match="another data file"):
        load_bundle([folder])


def test_no_folder_no_file_and_unreadable_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyUnavailable) as missing:
        load_bundle([tmp_path / "nowhere"])
    with pytest.raises(PolicyUnavailable) as empty:
        load_bundle([tmp_path])
    (tmp_path / "x.rego").write_bytes(b"\xff")
    with pytest.raises(PolicyUnavailable) as unreadable:
        load_bundle([tmp_path])
    assert [caught.value.kind for caught in (missing, empty, unreadable)] == ["missing", "missing", "unreadable"]


def test_sizes_and_numbers_of_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, A)
    for name, limit in (("FILE_BYTES_MAX", 5), ("FILES_MAX", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, limit)
            with pytest.raises(PolicyUnavailable) as caught:
                load_bundle([folder])
            assert caught.value.kind == "too_large"


def test_all_files_together_are_bounded(tmp_path: Path) -> None:
    many = {f"m{number}.rego": "package a\n" + "#" * 1_000_000 for number in range(18)}
    with pytest.raises(PolicyUnavailable, match="too large"):
        load_bundle([write(tmp_path, many)])


def test_the_pack_is_not_looked_for_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pack_folder()
    write(tmp_path, {"policies/safebox/main/main.rego": "package safebox.main\n"})
    monkeypatch.chdir(tmp_path)
    assert pack_folder() == before
    assert tmp_path not in before.parents
