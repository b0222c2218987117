"""`safebox.firewall.engines.layers`: the same folders mean the same everywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safebox.firewall.engines.bundle import pack_folder
from safebox.firewall.engines.layers import describe_layers, is_pack, policy_layers
from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.policy_check import policy_folders
from safebox.sandbox.cli.setup import Setup
from tests.unit.policy import cases


def test_without_any_folder_the_pack_judges() -> None:
    assert policy_layers([]) == (pack_folder(),)


def test_a_folder_goes_on_top_of_the_pack(tmp_path: Path) -> None:
    assert policy_layers([tmp_path / "a", tmp_path / "b"]) == (pack_folder(), tmp_path / "a", tmp_path / "b")


def test_a_whole_pack_named_first_is_the_base(tmp_path: Path) -> None:
    own = cases.copy_pack(tmp_path)
    assert policy_layers([own, tmp_path]) == (own, tmp_path)
    assert policy_layers([pack_folder(), tmp_path]) == (pack_folder(), tmp_path)


def test_a_whole_pack_named_later_is_no_base(tmp_path: Path) -> None:
    own = cases.copy_pack(tmp_path)
    assert policy_layers([tmp_path, own]) == (pack_folder(), tmp_path, own)


def test_a_folder_named_twice_counts_once(tmp_path: Path) -> None:
    assert policy_layers([tmp_path, tmp_path]) == (pack_folder(), tmp_path)


def test_a_relative_folder_is_found_from_where_it_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert policy_layers([Path("ours")])[1] == tmp_path / "ours"


def test_every_command_means_the_same(tmp_path: Path) -> None:
    setup = Setup(policies=(tmp_path,))
    assert setup.settings().policies == tuple(policy_folders([tmp_path])) == policy_layers([tmp_path])
    assert setup.asked()["policies"] == [str(each) for each in policy_layers([tmp_path])]
    assert "policies" not in Setup().asked()


def test_governed_mode_has_no_folders(tmp_path: Path) -> None:
    settings = Setup(governance=tmp_path / "g.toml").settings()
    assert (settings.policies, settings.governance) == ((), tmp_path / "g.toml")
    with pytest.raises(ConfigError, match="at once"):
        Setup(policies=(tmp_path,), governance=tmp_path / "g.toml").settings()


def test_the_words_for_people_name_base_and_overlays(tmp_path: Path) -> None:
    assert describe_layers(policy_layers([])) == "the pack"
    assert describe_layers(policy_layers([tmp_path])) == f"the pack, and over it {tmp_path}"
    own = cases.copy_pack(tmp_path)
    assert describe_layers([own]) == str(own)
    assert describe_layers([]) == "no policy"


def test_only_the_entrypoint_makes_a_pack(tmp_path: Path) -> None:
    os.makedirs(tmp_path / "safebox/main")
    assert not is_pack(tmp_path)
