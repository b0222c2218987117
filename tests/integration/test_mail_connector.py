"""The mail connector against the stand-in relay and against relays that misbehave."""

import asyncio
import contextlib
import mailbox
from collections.abc import AsyncGenerator, AsyncIterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from safebox.firewall.connectors.mail import MailConnector
from safebox.firewall.errors import CallerError, ConfigError, EffectError
from safebox.firewall.standins.child import StandIn
from tests.unit.connectors.actions import action, run_it, view

SENDER = "agent@safebox.example"
MAIL = {"to": ["ann@example.org", "bob@example.org"], "subject": "Grüße", "body": "one\n.\ntwo €\n"}


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with await StandIn.start("mail", "--state", tmp_path / "mail") as child:
        yield child


def _connector(url: str, inbox: Path | None = None) -> MailConnector:
    return MailConnector(url, SENDER, lambda _: inbox, timeout=1)


async def test_a_mail_arrives_whole_and_only_in_the_sink(relay: StandIn, tmp_path: Path) -> None:
    connector = _connector(relay.url)
    asked = action("email.send", {**MAIL, "attachments": [{"name": "ä.csv", "content_base64": "YSxiCg=="}]})
    _, outcome = await run_it(connector, asked, view())
    assert (outcome.status, outcome.charges) == ("done", ())
    assert outcome.result["message_id"] == "<act_01@safebox.example>"
    (path,) = (tmp_path / "mail" / "new").iterdir()
    mail = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert mail["X-Safebox-Sink"]
    assert mail.get_all("X-Safebox-Envelope-To") == MAIL["to"]
    assert (mail["From"], mail["Subject"], mail["Message-ID"]) == (SENDER, "Grüße", "<act_01@safebox.example>")
    body = mail.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == MAIL["body"]
    (attachment,) = mail.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("ä.csv", "a,b\n")


async def test_what_was_sent_can_be_read_from_the_same_maildir(relay: StandIn, tmp_path: Path) -> None:
    connector = _connector(relay.url, tmp_path / "mail")
    await run_it(connector, action("email.send", MAIL), view())
    assert len(mailbox.Maildir(tmp_path / "mail", create=False)) == 1
    _, listed = await run_it(connector, action("email.list", {}), view())
    (summary,) = listed.result["messages"]
    assert (summary["from"], summary["subject"]) == (SENDER, "Grüße")
    _, read = await run_it(connector, action("email.read", {"id": summary["id"]}), view())
    assert read.result["body"].replace("\r\n", "\n") == MAIL["body"]
    with pytest.raises(CallerError):
        await run_it(connector, action("email.read", {"id": "../../etc/passwd"}), view())


async def test_if_one_recipient_is_refused_nobody_gets_the_mail(relay: StandIn, tmp_path: Path) -> None:
    asked = action("email.send", {**MAIL, "to": ["ann@example.org", "x@reject.invalid", "y@busy.invalid"]})
    _, outcome = await run_it(_connector(relay.url), asked, view())
    assert outcome.status == "failed"
    assert "x@reject.invalid: 550 5.1.1" in outcome.detail
    assert "y@busy.invalid: 450" in outcome.detail
    assert not list((tmp_path / "mail" / "new").iterdir())


async def test_only_the_mail_that_was_decided_is_sent(relay: StandIn, tmp_path: Path) -> None:
    connector = _connector(relay.url)
    quote = await connector.quote(action("email.send", MAIL), view())
    with pytest.raises(EffectError) as caught:
        await connector.perform(action("email.send", {**MAIL, "body": "other"}), view(), quote.plan, None)
    assert not caught.value.unknown
    assert not list((tmp_path / "mail" / "new").iterdir())


@contextlib.asynccontextmanager
async def _hostile(after_content: bytes | None, *, greet: bool = True) -> AsyncGenerator[str]:
    """A relay that takes a mail and then answers so, hangs up (empty answer), or says nothing at all (None)."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if greet:
                writer.write(b"220 hostile ESMTP\r\n")
                while line := await reader.readline():
                    if line.upper().startswith(b"DATA"):
                        writer.write(b"354 go on\r\n")
                        await reader.readuntil(b"\r\n.\r\n")
                        if after_content is None:
                            await asyncio.sleep(60)
                        writer.write(after_content or b"")
                        if not after_content:
                            break
                    else:
                        writer.write(b"250 ok\r\n")
            else:
                await asyncio.sleep(60)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("answer", [None, b""], ids=["says nothing", "hangs up"])
async def test_a_relay_that_is_silent_after_the_content_leaves_the_outcome_unknown(answer: bytes | None) -> None:
    async with _hostile(answer) as url:
        connector = _connector(url)
        with pytest.raises(EffectError) as caught:
            await run_it(connector, action("email.send", MAIL), view())
        assert caught.value.unknown
        assert "<act_01@safebox.example>" in str(caught.value)
        quote = await connector.quote(action("email.send", MAIL), view())
        assert (await connector.reconcile(action("email.send", MAIL), view(), quote.plan)).status == "unknown"


async def test_a_relay_that_refuses_the_content_has_failed() -> None:
    async with _hostile(b"554 5.7.1 looks like spam\r\n") as url:
        _, outcome = await run_it(_connector(url), action("email.send", MAIL), view())
    assert (outcome.status, outcome.detail) == (
        "failed",
        "the mail relay refused the content: 554 5.7.1 looks like spam",
    )


async def test_a_relay_that_never_greets_was_certainly_not_used() -> None:
    async with _hostile(None, greet=False) as url:
        connector = _connector(url)
        with pytest.raises(EffectError) as caught:
            await run_it(connector, action("email.send", MAIL), view())
        assert not caught.value.unknown
        assert not await connector.healthy()


async def test_credentials_are_not_sent_to_a_relay_without_encryption() -> None:
    async with _hostile(None) as url:
        connector = _connector(url.replace("smtp://127.0.0.1", "smtp://user:pass@0.0.0.0"))
        with pytest.raises(EffectError) as caught:
            await run_it(connector, action("email.send", MAIL), view())
        assert not caught.value.unknown


@pytest.mark.parametrize("url", ["http://h", "smtp://", "smtp://h:x", "smtp://user:secret@h/path", "h:25"])
def test_an_address_that_is_no_relay_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _connector(url)
    assert "secret" not in str(caught.value)


async def test_without_an_inbox_nothing_is_read(relay: StandIn) -> None:
    with pytest.raises(CallerError, match="no inbox"):
        await run_it(_connector(relay.url), action("email.list", {}), view())
    assert await _connector(relay.url).healthy()
