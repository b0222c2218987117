"""The relay of the crash harness: real SMTP; each message is on disk before it is answered for, and told of.

`python -m tests.crash.mail_server --state DIR` says on standard output, a JSON object a line: its `url`, then for each
mail `{"point": "mail begun"}` and, once it is kept, `{"point": "mail kept"}` with what was kept. It takes its time in
between and before it answers, so that a kill can fall there.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import re
import sys
import time
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from safebox.firewall.standins.lifeline import Lifeline, announce
from safebox.firewall.standins.mail import Maildir

PAUSE_SECONDS = 0.02
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(<[^>]+>)", re.IGNORECASE | re.MULTILINE)
_SUBJECT = re.compile(rb"^Subject:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


def describe(content: bytes) -> dict[str, str]:
    """What a mail is known by."""
    identity, subject = _MESSAGE_ID.search(content), _SUBJECT.search(content)
    return {
        "id": identity[1].decode() if identity else "",
        "mark": subject[1].decode() if subject else "",
        "digest": "sha256:" + hashlib.sha256(content).hexdigest(),
    }


class Keeper:
    """What aiosmtpd asks while it talks SMTP."""

    def __init__(self, maildir: Maildir) -> None:
        self._maildir = maildir

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Keep one message."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        begun = time.time_ns()
        _say({"point": "mail begun"})
        await asyncio.sleep(random.uniform(0, PAUSE_SECONDS))  # noqa: S311
        self._maildir.deliver(content)
        _say({"point": "mail kept", "at_ns": begun, **describe(content)})
        await asyncio.sleep(random.uniform(0, PAUSE_SECONDS))  # noqa: S311
        return "250 2.0.0 kept"


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _run(folder: Path) -> None:
    lifeline, keeper = Lifeline(), Keeper(Maildir(folder))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(keeper, hostname="crash.invalid"), "127.0.0.1", 0)
    announce(f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await lifeline.ended()
    server.close()


def main() -> None:
    """Keep mail until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=Path, required=True)
    asyncio.run(_run(parser.parse_args().state))


if __name__ == "__main__":
    main()
