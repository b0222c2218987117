"""Reading mail: a folder of `.eml` files, or a Maildir. Sizes and counts are bounded, nothing is ever changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from safebox.firewall.errors import CallerError, FactsUnavailable

MESSAGES_MAX = 500
"""More than an agent reads in one run; the newest are listed."""
MESSAGE_BYTES_MAX = 2 * 1024 * 1024
"""What is read of one message; the rest of a longer one is left out."""
HEADER_BYTES_MAX = 64 * 1024
BODY_CHARACTERS_MAX = 64 * 1024
"""What an agent is given of one body: about sixteen thousand tokens."""
FIELD_CHARACTERS_MAX = 1000


class Inbox:
    """The messages in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def listed(self) -> list[dict[str, str]]:
        """Id, sender, subject and date of each message, oldest first.

        Raises:
            FactsUnavailable: The folder can't be read.
        """
        try:
            return [_summary(name, path) for name, path in sorted(self._paths().items())[-MESSAGES_MAX:]]
        except OSError as error:
            raise FactsUnavailable(f"the inbox can't be read: {error.strerror}") from error

    def read(self, identity: str) -> dict[str, str]:
        """One message with its text.

        Raises:
            CallerError: There is no message with this id.
            FactsUnavailable: The folder can't be read.
        """
        try:
            path = self._paths().get(identity)
            if path is None:
                raise CallerError(f"there is no message {identity[:80]!r}")
            mail = _parse(_content(path, MESSAGE_BYTES_MAX))
        except OSError as error:
            raise FactsUnavailable(f"the inbox can't be read: {error.strerror}") from error
        return {**_fields(identity, mail), "to": _field(mail, "To"), "body": _body(mail)}

    def _paths(self) -> dict[str, Path]:
        """Files by id: names come from the folder, never from the agent, so no id can lead out of it."""
        if (self._folder / "new").is_dir() and (self._folder / "cur").is_dir():
            return {
                path.name.partition(":")[0]: path for name in ("cur", "new") for path in _files(self._folder / name)
            }
        return {path.stem: path for path in _files(self._folder) if path.suffix == ".eml"}


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        yield from (Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False))


def _content(path: Path, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        return file.read(size)


def _parse(content: bytes) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(content)


def _summary(identity: str, path: Path) -> dict[str, str]:
    return _fields(identity, _parse(_content(path, HEADER_BYTES_MAX)))


def _fields(identity: str, mail: EmailMessage) -> dict[str, str]:
    return {
        "id": identity,
        "from": _field(mail, "From"),
        "subject": _field(mail, "Subject"),
        "date": _field(mail, "Date"),
    }


def _field(mail: EmailMessage, name: str) -> str:
    try:
        return _clean(str(mail.get(name, "")))[:FIELD_CHARACTERS_MAX]
    except (ValueError, IndexError, AttributeError, TypeError):
        # The standard library's header parser gives up in these ways on headers written to confuse it.
        return ""


def _body(mail: EmailMessage) -> str:
    try:
        part = mail.get_body(("plain", "html"))
        text: object = part.get_content() if part is not None else ""
    except (ValueError, LookupError, AttributeError, TypeError):
        text = mail.get_payload()
    return _clean(text if isinstance(text, str) else "")[:BODY_CHARACTERS_MAX]


def _clean(text: str) -> str:
    """Text that any JSON writer takes: undecodable bytes become question marks."""
    return text.encode(errors="replace").decode()
