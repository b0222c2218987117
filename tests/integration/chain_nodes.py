"""Ethereum nodes for the tests: the stand-in chain, and a real anvil node where one is installed."""

import contextlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

from safebox.firewall.standins.child import StandIn
from tests import real_parts
from tests.live import Chain

CHAIN_ID = 31337
TREASURY = 10**21
_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:([0-9]+)")


@contextlib.contextmanager
def anvil_process(*options: str) -> Generator[str]:
    """A real anvil node with the stand-in's chain id; with `--no-mining` it mines when it is told to."""
    command = [real_parts.require("anvil"), "--port", "0", "--host", "127.0.0.1"]
    command += ["--chain-id", str(CHAIN_ID), "--accounts", "1", *options]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            found = next(filter(None, map(_LISTENING.search, process.stdout)))
            reader = threading.Thread(target=process.stdout.read)  # it says every call, and stops when nobody listens
            reader.start()
            yield f"http://127.0.0.1:{int(found[1])}"
        finally:
            process.kill()
    reader.join()


@contextlib.contextmanager
def standin_process(folder: Path, owner: str) -> Generator[str]:
    """The stand-in chain with a treasury for `owner`, for tests without a loop, or for several."""
    command = [sys.executable, "-m", "safebox.firewall.standins.chain", "--state", str(folder)]
    with subprocess.Popen(
        [*command, "--fund", f"{owner}={TREASURY}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.stdin.close()
            process.wait()


@contextlib.contextmanager
def funded(kind: str, folder: Path, owner: str) -> Generator[str]:
    """A `standin` or an `anvil` that mines at once, on which `owner` has a treasury."""
    if kind == "standin":
        with standin_process(folder, owner) as url:
            yield url
        return
    with anvil_process() as url:
        Chain(url).ask("anvil_setBalance", owner, hex(TREASURY))
        yield url


@contextlib.asynccontextmanager
async def anvil(*options: str) -> AsyncGenerator[str]:
    """The same for a test that has its own."""
    with anvil_process(*options) as url:
        yield url


@contextlib.asynccontextmanager
async def standin(folder: Path, owner: str) -> AsyncGenerator[StandIn]:
    """The stand-in chain with a treasury for `owner`."""
    async with await StandIn.start("chain", "--state", folder, "--fund", f"{owner}={TREASURY}") as child:
        yield child
