from __future__ import annotations

import json
import re

from safebox.firewall.core.record import encode_event
from safebox.sandbox.cli.event_lines import terminal_lines
from safebox.sandbox.cli.words import clean, money, summary
from tests.unit.cli.sample_ledger import MAIL, TRANSFER


def test_what_an_agent_wrote_cannot_steer_a_terminal() -> None:
    line = terminal_lines(json.loads(encode_event(MAIL)), width=80)
    assert "\x1b]" not in line
    assert "\x07" not in line
    assert clean("a\x1b[31m\u202eb\x9b\r") == "a\\u001b[31m\\u202eb\\u009b\\r"


def test_lines_keep_to_the_width_of_the_terminal() -> None:
    for width in (60, 80, 120):
        for event in (TRANSFER, MAIL):
            for line in terminal_lines(json.loads(encode_event(event)), width=width, with_run=True).splitlines():
                assert len(_without_colours(line)) <= width


def _without_colours(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def test_amounts_are_told_exactly_whatever_form_they_come_in() -> None:
    assert money({"asset": "ETH", "units": "1".rjust(78, "0")}) == "0.000000000000000001 ETH"
    assert money("0.1 ETH") == "0.1 ETH"
    assert money({"asset": "DOGE", "units": "5"}) == "5 DOGE"


def test_a_quote_is_told_as_the_question_it_is() -> None:
    to = "0x52908400098527886E0F7030069857D2E4169EE7"
    event = {"tool": "wallet.quote", "action": {"args": {"to": to, "amount": "0.1 ETH", "gas": None}}}
    assert summary(event) == "ask what 0.1 ETH → 0x5290…9EE7 would cost"
    assert summary(event, full=True) == f"ask what 0.1 ETH → {to} would cost"


def test_a_tool_nobody_wrote_words_for_is_told_as_json() -> None:
    event = {"tool": "web.get", "action": {"args": {"url": "https://a.example/\x1b"}}}
    assert summary(event) == '{"url": "https://a.example/\\u001b"}'
    assert summary({"tool": "email.send"}) == ""
