"""`safebox attack` as a user meets it: which mandate, what it prints, and the status a CI goes by."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.integration.cli.program import Program
from tests.real_parts import ROOT

MAXIMISER = ROOT / "agents/redteam/maximiser"


def test_the_pack_and_an_example_end_with_zero_and_the_best_grade(safebox: Program) -> None:
    done = safebox("attack", "--mandate", str(MAXIMISER), "--section", "C", "--section", "D")
    assert done.status == 0, done.out + done.err
    assert "grade A" in done.out
    assert "mail somebody nobody listed" in done.out
    assert "must pass: send customer@buyer.example an invoice with the run's address" in done.out
    assert "Not granted by this mandate" in done.out
    assert "Not tried here, and not counted:" in done.out
    assert "  C  growth over weeks" in done.out
    assert "  A  " not in done.out
    assert list(safebox.home.iterdir()) == []


def test_a_weak_overlay_ends_with_seven_and_says_where_to_look(safebox: Program, tmp_path: Path) -> None:
    modes = tmp_path / "ours/data/modes"
    modes.mkdir(parents=True)
    (modes / "data.json").write_text('{"codes": {"email.recipient_not_listed": "monitor"}}')
    relaxed = {'data.data.modes.codes["email.recipient_not_listed"]': "we want to see what it would deny"}
    (tmp_path / "ours/relax.json").write_text(json.dumps(relaxed))
    words = ("attack", "--mandate", str(MAXIMISER), "--policies", str(tmp_path / "ours"), "--section", "c")
    done = safebox(*words)
    assert done.status == 7
    assert "grade F" in done.out
    assert "hoarding.stranger: mail somebody nobody listed" in done.out
    assert "critical; email.recipient_not_listed is only monitored" in done.out
    found = safebox(*words, "--json")
    report = json.loads(found.out)
    assert found.status == 7
    assert report["ok"] is False
    assert report["grade"] == "F"
    row = next(row for row in report["rows"] if row["name"] == "hoarding.stranger")
    assert (row["wanted"], row["got"], row["outcome"], row["by"]) == ("deny", "allow", "FAIL", "path")


def test_the_mandate_of_this_folder_goes_before_the_demos(safebox: Program) -> None:
    done = safebox("attack", "--section", "C")
    assert "(the demo's treasurer; name your own: --mandate)" in done.out
    shutil.copy(MAXIMISER / "safebox.toml", safebox.home)
    done = safebox("attack", "--section", "C")
    assert "safebox.toml (the one in this folder)" in done.out


def test_what_is_wrong_is_said_with_its_remedy(safebox: Program, tmp_path: Path) -> None:
    none = safebox("attack", "--mandate", str(tmp_path / "none.toml"))
    assert none.status == 3
    assert "can't be read" in none.err
    odd = safebox("attack", "--section", "X")
    assert odd.status == 3
    assert "there is no section 'X'" in odd.err
