"""What people read of a held action before they sign, and that nothing else is signed than what they read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from safebox.firewall.core.approval import Signer
from safebox.firewall.errors import ConfigError
from safebox.firewall.roster import read_signer, write_signer
from safebox.sandbox.cli import approvals_list, hold_words
from safebox.sandbox.cli.approvals_show import ask, tell
from safebox.sandbox.cli.casting import check
from safebox.sandbox.cli.event_lines import plain_line
from tests.people import A_MINUTE, Waiting


class Answering:
    """A control client that answers from a desk."""

    def __init__(self, rig: Waiting) -> None:
        self._rig = rig

    def request(self, op: str, **fields: Any) -> dict[str, Any]:
        if op == "approval":
            return self._rig.desk.shown(str(fields["hold"]))
        return self._rig.desk.listed(every=bool(fields.get("all")))


async def test_a_hold_is_told_with_all_that_is_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = Waiting(tmp_path)
    held = await rig.ask()
    await rig.vote(held, "alice")
    found = rig.desk.shown(str(held.decision_id))
    tell(found)
    out = capsys.readouterr().out
    for fact in (
        "pay 1 ETH → acme",
        "1 ETH of wallet; 7 ETH were left",
        "1 of 2 owners",
        "alice, bob, carol",
        "yes, alice at",
    ):
        assert fact in out
    for name in ("hold", "run", "digest", "bundle"):
        assert found[name] in out


async def test_words_that_steer_a_terminal_are_escaped(tmp_path: Path) -> None:
    rig = Waiting(tmp_path)
    found = rig.desk.shown(str((await rig.ask()).decision_id)) | {"purpose": "\x1b[2Jpay\u202e", "agent": "a\nb"}
    text = "".join(f"{name}{value}" for name, value in hold_words.rows(found))
    assert "\\u001b[2Jpay\\u202e" in text
    assert "a\\nb" in text


@pytest.mark.parametrize("path", [("tool",), ("action", "args", "amount", "units"), ("action", "args", "to")])
async def test_what_is_shown_is_what_is_signed(tmp_path: Path, path: tuple[str, ...]) -> None:
    rig = Waiting(tmp_path)
    found = rig.desk.shown(str((await rig.ask()).decision_id))
    check(found)
    place = found["asked"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = {"tool": "wallet.balance", "units": "0" * 78}.get(path[-1], "0x" + "1" * 40)
    with pytest.raises(ConfigError, match="another action"):
        check(found)


async def test_a_hold_is_found_by_the_end_of_its_name(tmp_path: Path) -> None:
    rig = Waiting(tmp_path)
    first, second = await rig.ask("1 ETH"), await rig.ask("2 ETH")
    client: Any = Answering(rig)
    assert ask(client, str(first.decision_id)[-2:])["hold"] == first.decision_id
    assert str(second.decision_id)[0] == str(first.decision_id)[0]
    for named in ("", "nothing-like-it", "0"):
        with pytest.raises(ConfigError):
            ask(client, named)


async def test_what_came_of_each_hold_is_told(tmp_path: Path) -> None:
    rig = Waiting(tmp_path, A_MINUTE)
    rig.clock.now = time.time_ns()
    done, refused, expired = await rig.ask("1 ETH"), await rig.ask("2 ETH"), await rig.ask("3 ETH")
    shown = rig.desk.shown(str(done.decision_id))
    assert hold_words.missing(shown) == "silence of owners"
    assert hold_words.until(shown).startswith("passes in ")
    await rig.vote(done, "bob")
    await rig.vote(refused, "bob", "deny")
    await rig.rest()
    rig.ready = False
    await rig.later(4000)
    told = [hold_words.missing(each) for each in rig.desk.listed(every=True)["holds"]]
    assert told == ["passed and done", "refused", "expired"]
    whole = dict(hold_words.rows(rig.desk.shown(str(done.decision_id))))
    assert whole["outcome"].startswith("done, 1 ETH taken")
    assert whole["decided"].startswith("allow as dec_")
    assert dict(hold_words.rows(rig.desk.shown(str(refused.decision_id))))["said"].startswith("NO, bob")
    assert expired.decision_id is not None


def test_nobody_to_ask_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAFEBOX_HOME", str(tmp_path))
    approvals_list.approvals_list()
    assert capsys.readouterr().out == "Nothing waits: no firewall is up.\n"


def test_the_events_of_a_hold_are_told_in_a_line() -> None:
    lines = [
        plain_line(event, with_run=False).partition(" ")[2]
        for event in (
            {"event": "voted", "at_ns": 1, "verdict": "deny", "approver": "bob", "hold": "dec_1", "key": "bob+k"},
            {"event": "hold_closed", "at_ns": 1, "hold": "dec_1", "reason": "policy_changed"},
            {"event": "asked_again", "at_ns": 1, "hold": "dec_1", "told": True},
        )
    ]
    assert lines == [
        "no approval bob to dec_1 with key bob+k",
        "over approval dec_1: policy changed",
        "again approval the agent asked for dec_1 and was told what became of it",
    ]


def test_a_private_key_is_kept_from_others_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "alice.key"
    signer = Signer.make("alice")
    write_signer(path, signer)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_signer(path) == signer
    with pytest.raises(ConfigError, match="File exists"):
        write_signer(path, signer)
    path.chmod(0o604)
    with pytest.raises(ConfigError, match="others could read"):
        read_signer(path)


@pytest.mark.parametrize(
    "text",
    ["", "PRIVATE+KEY", "PRIVATE+KEY+alice+00000000+AQ==", "alice+00000000+AA==", "PRIVATE+KEY+a+b+c+d", "é"],
)
def test_what_is_no_private_key_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as refused:
        read_signer(path)
    assert not text or text not in refused.value.cause


def test_a_damaged_private_key_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "key"
    good = Signer.make("alice").text()
    path.write_text(good.replace("alice", "alicf"))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="damaged"):
        read_signer(path)
    with pytest.raises(ConfigError, match="there is no"):
        read_signer(tmp_path / "other")
