"""Runs the real program, in a process of its own, with a state folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Program:
    home: Path

    def __call__(self, *words: str, **variables: str) -> Done:
        environment = {**os.environ, "SAFEBOX_HOME": str(self.home), "COLUMNS": "80", **variables}
        done = subprocess.run(
            [sys.executable, "-m", "safebox.sandbox.cli", *words],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)
