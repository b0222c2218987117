"""Several nodes of one chain: who is asked, when another one stands in, and what never happens meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from safebox.firewall.connectors.jsonrpc import ANSWER_BYTES_MAX, NodeRefused, NodeUnavailable
from safebox.firewall.connectors.upstream import AGAIN_SECONDS, BEHIND_BLOCKS, CHECK_SECONDS, ChainReads, Nodes
from safebox.firewall.errors import CallerError, EffectError

CHAIN_ID = 31337
READ = b'{"jsonrpc":"2.0","id":1,"method":"eth_gasPrice","params":[]}'


class FarNode:
    """A node in words: it says its name for everything that isn't about the chain or its height."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.chain = CHAIN_ID
        self.height = 100
        self.asked: list[str] = []
        self.down = False
        self.deaf: set[str] = set()
        self.answers: dict[str, Any] = {}
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read())
        method = asked["method"]
        self.asked.append(method)
        if self.down or method in self.deaf:
            return web.Response(status=503, text="away")
        canned = self.answers.get(method)
        if isinstance(canned, web.Response):
            return canned
        known = {"eth_chainId": hex(self.chain), "eth_blockNumber": hex(self.height), **self.answers}
        outcome: Any = known.get(method, self.name)
        member = "error" if isinstance(outcome, dict) else "result"
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], member: outcome})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def far(*nodes: FarNode) -> AsyncGenerator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for node in nodes:
            app = web.Application()
            app.router.add_post("/", node.serve)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield


class Bench:
    def __init__(self) -> None:
        self.first, self.second = FarNode("first"), FarNode("second")
        self.clock = Clock()
        self.nodes: Nodes

    async def who(self) -> str:
        """Which node answers now."""
        return str(await self.nodes.call("eth_gasPrice"))

    async def later(self, seconds: float) -> None:
        """So many seconds on, and whatever is looked at then is looked at."""
        self.clock.now += seconds
        with contextlib.suppress(NodeUnavailable):
            await self.who()
        await self.nodes.looked()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    async with far(made.first, made.second):
        made.nodes = Nodes([made.first.url, made.second.url], CHAIN_ID, clock=made.clock)
        yield made
        await made.nodes.close()


async def test_the_first_node_is_asked_and_the_second_stands_by(bench: Bench) -> None:
    assert [await bench.who() for _ in range(3)] == ["first"] * 3
    assert "eth_gasPrice" not in bench.second.asked
    assert bench.nodes.states() == [True, True]


async def test_the_second_stands_in_and_the_first_is_taken_again_when_it_is_back(bench: Bench) -> None:
    assert await bench.who() == "first"
    bench.first.down = True
    assert [await bench.who() for _ in range(3)] == ["second"] * 3
    assert bench.nodes.states() == [False, True]
    assert bench.first.asked.count("eth_gasPrice") == 2  # the one that failed, and none after it
    bench.first.down = False
    assert await bench.who() == "second"
    await bench.later(2 * AGAIN_SECONDS)
    assert await bench.who() == "first"


async def test_a_node_that_stays_away_is_looked_at_ever_more_rarely(bench: Bench) -> None:
    await bench.who()
    bench.first.down = True
    await bench.later(0)
    looks = bench.first.asked.count("eth_chainId")
    for _ in range(int(CHECK_SECONDS)):
        await bench.later(1)
    assert 2 <= bench.first.asked.count("eth_chainId") - looks <= 5


async def test_a_node_of_another_chain_is_asked_for_nothing_but_its_chain(bench: Bench) -> None:
    bench.first.chain = 1
    assert await bench.who() == "second"
    assert set(bench.first.asked) == {"eth_chainId"}


async def test_a_node_that_changes_its_chain_is_asked_no_more_once_it_is_looked_at(bench: Bench) -> None:
    assert await bench.who() == "first"
    bench.first.chain = 1
    await bench.later(CHECK_SECONDS)
    bench.first.asked.clear()
    assert await bench.who() == "second"
    assert "eth_gasPrice" not in bench.first.asked


