"""What `safebox kill --all` does once it is loaded, from a process of its own, each time a line comes in.

Run as `python -m tests.bench.killer SOCKET`; prints a JSON object a line: {"asked": s, "returned": s, "killed": n}, in
the machine's monotonic time, which is the same in every process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safebox.firewall.control.client import ControlClient
from tests.real_parts import ROOT


@dataclass(frozen=True)
class Kill:
    """When a kill was asked for and when its answer came; `killed` runs were reached."""

    asked: float
    returned: float
    killed: int

    @property
    def seconds(self) -> float:
        """What it took."""
        return self.returned - self.asked


class Killer:
    """The process, ready to kill."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def kill_all(self) -> Kill:
        """Kill every run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("now\n")
        self._process.stdin.flush()
        return Kill(**json.loads(self._process.stdout.readline()))


@contextmanager
def killer(control: Path) -> Generator[Killer]:
    """A process that has everything loaded."""
    command = [sys.executable, "-m", "tests.bench.killer", str(control)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it says when it is ready
        yield Killer(process)
        assert process.stdin is not None
        process.stdin.close()


def main() -> None:
    """Be the process."""
    print("ready", flush=True)
    for _ in sys.stdin:
        asked = time.monotonic()
        with ControlClient(Path(sys.argv[1])) as client:
            reply = client.request("kill", run=None, tree=False)
        returned = time.monotonic()
        print(json.dumps(Kill(asked, returned, len(reply["killed"])).__dict__), flush=True)


if __name__ == "__main__":
    main()
