"""A real firewall with an overlay: what it says of it, records of it, and does when the overlay is edited."""

from __future__ import annotations

import json
from pathlib import Path

from safebox.firewall.engines.bundle import pack_folder
from tests.attached import NOWHERE
from tests.live import home_at, until

PATH = "data.data.limits.rate.denials_in_ten_minutes"
OPTIONS = [word for option in NOWHERE.items() for word in option]


def write(folder: Path, denials: int, relaxed: dict[str, str] | None = None) -> None:
    (folder / "data/limits").mkdir(parents=True, exist_ok=True)
    (folder / "data/limits/data.json").write_text(json.dumps({"rate": {"denials_in_ten_minutes": denials}}))
    if relaxed is not None:
        (folder / "relax.json").write_text(json.dumps(relaxed))


def test_relaxations_are_shown_recorded_and_needed_at_every_moment(short_path: Path) -> None:
    ours = short_path / "ours"
    write(ours, 9, {PATH: "load tests"})
    with home_at(short_path / "home") as home:
        firewall = home.serve(*OPTIONS, "--policies", str(ours))
        said = f"the pack, and over it {ours}; relaxed: {PATH} (load tests)"
        assert said in firewall.out
        assert said in home.status()["parts"]["policy"]
        recorded = until(lambda: home.events("policy_activated"), "recorded")
        assert recorded[-1]["relaxed"] == {PATH: "load tests"}
        bundle = home.status()["bundle"]

        write(ours, 9, {PATH: "another reason"})  # decides the same, and is recorded anew
        until(lambda: len(home.events("policy_activated")) == 2, lambda: home.status()["policy"])
        assert home.events("policy_activated")[-1]["relaxed"] == {PATH: "another reason"}
        assert home.status()["bundle"] == bundle

        (ours / "relax.json").unlink()
        until(lambda: f"{PATH} would be looser" in home.status()["policy"], lambda: home.status()["policy"])
        assert "the last good policy stays in force" in home.status()["policy"]
        assert str(ours / "relax.json") in home.status()["policy"]
        assert (home.status()["bundle"], home.status()["ready"]) == (bundle, True)

        write(ours, 4)
        until(lambda: home.status()["bundle"] != bundle, lambda: home.status()["policy"])
        assert "relaxed" not in home.status()["parts"]["policy"]
        until(lambda: len(home.events("policy_activated")) == 3, "recorded")
        assert "relaxed" not in home.events("policy_activated")[-1]
        home.verified()


def test_an_overlay_that_loosens_at_the_start_leaves_no_policy_at_all(short_path: Path) -> None:
    ours = short_path / "ours"
    write(ours, 9)
    with home_at(short_path / "home") as home:
        home.serve(*OPTIONS, "--policies", str(pack_folder()), "--policies", str(ours))
        status = home.status()
        assert (status["ready"], status["bundle"]) == (False, "")
        assert f"{PATH} would be looser (5 → 9, lower is stricter)" in status["reasons"][0]
        write(ours, 4)
        until(lambda: home.status()["ready"], lambda: home.status()["policy"])
