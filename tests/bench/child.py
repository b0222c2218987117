"""A part of a measurement in a process of its own: it prints a line when it answers, and ends with its input."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Self

from tests.bench.load import Load, drive
from tests.real_parts import ROOT, with_bytecode


class Child:
    """A module of this package as such a process. `said` is its line."""

    port = 0

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}", *arguments],
            cwd=ROOT,
            env=with_bytecode(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.said = self._process.stdout.readline()
        if not self.said:
            raise RuntimeError(f"{module} {' '.join(arguments)} did not start")

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def drive(self, request: bytes, *, connections: int, seconds: float) -> Load:
        """Ask it from another process; every answer must be 200."""
        load = drive(self.port, request, connections=connections, seconds=seconds)
        if set(load.statuses) != {"200"}:
            raise RuntimeError(f"what was measured was answered {load.statuses}")
        return load

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate("")
