"""A firewall's pipeline behind its gateway in a process of its own, so that several can be measured in turn.

Run as `python -m tests.bench.served FOLDER OTHERS [POLICIES…]`; prints one JSON object when it answers and ends with
its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from safebox.firewall.gateways.server import GatewayServer
from tests.bench.child import Child
from tests.bench.firewall import REQUEST, Rig, listener
from tests.bench.load import Load


class Served(Child):
    """The process, from outside. `seconds` is how long it took to answer."""

    def __init__(self, folder: Path, *, policies: Sequence[Path] = (), others: int = 0) -> None:
        started = time.perf_counter()
        super().__init__("served", str(folder), str(others), *map(str, policies))
        self.port = int(json.loads(self.said)["port"])
        self.seconds = time.perf_counter() - started

    def load(self, *, connections: int = 1, seconds: float = 1.5) -> Load:
        """Call it from another process."""
        return self.drive(REQUEST, connections=connections, seconds=seconds)

    @property
    def memory(self) -> float:
        """Its resident memory now, in MB."""
        return resident(self.pid)


def resident(pid: int) -> float:
    """A process's resident memory, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000


async def _serve(folder: Path, others: int, policies: Sequence[Path]) -> None:
    rig = Rig(folder, policies=policies, others=others)
    server, listeners = GatewayServer(rig.pipeline, rig.metrics), [listener() for _ in range(3)]
    await server.attach("run_1", listeners)
    print(json.dumps({"port": listeners[0].getsockname()[1]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.close()
    rig.store.close()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), [Path(each) for each in sys.argv[3:]]))
