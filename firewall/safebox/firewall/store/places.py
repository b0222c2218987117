"""Second places for checkpoints, where the ledger's writer can't take back what it once said.

A file is appended to, one signed note after another, each flushed to disk, and never truncated; make it append-only
(`chattr +a`), or put it on another machine's disk. An HTTP address is PUT the newest note and must give it back to GET.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from safebox.firewall.core.checkpoint import split
from safebox.firewall.durable import sync_folder
from safebox.firewall.errors import ConfigError, FirewallError
from safebox.firewall.settings import without_password

if TYPE_CHECKING:
    import aiohttp

ANSWER_SECONDS: Final = 10
"""In all for one request: decisions don't wait for it, but the start of a firewall does."""
NOTES_BYTES_MAX: Final = 256 * 1024 * 1024
"""A million notes: one every ten seconds for months, and some seconds of reading at the start."""
_ABSENT: Final = (204, 404, 410)


class PlaceUnavailable(FirewallError):
    """A place could not be read, or did not keep what it was given."""

    default_code = "firewall.checkpoint_place"
    port = "ledger"


class Place(Protocol):
    """Keeps notes outside the ledger."""

    name: str
    """How people know it; carries no credential."""

    def read(self) -> str:
        """The notes it has, oldest first; empty if it has none yet.

        Raises:
            PlaceUnavailable: if it can't be read now.
        """
        ...

    def keep(self, note: str) -> None:
        """Add a note, durably.

        Raises:
            PlaceUnavailable: if it isn't certain that the note is there.
        """
        ...


def is_url(text: str) -> bool:
    """Whether a place's name is an address; else it is a file's."""
    return "://" in text


def open_place(text: str) -> Place:
    """The place of this name.

    Raises:
        ConfigError: if it is a malformed address.
    """
    return HttpPlace(text) if is_url(text) else FilePlace(Path(text))


class FilePlace:
    """A file that only grows."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._left: tuple[int, int] | None = None
        self._cut = b""

    def read(self) -> str:
        """See `Place`."""
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_size > NOTES_BYTES_MAX:
                    raise PlaceUnavailable(f"{self.name} is too large", remedy="keep it, and name a new file")
                content = file.read(NOTES_BYTES_MAX)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise PlaceUnavailable(f"{self.name} can't be read: {error.strerror}", remedy="look at the file") from error
        self._left = status.st_ino, len(content)
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise PlaceUnavailable(f"{self.name} holds no checkpoints", remedy="name another file") from error

    def keep(self, note: str) -> None:
        """See `Place`; a note that could be written in part only is finished before the next."""
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._check_unchanged(handle)
                self._finish(handle)
                content = note.encode()
                self._cut = content[os.write(handle, content) :]
                self._finish(handle)
                os.fsync(handle)
                status = os.fstat(handle)
            finally:
                os.close(handle)
            if self._left is None:
                sync_folder(self._path.parent)
            self._left = status.st_ino, status.st_size
        except OSError as error:
            raise PlaceUnavailable(f"{self.name} can't be written: {error.strerror}") from error

    def _check_unchanged(self, handle: int) -> None:
        """Another firewall may have added to the file, but nobody takes anything away.

        Raises:
            PlaceUnavailable: if it is shorter than it was, or another one.
        """
        status = os.fstat(handle)
        if self._left is not None and (status.st_ino != self._left[0] or status.st_size < self._left[1]):
            raise PlaceUnavailable(f"{self.name} was cut or replaced", remedy="find out by whom; bring it back")

    def _finish(self, handle: int) -> None:
        """Write what is missing of a note that a full disk cut."""
        while self._cut:
            self._cut = self._cut[os.write(handle, self._cut) :]


class HttpPlace:
    """An address that keeps what it is PUT, and gives it back.

    Raises:
        ConfigError: if the address is malformed.
    """

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigError("a place for checkpoints is no http or https URL", remedy="write https://host/path")
        self.name = without_password(url).partition("?")[0]
        self._url = url

    def read(self) -> str:
        """See `Place`."""
        status, text = self._ask("GET", None)
        if status in _ABSENT:
            return ""
        if status != 200:  # noqa: PLR2004
            raise PlaceUnavailable(f"{self.name} answered {status}", remedy="look at what answers there")
        return text

    def keep(self, note: str) -> None:
        """See `Place`; only what can be read again was kept."""
        status, _ = self._ask("PUT", note)
        if not 200 <= status < 300:  # noqa: PLR2004
            raise PlaceUnavailable(f"{self.name} answered {status}", remedy="look at what answers there")
        if split(self.read())[0][-1:] != [note]:
            raise PlaceUnavailable(f"{self.name} says it kept a checkpoint, and doesn't have it")

    def _ask(self, method: str, body: str | None) -> tuple[int, str]:
        import aiohttp  # large, and few have such a place

        try:
            return asyncio.run(self._asked(method, body))
        except TimeoutError as error:
            raise PlaceUnavailable(f"{self.name} did not answer in {ANSWER_SECONDS} s") from error
        except (aiohttp.ClientError, OSError, UnicodeDecodeError, ValueError) as error:
            kind = type(error).__name__  # its words would repeat the address, which may carry a password
            raise PlaceUnavailable(f"{self.name} can't be reached: {kind}") from error

    async def _asked(self, method: str, body: str | None) -> tuple[int, str]:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        headers = {"Content-Type": "text/plain; charset=utf-8"} if body is not None else {}
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(
                method,
                self._url,
                data=None if body is None else body.encode(),
                headers=headers,
                allow_redirects=False,
            ) as answer,
        ):
            content = await _bounded(answer.content)
            return answer.status, content.decode()


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    """All of an answer.

    Raises:
        ValueError: if it is longer than any place's notes.
    """
    content = bytearray()
    async for piece in stream.iter_any():
        content += piece
        if len(content) > NOTES_BYTES_MAX:
            raise ValueError("too long")
    return bytes(content)
