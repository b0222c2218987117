"""The mail connector: sends over SMTP to one relay, reads from an inbox folder.

A mail goes to all its recipients or to none: if the relay refuses one, the transaction is dropped before the content is
sent. Once the content is on its way, no answer means unknown, because SMTP has no way to ask afterwards.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTPException, SMTPResponseException

from safebox.firewall.connectors.inbox import Inbox
from safebox.firewall.connectors.message import build_message, message_id
from safebox.firewall.core.action import Action
from safebox.firewall.core.arguments import ReadEmail, SendEmail
from safebox.firewall.errors import CallerError, ConfigError, EffectError
from safebox.firewall.ports import Deliver, Outcome, Quote, RunView

TIMEOUT_SECONDS = 30
"""For each step of the conversation. RFC 5321 4.5.3.2 allows minutes; an agent waits."""
SUBMISSION_PORT, IMPLICIT_TLS_PORT = 587, 465
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Relay:
    """Where mail is handed in; `password` is never shown."""

    host: str
    port: int
    implicit_tls: bool
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> Relay:
        """Read `smtp://[user:password@]host[:port]` or `smtps://…`.

        Raises:
            ConfigError: It is no such URL. The message doesn't repeat it, for it may hold a password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError("the mail relay is no URL", remedy="write smtp://host:port") from error
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ConfigError("the mail relay is not smtp://host:port or smtps://host:port", remedy="correct the URL")
        tls = parts.scheme == "smtps"
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(parts.hostname, port or (IMPLICIT_TLS_PORT if tls else SUBMISSION_PORT), tls, user, password)

    def __repr__(self) -> str:
        return f"Relay({self.host}:{self.port})"


class MailConnector:
    """Sends and reads mail.

    Args:
        relay: URL of the relay.
        sender: the address mail comes from.
        inbox: the inbox folder of a run, or None if it has none.
        timeout: seconds for each step of an SMTP conversation.
    """

    name = "mail"

    def __init__(
        self, relay: str, sender: str, inbox: Callable[[RunView], Path | None], *, timeout: int = TIMEOUT_SECONDS
    ) -> None:
        self._relay = Relay.parse(relay)
        self._sender = sender
        self._inbox = inbox
        self._timeout = timeout

    async def quote(self, action: Action, run: RunView) -> Quote:
        """Write the mail and name it by its digest; mail costs nothing.

        Raises:
            CallerError: It can't be written as a mail.
        """
        if not isinstance(action.args, SendEmail):
            return Quote()
        content = await asyncio.to_thread(build_message, action, action.args, self._sender)
        return Quote(plan={"sender": self._sender, "digest": _digest(content), "bytes": len(content)})

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        """Send the mail that was decided, or read the inbox.

        Raises:
            EffectError: It wasn't sent, or (`unknown`) the relay did not say whether it took it.
        """
        match action.args:
            case SendEmail():
                sender = _sender(plan)
                content = await asyncio.to_thread(build_message, action, action.args, sender)
                if _digest(content) != plan.get("digest"):
                    raise EffectError("the mail is not the one that was decided")
                return await self._send(action, action.args, run, sender, content)
            case ReadEmail(id=identity):
                return Outcome(status="done", result=await asyncio.to_thread(self._folder(run).read, identity))
            case _:
                listed = await asyncio.to_thread(self._folder(run).listed)
                return Outcome(status="done", result={"messages": listed})

    async def reconcile(self, action: Action, run: RunView, plan: dict[str, Any]) -> Outcome:
        """Say that it can't be known: SMTP can't be asked about the past. A read has no trace to look for."""
        if isinstance(action.args, SendEmail):
            identity = message_id(action.id, _sender(plan).rpartition("@")[2])
            return Outcome(status="unknown", detail=f"look for Message-ID {identity} in the relay's log")
        return Outcome(status="failed", detail="a read that was cut short")

    async def healthy(self) -> bool:
        """Whether the relay greets."""
        client = self._client()
        try:
            await client.connect()
            await client.quit()
        except (SMTPException, OSError, TimeoutError):
            return False
        finally:
            client.close()
        return True

    async def close(self) -> None:
        """Do nothing: no connection outlives a mail."""

    def _folder(self, run: RunView) -> Inbox:
        folder = self._inbox(run)
        if folder is None:
            raise CallerError("this run has no inbox")
        return Inbox(folder)

    def _client(self) -> aiosmtplib.SMTP:
        relay = self._relay
        plain = relay.host in _LOOPBACK
        # Credentials never travel unencrypted; without any, TLS is used wherever the relay offers it.
        start_tls = False if relay.implicit_tls or plain else (True if relay.user else None)
        return aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            timeout=self._timeout,
            local_hostname=self._sender.rpartition("@")[2],
            use_tls=relay.implicit_tls,
            start_tls=start_tls,
            username=relay.user,
            password=relay.password,
        )

    async def _send(self, action: Action, args: SendEmail, run: RunView, sender: str, content: bytes) -> Outcome:
        client = self._client()
        try:
            refusals = await self._prepare(client, args, sender, len(content))
            if refusals:
                return Outcome(status="failed", detail="the relay refused " + "; ".join(refusals) + "; nobody got it")
            run.last_look(action)
            return await self._content(client, action, sender, content)
        finally:
            client.close()

    async def _prepare(self, client: aiosmtplib.SMTP, args: SendEmail, sender: str, size: int) -> list[str]:
        """Do everything before the content; returns the recipients refused. Nothing has been sent after it."""
        try:
            await client.connect()
            options = [f"size={size}"] if client.supports_extension("size") else []
            await client.mail(sender, options=options)
            return [refusal for to in args.to if (refusal := await _recipient(client, to))]
        except SMTPResponseException as error:
            raise EffectError(
                f"the mail relay refused: {error.code} {_line(error.message)}; nothing was sent"
            ) from error
        except (SMTPException, OSError, TimeoutError) as error:
            raise EffectError("the mail relay did not answer; nothing was sent") from error

    async def _content(self, client: aiosmtplib.SMTP, action: Action, sender: str, content: bytes) -> Outcome:
        identity = message_id(action.id, sender.rpartition("@")[2])
        try:
            answer = await client.data(content)
        except SMTPResponseException as error:
            detail = f"the mail relay refused the content: {error.code} {_line(error.message)}"
            return Outcome(status="failed", detail=detail)
        except (SMTPException, OSError, TimeoutError) as error:
            cause = f"the mail relay did not say whether it took {identity}"
            raise EffectError(cause, unknown=True, remedy="look in the relay's log before sending again") from error
        result = {"message_id": identity, "relay": f"{answer.code} {_line(answer.message)}"}
        return Outcome(status="done", result=result)


async def _recipient(client: aiosmtplib.SMTP, to: str) -> str | None:
    try:
        await client.rcpt(to)
    except SMTPResponseException as error:
        return f"{to}: {error.code} {_line(error.message)}"
    return None


def _sender(plan: dict[str, Any]) -> str:
    sender: object = plan.get("sender")
    if not isinstance(sender, str):
        raise EffectError("the plan names no sender")
    return sender


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
