"""`safebox attack` as a user meets it: which mandate, what it prints, and the status a CI goes by."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

from safebox.firewall.core.facts import rfc3339
from safebox.firewall.drill.clock import NOW_NS
from safebox.firewall.drill.judge import Judge
from safebox.firewall.drill.setting import Setting
from safebox.firewall.drill.stage import Stage
from safebox.firewall.engines.bundle import pack_folder
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


async def test_a_run_is_learned_from_and_its_proposal_attacked(safebox: Program, tmp_path: Path) -> None:
    shutil.copytree(MAXIMISER, tmp_path / "agent")
    text = (tmp_path / "agent/safebox.toml").read_text()
    with closing(Judge([pack_folder()])) as judge:
        setting = Setting(text, "safebox.toml", tmp_path / "agent", judge, NOW_NS)
        stage = await Stage.open(setting, safebox.home)
        await stage.pay(stage.aim.payee, 10**16)
        await stage.mail(stage.aim.recipient)
        await stage.pay(stage.aim.stranger, 10**16)
        await stage.close()
    words = ("policy", "learn", str(stage.ledger_path))
    shown = safebox(*words)
    assert shown.status == 0, shown.out + shown.err
    assert "2 of 2 that were to be allowed are, 1 of 1 others still aren't" in shown.out
    assert "Nothing was written" in shown.out
    out = tmp_path / "proposed"
    assert safebox(*words, "--out", str(out)).status == 0
    assert safebox("mandate", "check", str(out)).status == 0
    assert safebox("policy", "check", str(out / "policies")).status == 0
    assert safebox("policy", "test", str(out / "policies"), "--run", "site").status == 0
    again = safebox(*words, "--out", str(out))
    assert again.status == 3
    assert "is there already" in again.err
    assert json.loads(safebox(*words, "--json").out)["ok"] is True
    attacked = json.loads(safebox("attack", "--mandate", str(out), "--policies", str(out / "policies"), "--json").out)
    came = {row["name"]: (row["kind"], row["outcome"]) for row in attacked["rows"]}
    assert [name for name, (kind, outcome) in came.items() if kind == "attack" and outcome == "FAIL"] == []
    assert came["copying.note"] == ("harmless", "pass")
    assert attacked["moment"][11:13] == rfc3339(NOW_NS)[11:13]  # the hour in which it was recorded
