"""One mail as bytes: a function of the action alone, so that what was decided is what is sent."""

from __future__ import annotations

import hashlib
import mimetypes
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from safebox.firewall.core.action import Action
from safebox.firewall.core.arguments import SendEmail, decode_base64
from safebox.firewall.errors import CallerError

NANOSECONDS = 10**9


def message_id(action_id: str, domain: str) -> str:
    """The Message-ID of an action's mail: always the same, so that a second copy can be told from a second mail."""
    return f"<{action_id}@{domain}>"


def build_message(action: Action, args: SendEmail, sender: str) -> bytes:
    """Write the mail of an action, with CRLF line ends.

    Raises:
        CallerError: It can't be written as a mail; in particular, a header with a line break.
    """
    mail = EmailMessage(policy=SMTP)
    try:
        mail["From"] = Address(addr_spec=sender)
        mail["To"] = [Address(addr_spec=to) for to in args.to]
        mail["Subject"] = args.subject
        mail["Date"] = datetime.fromtimestamp(action.received_ns // NANOSECONDS, tz=UTC)
        mail["Message-ID"] = message_id(action.id, sender.rpartition("@")[2])
        mail["X-Safebox-Run"] = action.run
        mail.set_content(args.body)
        for attachment in args.attachments:
            kind, _ = mimetypes.guess_type(attachment.name)
            main, _, sub = (kind or "application/octet-stream").partition("/")
            content = decode_base64(attachment.content_base64)
            if main in ("multipart", "message"):
                main, sub = "application", "octet-stream"
            mail.add_attachment(content, maintype=main, subtype=sub, filename=attachment.name)
    except (ValueError, HeaderParseError, IndexError, UnicodeEncodeError) as error:
        raise CallerError(f"this can't be written as a mail: {error}") from error
    if mail.is_multipart():
        mail.set_boundary("safebox-" + hashlib.sha256(action.id.encode()).hexdigest())
    return mail.as_bytes()
