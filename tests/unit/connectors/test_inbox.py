"""The inbox shows mail of any shape, bounded, and nothing outside its folder."""

import os
from pathlib import Path

import msgspec
import pytest

from safebox.firewall.connectors.inbox import BODY_CHARACTERS_MAX, MESSAGES_MAX, Inbox
from safebox.firewall.errors import CallerError, FactsUnavailable

PLAIN = b"From: Ann <ann@example.org>\nTo: me@x\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nDate: Mon, 1 Jun 2026\n\nHello\n"


def _write(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)


def test_eml_files_are_listed_and_read(tmp_path: Path) -> None:
    _write(tmp_path, "001.eml", PLAIN)
    _write(tmp_path, "note.txt", b"not mail")
    inbox = Inbox(tmp_path)
    assert [(one["id"], one["subject"]) for one in inbox.listed()] == [("001", "Grüße")]
    assert inbox.read("001")["body"].strip() == "Hello"


def test_a_maildir_is_read_from_new_and_cur(tmp_path: Path) -> None:
    for name in ("new", "cur", "tmp"):
        (tmp_path / name).mkdir()
    _write(tmp_path / "new", "2.a", PLAIN)
    _write(tmp_path / "cur", "1.a:2,S", PLAIN)
    _write(tmp_path / "tmp", "3.a", PLAIN)
    assert [one["id"] for one in Inbox(tmp_path).listed()] == ["1.a", "2.a"]


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "", "001.eml", "link"])
def test_no_id_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    _write(tmp_path, "outside.eml", PLAIN)
    (folder / "link.eml").symlink_to(tmp_path / "outside.eml")
    with pytest.raises(CallerError):
        Inbox(folder).read(name)
    assert Inbox(folder).listed() == []


HOSTILE = [
    b"",
    b"\xff\xfe\x00" * 100,
    b"Subject: " + b"=?utf-8?b?" + b"A" * 5000 + b"?=\n\n",
    b'From: "<@[]]>" <<>>,;;\nTo: (((((\nDate: soon\n\nx',
    b"Content-Type: text/plain; charset=no-such\n\n\xe9",
    b"Content-Type: multipart/mixed\n\nno boundary",
    b"Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<b>x</b>\n--b--",
    b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n!!!not base64!!!",
    b"Content-Type: message/rfc822\n\n" * 40,
    b"Subject: \xed\xa0\x80\n\n\xed\xa0\x80",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_mail_written_to_confuse_is_still_listed_and_read_as_plain_json(tmp_path: Path, content: bytes) -> None:
    _write(tmp_path, "1.eml", content)
    inbox = Inbox(tmp_path)
    assert [one["id"] for one in inbox.listed()] == ["1"]
    msgspec.json.encode([inbox.listed(), inbox.read("1")])


def test_sizes_and_counts_are_bounded(tmp_path: Path) -> None:
    _write(tmp_path, "0.eml", PLAIN + b"x" * 5_000_000)
    assert len(Inbox(tmp_path).read("0")["body"]) == BODY_CHARACTERS_MAX
    for number in range(MESSAGES_MAX + 5):
        _write(tmp_path, f"{number:05}.eml", PLAIN)
    assert len(Inbox(tmp_path).listed()) == MESSAGES_MAX


def test_an_inbox_that_can_not_be_read_is_no_empty_inbox(tmp_path: Path) -> None:
    with pytest.raises(FactsUnavailable):
        Inbox(tmp_path / "missing").listed()
    os.mkfifo(tmp_path / "pipe.eml")
    assert Inbox(tmp_path).listed() == []
