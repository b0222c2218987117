"""`safebox policy eval`, `explain`, `replay` and `diff`, as their users see them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from safebox.firewall.core.money import pad
from safebox.firewall.engines.bundle import pack_folder
from tests import recordings
from tests.integration.cli.program import Program
from tests.unit.policy import cases

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e<script>"
SECRET = "the-api-key-is-hunter2"


@pytest.fixture
def home(home: Path) -> Path:
    """A mail that was allowed, one that was refused, a payment refused for its fee, and a decision that failed."""
    judged, start = recordings.Judged(), recordings.started("run_1", recordings.payment(1, None))
    stranger = recordings.mail(listed=False)
    stranger["action"]["args"] |= {"to": [HOSTILE], "subject": HOSTILE, "body": SECRET}
    stranger["facts"]["recipients"] = [{"address": HOSTILE, "listed": False}]
    documents = recordings.mail(), stranger, recordings.payment(700, 600 * recordings.GWEI), recordings.mail()
    events = [judged.event(number, "run_1", each, start) for number, each in enumerate(documents, start=1)]
    events[3] = msgspec.structs.replace(events[3], facts=msgspec.Raw(b"null"))
    recordings.append(home / "ledger.sqlite3", [start, *events])
    return home


def name(number: int) -> str:
    return f"dec_{number:026d}"


def refuse_mail(folder: Path) -> Path:
    site = folder / "safebox/site/email"
    site.mkdir(parents=True)
    text = 'package safebox.site.email\n\ndeny contains {"code": "site.no", "message": "No."} if input.action.args.to\n'
    (site / "email.rego").write_text(text)
    return folder


def test_a_recorded_decision_is_asked_again(safebox: Program) -> None:
    done = safebox("policy", "eval", name(1))
    assert done.status == 0, done
    assert done.out.splitlines()[0] == "verdict      allow"
    assert f"recorded     the same, by this very policy, as {name(1)}" in done.out
    assert "µs" in done.out


def test_an_overlay_answers_otherwise_than_was_recorded(safebox: Program, tmp_path: Path) -> None:
    done = safebox("policy", "eval", name(1), str(refuse_mail(tmp_path / "o")))
    assert done.status == 0, done
    assert "site.no: No." in done.out
    assert "recorded     allow, by another policy, sha256:" in done.out


def test_an_input_comes_from_a_file_or_from_standard_input(safebox: Program, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "input.json"
    path.write_bytes(cases.encode(recordings.payment(700, None)))
    answer = json.loads(safebox("policy", "eval", str(path), "--json").out)
    assert (answer["verdict"], answer["reasons"], answer["recorded"]) == ("allow", [], None)
    assert answer["bundle"].startswith("sha256:")
    assert answer["seconds"] > 0
    words = [sys.executable, "-m", "safebox.sandbox.cli", "policy", "eval", "-", "--json"]
    piped = subprocess.run(words, input=path.read_bytes(), capture_output=True, check=True, cwd=home)
    assert json.loads(piped.stdout)["verdict"] == "allow"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["nobody"], "no decision's name ends with 'nobody'"),
        ([name(4)], "policy was not asked"),
        (["./nothing.json"], "can't be read"),
        (["-"], "is no JSON"),
        ([name(1), "--ledger", "nothere"], "there is no ledger"),
    ],
)
@pytest.mark.parametrize("command", ["eval", "explain"])
def test_what_can_not_be_asked_is_an_error_with_a_remedy(
    safebox: Program, command: str, words: list[str], cause: str
) -> None:
    done = safebox("policy", command, *words)
    assert done.status == 3
    assert cause in done.err
    assert "→" in done.err
    assert done.out == ""


@pytest.mark.parametrize("content", ["[]", "7", '"x"', "{", "\udcff"])
def test_what_is_no_policy_input_is_an_error(safebox: Program, tmp_path: Path, content: str) -> None:
    path = tmp_path / "input.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    done = safebox("policy", "eval", str(path))
    assert (done.status, done.out) == (3, "")


def test_a_decision_is_explained_by_rule_line_value_and_change(safebox: Program) -> None:
    done = safebox("policy", "explain", name(3))
    assert done.status == 0, done
    assert done.out.startswith("deny (transfer.fee_cap)\n")
    assert "Over the fee cap (overspending, medium)" in done.out
    assert "safebox/transfer/transfer.rego:" in done.out
    assert "data.data.limits.transfer.max_fee_per_gas = 0.0000005 ETH" in done.out
    assert "input.action.args.max_fee_per_gas: 0.0000006 ETH → 0.0000005 ETH, then allow" in done.out
    assert "→ Offer a lower fee" in done.out
    document = json.loads(safebox("policy", "explain", name(3), "--json").out)
    assert document["recorded"]["decision"] == name(3)
    assert document["reasons"][0]["flips"]


def test_what_an_agent_wrote_steers_no_terminal_and_its_mail_stays_unread(safebox: Program, tmp_path: Path) -> None:
    overlay = str(refuse_mail(tmp_path / "o"))
    for words in (
        ("explain", name(2)),
        ("explain", name(2), "--json"),
        ("eval", name(2)),
        ("replay", "--candidate", overlay),
        ("replay", "--candidate", overlay, "--json"),
    ):
        done = safebox("policy", *words)
        assert not {"\x1b", "\x07", "\u202e"} & set(done.out if "--json" not in words else ""), words
        assert "\x1b" not in done.out
        assert SECRET not in done.out, words


def test_replay_tells_what_would_be_allowed_first_with_its_money(safebox: Program, home: Path, tmp_path: Path) -> None:
    candidate = refuse_mail(recordings.fee_cap(tmp_path / "o"))
    done = safebox("policy", "replay", str(home), "--candidate", str(candidate))
    assert done.status == 7
    lines = done.out.splitlines()
    assert lines[0].startswith("replayed   3 decisions in ")
    assert lines[0].endswith("1 policy was never asked about")
    found = [line for line in lines if line.startswith(("newly", "otherwise"))]
    assert found == [
        "newly allowed: 1, moving at worst 0.00000000000000071 ETH (wallet)",
        "newly denied: 1",
        "otherwise: 1",
    ]
    assert any("landlord" in line and "deny (transfer.fee_cap) → allow" in line for line in lines)
    assert any(line.endswith("deny: + site.no") for line in lines)
    assert "Each action was judged alone, with the facts recorded then" in done.out


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--fail-on", "none"), 0),
        (("--fail-on", "changed"), 7),
        (("--tool", "email"), 0),
        (("--tool", "email", "--fail-on", "changed"), 7),
        (("--tool", "wallet.transfer"), 7),
        (("--run", "run_2"), 0),
        (("--since", "1d", "--fail-on", "changed"), 0),
        (("--since", "2020-01-01T00:00:00Z"), 7),
        (("--since", "yesterday"), 3),
        (("--fail-on", "nothing"), 2),
    ],
)
def test_the_exit_status_is_for_ci(safebox: Program, tmp_path: Path, options: tuple[str, ...], status: int) -> None:
    candidate = refuse_mail(recordings.fee_cap(tmp_path / "o"))
    done = safebox("policy", "replay", "--candidate", str(candidate), *options)
    assert done.status == status, done


def test_replay_as_json_has_everything(safebox: Program, tmp_path: Path) -> None:
    candidate = recordings.fee_cap(tmp_path / "o")
    report: dict[str, Any] = json.loads(safebox("policy", "replay", "--candidate", str(candidate), "--json").out)
    assert report["would_move"] == [{"rail": "wallet", "asset": "ETH", "units": pad(710)}]
    (change,) = report["changes"]
    assert (change["kind"], change["decision"], change["after"]["verdict"]) == ("newly_allowed", name(3), "allow")
    assert report["counts"]["newly_allowed"] == 1
    same = json.loads(
        safebox("policy", "replay", "--candidate", str(candidate), "--baseline", str(candidate), "--json").out
    )
    assert same["changes"] == []


def test_a_candidate_that_would_not_come_into_force_is_an_error(safebox: Program, tmp_path: Path) -> None:
    site = tmp_path / "o/safebox/site/all"
    site.mkdir(parents=True)
    (site / "all.rego").write_text('package safebox.site.all\n\ndeny contains http.send({"url": "x"}) if true\n')
    for words in (("replay", "--candidate"), ("diff", str(pack_folder())), ("eval", name(1)), ("explain", name(1))):
        done = safebox("policy", *words, str(tmp_path / "o"))
        assert done.status == 5, done
        assert "http.send calls out" in done.err


def test_diff_asks_both_the_golden_set(safebox: Program, tmp_path: Path) -> None:
    pack, stricter = str(pack_folder()), str(refuse_mail(tmp_path / "s"))
    same = safebox("policy", "diff", pack, pack, "--fail-on", "changed")
    assert (same.status, "Both answer all of them alike." in same.out) == (0, True)
    tighter = safebox("policy", "diff", pack, stricter)
    assert (tighter.status, "newly denied: " in tighter.out) == (0, True)
    assert "allow → deny (site.no)" in tighter.out
    assert safebox("policy", "diff", pack, stricter, "--fail-on", "changed").status == 7
    looser = safebox("policy", "diff", stricter, pack, "--json")
    assert looser.status == 7
    report = json.loads(looser.out)
    assert report["counts"]["newly_allowed"] > 0
    assert report["differences"][0]["kind"] == "newly_allowed"
    assert not report["differences"][0]["unexpected"]