async def test_without_any_node_of_the_chain_nothing_is_answered(bench: Bench) -> None:
    bench.first.chain, bench.second.down = 1, True
    with pytest.raises(NodeUnavailable):
        await bench.who()
    bench.clock.now += 1
    bench.second.down = False
    assert await bench.who() == "second"


async def test_a_read_that_breaks_takes_no_node_out_of_use(bench: Bench) -> None:
    bench.first.deaf = {"eth_call"}
    with pytest.raises(NodeUnavailable):
        await bench.nodes.call("eth_call", {})
    assert "eth_call" not in bench.second.asked
    assert await bench.who() == "first"


async def test_an_answer_that_is_too_long_is_the_askers_own_and_no_fault_of_the_node(bench: Bench) -> None:
    bench.first.answers["eth_gasPrice"] = "0x" + "0" * ANSWER_BYTES_MAX
    with pytest.raises(CallerError) as refused:
        await ChainReads(bench.nodes).forward(READ)
    assert refused.value.code == "request.asks_too_much"
    assert bench.second.asked.count("eth_gasPrice") == 0
    assert bench.nodes.states() == [True, True]


async def test_an_answer_without_end_is_not_read_to_its_end(bench: Bench) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        if json.loads(await request.read())["method"] == "eth_chainId":
            return web.json_response({"jsonrpc": "2.0", "id": 1, "result": hex(CHAIN_ID)})
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < 100 * ANSWER_BYTES_MAX:
                await answer.write(b" " * 65536)
                sent += 65536
        return answer

    bench.first.serve = endless  # type: ignore[method-assign]
    async with far(bench.first):
        nodes = Nodes([bench.first.url], CHAIN_ID)
        with pytest.raises(CallerError):
            await ChainReads(nodes).forward(READ)
        await nodes.close()
    assert sent < 4 * ANSWER_BYTES_MAX


async def test_a_compressed_answer_is_not_asked_for_and_not_unpacked(bench: Bench) -> None:
    packed = web.Response(body=b"\x1f\x8b", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
    bench.first.answers["eth_gasPrice"] = packed
    assert await ChainReads(bench.nodes).forward(READ) == b"\x1f\x8b"  # no JSON-RPC: the gateway has no answer then


async def test_a_node_far_behind_is_passed_over_for_one_that_is_not(bench: Bench) -> None:
    bench.first.height = 100 - BEHIND_BLOCKS - 1
    await bench.later(0)
    assert await bench.who() == "second"
    bench.second.down = True
    await bench.later(CHECK_SECONDS)
    assert await bench.who() == "first"


async def test_reads_of_one_batch_are_of_one_node_or_none(bench: Bench) -> None:
    one = ChainReads(bench.nodes).pinned()
    assert b"first" in await one.forward(READ)
    bench.first.down = True
    for _ in range(2):
        with pytest.raises(EffectError):
            await one.forward(READ)
    bench.first.down = False
    await bench.later(0)
    assert b"second" in await ChainReads(bench.nodes).pinned().forward(READ)


async def test_the_first_read_of_a_batch_may_still_choose(bench: Bench) -> None:
    assert await bench.who() == "first"
    bench.first.down = True
    one = ChainReads(bench.nodes).pinned()
    assert [b"second" in await one.forward(READ) for _ in range(2)] == [True, True]


async def test_a_transaction_is_sent_to_one_node_only(bench: Bench) -> None:
    bench.first.deaf = {"eth_sendRawTransaction"}
    with pytest.raises(NodeUnavailable):
        await bench.nodes.call("eth_sendRawTransaction", "0x00")
    assert "eth_sendRawTransaction" not in bench.second.asked


async def test_a_nodes_own_refusal_is_its_answer(bench: Bench) -> None:
    bench.first.answers["eth_gasPrice"] = {"code": -32000, "message": "no"}
    with pytest.raises(NodeRefused):
        await bench.who()
    assert "eth_gasPrice" not in bench.second.asked


async def test_many_calls_at_once_look_at_a_dead_node_once(bench: Bench) -> None:
    await bench.who()
    bench.first.down = True
    bench.first.asked.clear()
    assert await asyncio.gather(*(bench.who() for _ in range(20))) == ["second"] * 20
    assert bench.first.asked.count("eth_chainId") <= 2
