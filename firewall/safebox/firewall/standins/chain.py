"""The stand-in chain: a private Ethereum chain (py-evm) behind JSON-RPC, mining each transaction at once.

Run as `python -m safebox.firewall.standins.chain --state DIR --fund ADDRESS=WEI [--fund ADDRESS=WEI ...]`.
Its chain id is 31337. Balances given with `--fund` exist from the first start on; later starts must name
the same ones. What was answered for is on disk in DIR and is there again, block hashes included, after
`kill -9`. It is no node of any network.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
from aiohttp import web
from eth_utils.address import to_canonical_address, to_checksum_address

from safebox.firewall.standins.chain_rpc import ChainMethods, RpcError, now
from safebox.firewall.standins.evm import CHAIN_ID, DevChain
from safebox.firewall.standins.journal import Entry, Genesis, Journal, JournalError
from safebox.firewall.standins.lifeline import Lifeline, announce, banner

STANDIN_HEADER = {"X-Safebox-Standin": "chain (private py-evm chain, no network)"}
MAX_BODY_BYTES = 1024 * 1024
MAX_BATCH = 100
MAX_BRACKETS = 5000
"""A hundred calls with an access list each have fewer; so many nested in each other still fit the C stack."""
PARSE_ERROR, INVALID_REQUEST = -32700, -32600
_FUND = re.compile(r"(0x[0-9a-fA-F]{40})=([0-9]{1,78})")


class ChainServer:
    """A chain with its journal, answering HTTP requests."""

    def __init__(self, folder: Path, balances: Mapping[str, str]) -> None:
        """Open `folder` and replay what it remembers.

        Raises:
            JournalError: The folder can't be used.
        """
        self._journal = Journal(folder)
        genesis = self._journal.genesis(Genesis(CHAIN_ID, now(), dict(balances)))
        accounts: dict[bytes, int] = {
            to_canonical_address(address): int(wei) for address, wei in genesis.balances.items()
        }
        self._chain = DevChain(genesis.timestamp, accounts)
        for entry in self._journal.entries():
            self._chain.accept(bytes.fromhex(entry.raw[2:]), entry.timestamp)
        self._methods = ChainMethods(self._chain, self._accept)

    def app(self) -> web.Application:
        """The web application with its one route."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/", self._serve)
        return app

    def _accept(self, raw: bytes) -> bytes:
        transaction_hash, timestamp = self._chain.accept(raw, now())
        try:
            self._journal.append(Entry(timestamp, "0x" + raw.hex()))
        except OSError as error:
            # Memory is ahead of the disk: the only honest state is the one a restart reads.
            banner(f"safebox stand-in chain: the journal can't be written ({error}); ending")
            os._exit(1)
        return transaction_hash

    async def _serve(self, request: web.Request) -> web.Response:
        try:
            document = _parse(await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError):
            answer: object = _failure(None, RpcError(PARSE_ERROR, "parse error"))
        else:
            answer = self._answer(document)
        body = msgspec.json.encode(answer)
        return web.Response(body=body, content_type="application/json", headers=STANDIN_HEADER)

    def _answer(self, document: object) -> object:
        if not isinstance(document, list):
            return self._one(document)
        batch = cast("list[object]", document)
        if not batch:
            return _failure(None, RpcError(INVALID_REQUEST, "empty batch"))
        if len(batch) > MAX_BATCH:
            return _failure(None, RpcError(INVALID_REQUEST, "batch too large"))
        return [self._one(one) for one in batch]

    def _one(self, document: object) -> object:
        call = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
        method, identity = call.get("method"), call.get("id")
        params: object = call.get("params", [])
        if not isinstance(method, str) or call.get("jsonrpc") != "2.0":
            return _failure(identity, RpcError(INVALID_REQUEST, "invalid request"))
        if not isinstance(params, list):
            return _failure(identity, RpcError(-32602, "non-array args"))
        try:
            return {
                "jsonrpc": "2.0",
                "id": identity,
                "result": self._methods.answer(method, cast("list[object]", params)),
            }
        except RpcError as error:
            return _failure(identity, error)


def _parse(body: bytes) -> object:
    """Read JSON; py-evm lifts Python's recursion limit, so nesting is bounded here to keep the C stack whole."""
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
        raise msgspec.DecodeError("too many brackets")
    return msgspec.json.decode(body)


def _failure(identity: object, error: RpcError) -> dict[str, object]:
    detail: dict[str, object] = {"code": error.code, "message": str(error)}
    if error.data is not None:
        detail["data"] = error.data
    return {"jsonrpc": "2.0", "id": identity, "error": detail}


def _fund(text: str) -> tuple[str, str]:
    match = _FUND.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("ADDRESS=WEI expected, as in 0x…=1000000000000000000")
    return to_checksum_address(match[1]), str(int(match[2]))


async def _run(folder: Path, balances: Mapping[str, str], port: int) -> None:
    lifeline = Lifeline()
    runner = web.AppRunner(ChainServer(folder, balances).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=1).start()
    banner(f"safebox stand-in chain (py-evm), chain id {CHAIN_ID}: no real network, no real money")
    announce(f"http://127.0.0.1:{runner.addresses[0][1]}")
    await lifeline.ended()
    await runner.cleanup()


def main() -> None:
    """Run the stand-in chain until standard input closes."""
    parser = argparse.ArgumentParser(prog="safebox.firewall.standins.chain", description="Private chain (stand-in).")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--fund", type=_fund, action="append", default=[], metavar="ADDRESS=WEI")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    try:
        asyncio.run(_run(options.state, dict(options.fund), options.port))
    except JournalError as error:
        parser.exit(2, f"safebox stand-in chain: {error}\n")


if __name__ == "__main__":
    main()
