from __future__ import annotations

import json
from typing import Any

import pytest

from safebox.firewall.core.record import encode_event
from safebox.sandbox.cli import display as display_module
from safebox.sandbox.cli.display import RunDisplay, coloured
from tests.unit.cli.sample_ledger import MAIL, SETTLED, TRANSFER


def event(one: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode_event(one))
    return found


def show(display: RunDisplay) -> None:
    display.action(event(TRANSFER))
    display.header([("run", "run_1"), ("chain", "stand-in")])
    display.output(b"thinking \xe2\x82")
    display.output(b"\xac\nhalf a line")
    display.action(event(MAIL))
    display.action(event(SETTLED))
    display.closing(("budget", "spent"), [("wallet", "0.1 ETH")], text="treasurer ended")


def test_in_a_pipe_each_happening_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(RunDisplay())
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[:3] == ["run    run_1", "chain  stand-in", ""]
    assert lines[3].endswith("allow wallet.transfer pay 0.1 ETH → acme (0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF)")
    assert lines[4:6] == ["agent | thinking €", "agent | half a line"]
    assert "deny email.send" in lines[6]
    assert lines[-4:] == ["BUDGET  SPENT", "wallet  0.1 ETH", "", "treasurer ended"]


def test_as_json_every_line_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    show(RunDisplay(as_json=True))
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = ["header", "decided", "output", "output", "decided", "settled", "closing"]
    assert [each["event"] for each in found] == kinds
    assert found[0]["rows"] == [["run", "run_1"], ["chain", "stand-in"]]
    assert found[-1]["table"] == [{"budget": "wallet", "spent": "0.1 ETH"}]


def test_on_a_terminal_verdicts_have_marks_and_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display_module, "is_rich", lambda: True)
    display = RunDisplay()
    display.header([])
    display.action(event(TRANSFER))
    display.action(event(MAIL))
    out = capsys.readouterr().out
    assert "\x1b[32m✔ allow" in out
    assert "\x1b[1;31m✘ deny" in out
    assert "pay 0.1 ETH → acme (0x2B5A…D6cF)" in out
    assert "email.recipient_not_listed: the recipient" in out


def test_an_agent_cannot_pass_its_words_off_as_ours(capsys: pytest.CaptureFixture[str]) -> None:
    display = RunDisplay()
    display.header([])
    display.output(b"\r\x1b[1A12:00:00 allow wallet.transfer\n\x1b[32mgreen\x1b[0m\n")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "agent | \\r\\u001b[1A12:00:00 allow wallet.transfer",
        "agent | green",
    ]
    assert coloured("\x1b[32mgreen\x1b]0;x\x07") == "\x1b[32mgreen\\u001b]0;x\\u0007\x1b[0m"


def test_a_line_without_end_is_not_held_back_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    display = RunDisplay()
    display.output(b"x" * 10_000)
    assert capsys.readouterr().out.count("x") >= 8_000
    display.closing((), [])
    assert capsys.readouterr().out.count("x") == 10_000 - 8_192
