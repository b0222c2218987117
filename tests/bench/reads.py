"""The read path: what the ethereum gateway computes for one chain read, beside a bare proxy before the same node.

Run as `python -m tests.bench.reads ROLE [NODE]` with ROLE node, proxy or gateway; prints its port and ends with its
standard input. The node is a canned answer: what is measured is what stands before it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from pathlib import Path
from typing import Final, cast

import aiohttp
import uvloop
from aiohttp import web

from safebox.firewall.connectors.upstream import ChainReads, Nodes
from safebox.firewall.gateways.server import GatewayServer
from safebox.firewall.metrics import Metrics
from tests.bench.child import Child
from tests.bench.firewall import listener
from tests.bench.report import Report
from tests.twin_desk import ADDRESS, CHAIN_ID, TwinDesk

CONNECTIONS: Final = 8
SECONDS: Final = 2.0
ROUNDS: Final = 5
_BODY: Final = b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["%b","latest"]}' % ADDRESS.encode()
REQUEST: Final = (
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY
)
_CHAIN: Final = b'"0x%x"' % CHAIN_ID


class _CannedNode(asyncio.Protocol):
    """Answers each request at once: its chain, or a balance."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._buffer = cast("asyncio.Transport", transport), b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        self._buffer = b""
        number = body.partition(b'"id":')[2].partition(b",")[0]
        result = _CHAIN if b"eth_chainId" in body else b'"0x2386f26fc10000"'
        answer = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (number, result)
        fields = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
        self._transport.write(fields + answer)


class Part(Child):
    """One of the three, in a process of its own."""

    def __init__(self, role: str, *arguments: str) -> None:
        super().__init__("reads", role, *arguments)
        self.port = int(self.said)
        self.url = f"http://127.0.0.1:{self.port}"

    def cost(self) -> float:
        """Seconds of computing for one read, asked over several connections."""
        before = computed(self.pid)
        load = self.drive(REQUEST, connections=CONNECTIONS, seconds=SECONDS)
        return (computed(self.pid) - before) / load.count


def computed(pid: int) -> float:
    """User and system time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _node(_: str) -> None:
    server = await asyncio.get_running_loop().create_server(_CannedNode, "127.0.0.1", 0)
    await _until_told(server.sockets[0].getsockname()[1])


async def _proxy(node: str) -> None:
    async with aiohttp.ClientSession() as session:

        async def forward(request: web.Request) -> web.Response:
            body = await request.read()
            async with session.post(node, data=body, headers={"Content-Type": "application/json"}) as answer:
                return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")

        app = web.Application()
        app.router.add_post("/", forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await _until_told(runner.addresses[0][1])
        await runner.cleanup()


async def _gateway(node: str) -> None:
    nodes = Nodes([node], CHAIN_ID)
    server = GatewayServer(TwinDesk(), Metrics(), chain=ChainReads(nodes))
    listeners = [listener() for _ in range(3)]
    await server.attach("run_1", listeners)
    await _until_told(listeners[2].getsockname()[1])
    await server.close()
    await nodes.close()


async def _until_told(port: int) -> None:
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


def measure(report: Report) -> None:
    """Measure `rpc_cpu`."""
    pairs: list[tuple[float, float]] = []
    with Part("node") as node, Part("proxy", node.url) as proxy, Part("gateway", node.url) as gateway:
        proxy.cost()
        gateway.cost()
        for _ in range(ROUNDS):
            pairs.append((gateway.cost(), proxy.cost()))
    report.ratio("rpc_cpu", statistics.median(mine / bare for mine, bare in pairs))
    report.figure("rpc_read_cpu", statistics.median(mine for mine, _ in pairs) * 1e6, "µs")
    report.figure("proxy_read_cpu", statistics.median(bare for _, bare in pairs) * 1e6, "µs")


async def _play(role: str, node: str) -> None:
    await {"node": _node, "proxy": _proxy, "gateway": _gateway}[role](node)


if __name__ == "__main__":
    uvloop.run(_play(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
