"""The stand-in mail relay: takes any mail over SMTP and puts it into a Maildir in place of sending it anywhere.

Run as `python -m safebox.firewall.standins.mail --state DIR`; the Maildir is DIR itself. Each message is on disk before
it is answered for, with `X-Safebox-Sink`, `X-Safebox-Envelope-From` and `X-Safebox-Envelope-To` added in front.
Recipients at `reject.invalid` are refused with 550 and those at `busy.invalid` with 450, so that failures can be tried.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import time
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from safebox.firewall.durable import sync_folder
from safebox.firewall.standins.lifeline import Lifeline, announce, banner

HOSTNAME = "safebox-mail-standin"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Two thirds more than the largest mail an agent may send, for base64."""
SINK_HEADER = b"X-Safebox-Sink: stand-in; this message was kept here and sent to nobody\r\n"
_REFUSALS = {
    "reject.invalid": "550 5.1.1 no such mailbox here (stand-in)",
    "busy.invalid": "450 4.2.1 mailbox busy, try again later (stand-in)",
}


class Maildir:
    """The part of the Maildir format (cr.yp.to) that a delivery needs, durable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("tmp", "new", "cur"):
            (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    def deliver(self, message: bytes) -> str:
        """Write one message and make it durable; returns its file name.

        Raises:
            OSError: It could not be kept.
        """
        name = f"{time.time_ns()}.{secrets.token_hex(8)}.{HOSTNAME}"
        temporary, final = self._folder / "tmp" / name, self._folder / "new" / name
        with temporary.open("xb") as file:
            file.write(message)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
        sync_folder(final.parent)
        return name


class Sink:
    """What aiosmtpd asks while it talks SMTP."""

    def __init__(self, maildir: Maildir) -> None:
        self._maildir = maildir

    async def handle_RCPT(  # noqa: N802 (aiosmtpd finds it by this name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take any recipient, except where a refusal is wanted."""
        refusal = _REFUSALS.get(address.rpartition("@")[2].lower())
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 (aiosmtpd finds it by this name)
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the message."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        sender = f"X-Safebox-Envelope-From: {envelope.mail_from}\r\n"
        recipients = "".join(f"X-Safebox-Envelope-To: {one}\r\n" for one in envelope.rcpt_tos)
        try:
            name = self._maildir.deliver(SINK_HEADER + (sender + recipients).encode() + content)
        except OSError as error:
            return f"452 4.3.1 could not keep the message: {error.strerror} (stand-in)"
        return f"250 2.0.0 kept as {name} (stand-in: sent to nobody)"


async def _run(folder: Path, port: int) -> None:
    lifeline = Lifeline()
    sink = Sink(Maildir(folder))

    def session() -> SMTP:
        ident = "ESMTP safebox stand-in: keeps mail, sends none"
        return SMTP(sink, hostname=HOSTNAME, ident=ident, data_size_limit=MAX_MESSAGE_BYTES, enable_SMTPUTF8=True)

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", port)
    banner(f"safebox stand-in mail relay: mail is kept in {folder} and sent to nobody")
    announce(f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await lifeline.ended()
    server.close()


def main() -> None:
    """Run the stand-in mail relay until standard input closes."""
    parser = argparse.ArgumentParser(prog="safebox.firewall.standins.mail", description="Mail relay (stand-in).")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    asyncio.run(_run(options.state, options.port))


if __name__ == "__main__":
    main()
