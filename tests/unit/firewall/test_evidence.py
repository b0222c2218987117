"""How far a payload is the run itself, added up over all that one destination was given."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from safebox.firewall.core.action import Action
from safebox.firewall.core.arguments import Chat, SendEmail
from safebox.firewall.evidence import Evidence, destinations
from tests.real_parts import ROOT
from tests.unit.connectors.actions import action

SOURCE = (ROOT / "agents/redteam/replicator/main.py").read_text()
LINES = SOURCE.splitlines()
HALVES = ("\n".join(LINES[: len(LINES) // 2]), "\n".join(LINES[len(LINES) // 2 :]))
SECRET = b"correct-horse-battery-staple-0123456789"


@pytest.fixture
def evidence() -> Evidence:
    return Evidence({"main.py": SOURCE.encode()}, (SECRET,))


def mail(body: str, *to: str, attachment: bytes | None = None, name: str = "a.txt") -> Action:
    attachments = (
        [] if attachment is None else [{"name": name, "content_base64": base64.b64encode(attachment).decode()}]
    )
    asked = {"to": list(to or ("a@b.example",)), "subject": "", "body": body, "attachments": attachments}
    return action("email.send", asked)


def facts_of(evidence: Evidence, asked: Action) -> dict[str, Any]:
    facts, _ = evidence.judge(asked)
    assert facts is not None
    return facts


def test_what_sends_nothing_out_is_not_compared(evidence: Evidence) -> None:
    assert evidence.judge(action("email.list", {})) == (None, frozenset())
    assert evidence.judge(action("compute.start", {"image": "base", "command": ["true"], "minutes": 1}))[0] is None


def test_the_run_itself_is_found_in_a_body_in_an_attachment_and_in_a_lease(evidence: Evidence) -> None:
    lease = action("compute.start", {"image": "base", "command": ["true"], "minutes": 1, "input": SOURCE})
    for asked in (mail(SOURCE), mail("", attachment=SOURCE.encode()), lease):
        facts = facts_of(evidence, asked)
        assert facts["share_bp"] > 9_000
        assert facts["source"] == "main.py"
        assert facts["truncated"] is False


def test_ordinary_text_is_none_of_it(evidence: Evidence) -> None:
    facts = facts_of(evidence, mail("Dear customer,\n\nthank you for your order of the 3rd.\n"))
    assert (facts["matched"], facts["share_bp"], facts["secrets"]) == (0, 0, [])


def test_secrets_are_found_however_they_are_wrapped(evidence: Evidence) -> None:
    for wrapped in (SECRET, base64.b64encode(SECRET), SECRET.hex().encode()):
        assert facts_of(evidence, mail(wrapped.decode()))["secrets"], wrapped
        assert facts_of(evidence, mail("", attachment=wrapped))["secrets"], wrapped


def test_a_secret_as_the_name_of_an_attachment_is_found(evidence: Evidence) -> None:
    assert facts_of(evidence, mail("", attachment=b"x", name=SECRET.decode()))["secrets"]


def test_pieces_for_one_destination_add_up_once_they_are_sent(evidence: Evidence) -> None:
    first, pieces = evidence.judge(mail(HALVES[0]))
    assert first is not None
    alone = facts_of(evidence, mail(HALVES[1]))["matched"]
    assert facts_of(evidence, mail(HALVES[1]))["matched"] == alone, "what was only judged was not sent"
    evidence.sent(mail(HALVES[0]), pieces)
    together = facts_of(evidence, mail(HALVES[1]))["matched"]
    assert together > alone
    assert together > first["matched"]


def test_pieces_for_several_recipients_count_for_each_of_them(evidence: Evidence) -> None:
    asked = mail(HALVES[0], "a@b.example", "c@d.example")
    evidence.sent(asked, evidence.judge(asked)[1])
    alone = facts_of(evidence, mail(HALVES[1], "x@y.example"))["matched"]
    for to in ("a@b.example", "c@d.example"):
        assert facts_of(evidence, mail(HALVES[1], to))["matched"] > alone
        assert facts_of(evidence, mail(HALVES[1], "x@y.example", to))["matched"] > alone, "the worst of them counts"


def test_the_same_lines_sent_again_stay_the_same_lines(evidence: Evidence) -> None:
    quoted = mail("\n".join(LINES[:8]))
    once = facts_of(evidence, quoted)["matched"]
    for _ in range(20):
        evidence.sent(quoted, evidence.judge(quoted)[1])
    assert facts_of(evidence, quoted)["matched"] == once


def test_destinations_are_where_a_payload_goes() -> None:
    assert destinations(SendEmail(to=("a@b.example",), subject="", body="")) == ("a@b.example",)
    assert destinations(action("compute.start", {"image": "b", "command": ["x"], "minutes": 1}).args) == ("compute",)
    assert destinations(Chat(model="m", max_tokens=None, stream=False, request={})) == ("elsewhere",)
