"""Ethereum nodes for the tests: the stand-in chain, and a real anvil node where one is installed."""

import asyncio
import contextlib
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator
from pathlib import Path

from safebox.firewall.standins.child import StandIn
from tests import real_parts

CHAIN_ID = 31337
TREASURY = 10**21
_LISTENING = re.compile(r"Listening on 127\.0\.0\.1:([0-9]+)")


@contextlib.asynccontextmanager
async def anvil(*options: str) -> AsyncGenerator[str]:
    """A real anvil node with the stand-in's chain id; with `--no-mining` it mines when it is told to."""
    command = [
        real_parts.require("anvil"),
        "--port",
        "0",
        "--host",
        "127.0.0.1",
        "--chain-id",
        str(CHAIN_ID),
        "--accounts",
        "1",
        *options,
    ]
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE)
    assert process.stdout is not None
    try:
        while line := await asyncio.wait_for(process.stdout.readline(), 20):
            found = _LISTENING.search(line.decode())
            if found:
                yield f"http://127.0.0.1:{found[1]}"
                break
    finally:
        process.kill()
        await process.wait()
        await process.stdout.read()


@contextlib.asynccontextmanager
async def standin(folder: Path, owner: str) -> AsyncGenerator[StandIn]:
    """The stand-in chain with a treasury for `owner`."""
    async with await StandIn.start("chain", "--state", folder, "--fund", f"{owner}={TREASURY}") as child:
        yield child
