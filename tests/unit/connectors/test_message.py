"""A mail is a function of its action, and no argument becomes a header of its own."""

from email import message_from_bytes, policy

import msgspec
import pytest

from safebox.firewall.connectors.message import build_message
from safebox.firewall.core.arguments import SendEmail
from safebox.firewall.errors import CallerError
from tests.unit.connectors.actions import action

SENDER = "agent@safebox.example"
ASKED = action("email.send", {"to": ["a@b.example"], "subject": "Hi", "body": "x" * 5000 + "\n.\n€"})


def test_the_same_action_gives_the_same_bytes() -> None:
    with_file = action(
        "email.send",
        {
            "to": ["a@b.example"],
            "subject": "s",
            "body": "b",
            "attachments": [{"name": "x.bin", "content_base64": "AAEC"}, {"name": "x.eml", "content_base64": "AAEC"}],
        },
    )
    for asked in (ASKED, with_file):
        assert build_message(asked, asked.args, SENDER) == build_message(asked, asked.args, SENDER)


def test_only_crlf_ends_lines_and_no_line_is_longer_than_smtp_takes() -> None:
    content = build_message(ASKED, ASKED.args, SENDER)
    assert content.count(b"\n") == content.count(b"\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("subject", ["a\nBcc: x@y.example", "a\r\nBcc: x@y.example", "a\rBcc: x@y.example"])
def test_a_line_break_in_a_subject_is_refused_even_past_the_gateway(subject: str) -> None:
    args: SendEmail = msgspec.structs.replace(ASKED.args, subject=subject)
    with pytest.raises(CallerError):
        build_message(ASKED, args, SENDER)


def test_a_recipient_that_is_a_list_or_a_header_is_refused_even_past_the_gateway() -> None:
    for to in ("a@b.example, c@d.example", "a@b.example\nBcc: x@y.example", "Ann <a@b.example>", "undisclosed"):
        args: SendEmail = msgspec.structs.replace(ASKED.args, to=(to,))
        with pytest.raises(CallerError):
            build_message(ASKED, args, SENDER)


def test_unusual_text_survives_in_subject_body_and_file_names() -> None:
    asked = action(
        "email.send",
        {
            "to": ["a@b.example"],
            "subject": "=?utf-8?q?trick?= ü 你好 " + "w" * 200,
            "body": "From me\n..\n.\nend",
            "attachments": [{"name": 'ü "quoted"; x=y.txt', "content_base64": "aGk="}],
        },
    )
    mail = message_from_bytes(build_message(asked, asked.args, SENDER), policy=policy.default)
    body = mail.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n").rstrip("\n") == "From me\n..\n.\nend"
    assert [part.get_filename() for part in mail.iter_attachments()] == ['ü "quoted"; x=y.txt']
    assert set(mail.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "X-Safebox-Run", "MIME-Version", "Content-Type"
    }  # fmt: skip


def test_a_lone_surrogate_is_refused_not_sent_broken() -> None:
    args: SendEmail = msgspec.structs.replace(ASKED.args, body="\ud800")
    with pytest.raises(CallerError):
        build_message(ASKED, args, SENDER)
