"""Starts a stand-in as a child process and knows its address; the child ends with its parent."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

Name = Literal["chain", "mail", "model"]

START_SECONDS = 60
"""Importing the EVM takes a second or two; replaying a long journal on a busy machine takes the rest."""
STOP_SECONDS = 5
"""After this long a child that was asked to end is killed: what must last is already on disk."""


class _Announcement(msgspec.Struct, frozen=True):
    url: str


class StandInError(Exception):
    """A stand-in that ended or said nothing instead of announcing its address."""


class StandIn:
    """One running stand-in; `url` is where it answers."""

    def __init__(self, name: Name, url: str, process: Process) -> None:
        self.name: Name = name
        self.url = url
        self._process = process

    @classmethod
    async def start(cls, name: Name, *arguments: str | Path, log: int | None = None) -> StandIn:
        """Start a stand-in and wait until it listens; `log` is a descriptor for its standard error.

        Raises:
            StandInError: It ended, or did not announce its address in `START_SECONDS`.
        """
        module = f"safebox.firewall.standins.{name}"
        command = [sys.executable, "-m", module, *map(str, arguments)]
        # A session of its own: Ctrl-C in a terminal must not take the chain away before the firewall has swept.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=log, start_new_session=True
        )
        try:
            line = await asyncio.wait_for(_line(process), START_SECONDS)
            return cls(name, msgspec.json.decode(line, type=_Announcement).url, process)
        except (msgspec.DecodeError, TimeoutError) as error:
            await _end(process, kill=True)
            raise StandInError(f"the {name} stand-in did not start (exit {process.returncode})") from error

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the child has not ended, as far as this process has noticed."""
        return self._process.returncode is None

    async def stop(self) -> None:
        """End the child by closing its standard input."""
        await _end(self._process, kill=False)

    async def kill(self) -> None:
        """End the child with SIGKILL, as a crash would."""
        await _end(self._process, kill=True)

    async def __aenter__(self) -> StandIn:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def _line(process: Process) -> bytes:
    return await process.stdout.readline() if process.stdout else b""


async def _end(process: Process, *, kill: bool) -> None:
    if kill:
        with suppress(ProcessLookupError):
            process.kill()
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.stdout is not None:
        await process.stdout.read()
