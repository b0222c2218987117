"""The scripted model's next words are a pure function of playbook and conversation."""

import tomllib
from typing import Any

import msgspec
import pytest

from safebox.firewall.standins import playbook
from safebox.firewall.standins.playbook import PlaybookError

INVOICE = """
[[step]]
say = "I will look."
call = [ { tool = "email_list" } ]

[[step]]
when = { tool = "email_list", contains = "Invoice" }
capture = { mail = { path = "messages.0.id" } }
call = [ { tool = "email_read", arguments = { id = "{{capture.mail}}" } } ]

[[step]]
when = { tool = "email_read", regex = "pay (?P<sum>[0-9.]+ ETH) to (?P<payee>0x[0-9a-f]+)" }
call = [ { tool = "wallet_transfer", arguments = { to = "{{capture.payee}}", amount = "{{capture.sum}}" } } ]

[[step]]
when = { tool = "wallet_transfer", contains = "denied" }
say = "No: {{result.json.reasons.0.code}} for mail {{capture.mail}}."
"""


def _play(text: str, messages: list[dict[str, Any]]) -> playbook.Answer:
    return playbook.play(playbook.parse(tomllib.loads(text)), msgspec.convert(messages, list[playbook.Message]))


def _called(identity: str, tool: str) -> dict[str, Any]:
    call = {"id": identity, "type": "function", "function": {"name": tool, "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _result(identity: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": text}


CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "You pay invoices."},
    {"role": "user", "content": "Go."},
    _called("call_0_0", "email_list"),
    _result("call_0_0", '{"messages":[{"id":7,"subject":"Invoice 12"}]}'),
    _called("call_1_0", "email_read"),
    _result("call_1_0", '{"body":"please pay 0.5 ETH to 0xabc"}'),
    _called("call_2_0", "wallet_transfer"),
    _result("call_2_0", '{"verdict":"denied","reasons":[{"code":"transfer.payee_not_listed"}]}'),
]


def test_a_conversation_is_played_step_by_step() -> None:
    first, second, third, last = (_play(INVOICE, CONVERSATION[:end]) for end in (2, 4, 6, 8))
    assert (first.text, first.calls[0].tool, first.calls[0].id) == ("I will look.", "email_list", "call_0_0")
    assert second.calls[0].arguments == '{"id":7}'
    assert third.calls[0].arguments == '{"to":"0xabc","amount":"0.5 ETH"}'
    assert last.text == "No: transfer.payee_not_listed for mail 7."


def test_what_was_captured_is_found_again_without_any_state() -> None:
    assert _play(INVOICE, CONVERSATION) == _play(INVOICE, CONVERSATION)


def test_a_step_whose_condition_fails_is_not_played() -> None:
    messages = [*CONVERSATION[:3], _result("call_0_0", '{"messages":[]}')]
    assert _play(INVOICE, messages).exhausted


def test_a_used_step_is_played_again_only_when_it_repeats() -> None:
    once, again = '[[step]]\nsay = "a"', '[[step]]\nsay = "a"\nrepeat = true'
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "a"}]
    assert _play(once, messages).exhausted
    assert _play(again, messages).text == "a"


def test_arguments_text_is_sent_byte_for_byte() -> None:
    text = '[[step]]\ncall = [ { tool = "t", arguments_text = "{broken {{turn}}" } ]'
    assert _play(text, []).calls[0].arguments == "{broken {{turn}}"


def test_big_integers_stay_exact() -> None:
    text = '[[step]]\nwhen = { tool = "t" }\ncall = [ { tool = "u", arguments = { n = "{{result.json.n}}" } } ]'
    messages = [_called("c", "t"), _result("c", f'{{"n":{2**256 - 1}}}')]
    assert _play(text, messages).calls[0].arguments == f'{{"n":{2**256 - 1}}}'


def test_parts_of_content_are_read_as_one_text() -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "pay "}, {"type": "text", "text": "now"}]}]
    assert _play('[[step]]\nwhen = { from = "task", contains = "pay now" }\nsay = "ok"', messages).text == "ok"


@pytest.mark.parametrize(
    "text",
    [
        '[[step]]\nsays = "typo"',
        '[[step]]\nwhen = { contain = "typo" }',
        '[[step]]\nsay = "{{capture.missing}}"',
        '[[step]]\nsay = "{{result.json.a}}"',
        '[[step]]\nwhen = { regex = "(" }',
        '[[step]]\nsay = "{{nothing}}"',
        'title = "no steps"',
    ],
)
def test_a_playbook_that_can_not_be_played_is_an_error(text: str) -> None:
    with pytest.raises(PlaybookError):
        _play(text, [])
