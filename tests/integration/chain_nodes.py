"""Ethereum nodes for the tests: the stand-in chain, and a real anvil node where one is installed.

Anvil is looked for in $SAFEBOX_ANVIL, on PATH, and in node_modules (npm install @foundry-rs/anvil).
"""

import asyncio
import contextlib
import os
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from safebox.firewall.standins.child import StandIn

CHAIN_ID = 31337
TREASURY = 10**21
_LISTENING = re.compile(r"Listening on 127\.0\.0\.1:([0-9]+)")


def find_anvil() -> str | None:
    named = os.environ.get("SAFEBOX_ANVIL")
    if named:
        assert Path(named).is_file(), "SAFEBOX_ANVIL names no file"
        return named
    packaged = Path(__file__).parents[2] / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
    return shutil.which("anvil") or (str(packaged) if packaged.is_file() else None)


@contextlib.asynccontextmanager
async def anvil() -> AsyncGenerator[str]:
    """A real anvil node with the stand-in's chain id."""
    binary = find_anvil()
    if binary is None:
        pytest.skip("anvil is not installed: npm install @foundry-rs/anvil, or name it in SAFEBOX_ANVIL")
    command = [binary, "--port", "0", "--host", "127.0.0.1", "--chain-id", str(CHAIN_ID), "--accounts", "1"]
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
