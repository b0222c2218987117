"""The children that judge for a replay: as many as there are processors, each busy with a stretch of its own."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

import msgspec

from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools.frames import read_frame, write_frame
from safebox.firewall.policytools.judging import Job, Judged, Stretch

STRETCH_SECONDS: Final = 120
"""A stretch takes a fifth of a second; a policy that is slow in every answer, and stays within its bound, seconds."""
CHILDREN_MAX: Final = 16
MODULE: Final = "safebox.firewall.policytools.judging"


class Child:
    """One process that judges."""

    def __init__(self, job: bytes) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={"LC_ALL": "C.UTF-8"},
        )
        self._requests = cast(BinaryIO, self._process.stdin)
        self.answers = cast(BinaryIO, self._process.stdout)
        self._told = 0
        self.busy_with: Stretch | None = None
        self.index = 0
        self.since = time.monotonic()
        self._send(job)

    def take(self, index: int, first: int, last: int, starts: Sequence[int]) -> None:
        """Give it a stretch; `starts` are the numbers of all records up to there that start a run."""
        self.index, self.since = index, time.monotonic()
        self.busy_with = Stretch(first, last, tuple(starts[self._told :]))
        self._told = len(starts)
        self._send(msgspec.msgpack.encode(self.busy_with))

    def receive(self) -> Judged:
        """What became of it.

        Raises:
            PolicyUnavailable: if the child is gone.
        """
        message = read_frame(self.answers)
        if message is None:
            raise PolicyUnavailable(f"judging {self.place} ended the process: {self._last_words()}", kind="ended")
        self.busy_with = None
        return msgspec.msgpack.decode(message, type=Judged)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def place(self) -> str:
        """What it is busy with, in words."""
        stretch = self.busy_with
        return "nothing" if stretch is None else f"records {stretch.first:,} to {stretch.last:,}"

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        for file in (self._requests, self.answers, self._errors):
            try:
                file.close()
            except BrokenPipeError:  # what was still to be written to it
                continue

    def _send(self, message: bytes) -> None:
        try:
            write_frame(self._requests, message)
        except BrokenPipeError as error:
            raise PolicyUnavailable(f"the process that judges ended: {self._last_words()}", kind="ended") from error

    def _last_words(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"{lines[-1][:200]} (status {status})" if lines else f"status {status}"


class Judges:
    """All of them, ended with the block they are used in."""

    def __init__(self, job: Job, count: int) -> None:
        encoded = msgspec.msgpack.encode(job)
        self.children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        try:
            for _ in range(count):
                self.children.append(Child(encoded))
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def through(self, stretches: Iterator[tuple[int, int, Sequence[int]]]) -> Iterator[tuple[int, Judged]]:
        """Judge all stretches (first, last, run starts so far); gives each with its place in line, in any order.

        Raises:
            PolicyUnavailable: if a child ends, or doesn't come back.
        """
        line = enumerate(stretches)
        for child in self.children:
            self._selector.register(child.answers, selectors.EVENT_READ, child)
            self._next(child, line)
        while any(child.busy_with for child in self.children):
            for child in self._ready():
                judged, index = child.receive(), child.index
                self._next(child, line)
                yield index, judged

    def _next(self, child: Child, line: Iterator[tuple[int, tuple[int, int, Sequence[int]]]]) -> None:
        for index, (first, last, starts) in line:
            child.take(index, first, last, starts)
            return

    def _ready(self) -> list[Child]:
        ready = [cast(Child, key.data) for key, _ in self._selector.select(timeout=1.0)]
        for child in self.children:
            if child.busy_with and child not in ready and time.monotonic() - child.since > STRETCH_SECONDS:
                raise PolicyUnavailable(f"judging {child.place} took longer than {STRETCH_SECONDS} s", kind="slow")
        return ready

    def _close(self) -> None:
        self._selector.close()
        for child in self.children:
            child.close()


def processors() -> int:
    """How many children are of use."""
    return min(len(os.sched_getaffinity(0)), CHILDREN_MAX)
