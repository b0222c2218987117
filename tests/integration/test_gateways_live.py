"""What comes by itself: WebSockets, subscriptions and filters, on a chain that grows and is rearranged."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from safebox.firewall.core.reply import Status
from safebox.firewall.errors import FirewallError
from safebox.firewall.gateways.filters import FILTERS_MAX
from safebox.firewall.gateways.heads import CHANGES_MAX, GAP_MAX, WATCHED_SECONDS, Heads
from safebox.firewall.gateways.share import SUBSCRIPTIONS_MAX
from safebox.firewall.ports import RunView
from tests.twin_chain import TOKEN, TOPIC, TwinChain
from tests.twin_desk import ADDRESS, CHAIN_ID, PAYEE, Served, TwinDesk, done, not_done, serving, view

POLL = 0.01


class LeavingDesk(TwinDesk):
    """A desk whose run may be told that it has ended."""

    over = False

    def view(self, run: str) -> RunView:
        if self.over:
            raise FirewallError("the run has ended", code="firewall.run_not_live")
        return super().view(run)


def two_runs() -> LeavingDesk:
    views = {"run_1": view(), "run_2": view("run_2"), "poor": view("poor", wallet=None)}
    return LeavingDesk(reply=done(transaction_hash="0x" + "ab" * 32), views=views)


@pytest.fixture
def chain() -> TwinChain:
    return TwinChain()


@pytest.fixture
async def served(chain: TwinChain) -> AsyncIterator[Served]:
    async with serving(two_runs(), chain=chain, poll=POLL) as server:
        yield server


class Talk:
    """One WebSocket, asked and heard by a test."""

    def __init__(self, wire: ClientConnection) -> None:
        self.wire = wire
        self.notices: list[dict[str, Any]] = []
        self._number = 0

    async def ask(self, method: str, *params: Any) -> dict[str, Any]:
        """Ask, and keep what comes before the answer."""
        self._number += 1
        await self.wire.send(json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}))
        while True:
            heard = await self.hear()
            if "id" in heard:
                assert heard["id"] == self._number
                return heard
            self.notices.append(heard["params"])

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return dict(json.loads(await self.wire.recv()))

    async def told(self, count: int) -> list[dict[str, Any]]:
        """The next notices."""
        while len(self.notices) < count:
            self.notices.append((await self.hear())["params"])
        taken, self.notices = self.notices[:count], self.notices[count:]
        return taken


@contextlib.asynccontextmanager
async def talking(served: Served, run: str = "run_1", **options: Any) -> AsyncGenerator[Talk]:
    url = served.url("ethereum", run).replace("http", "ws")
    async with connect(url, ping_interval=None, **options) as wire:
        yield Talk(wire)


async def call(served: Served, method: str, *params: Any, run: str = "run_1") -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with aiohttp.ClientSession() as http, http.post(served.url("ethereum", run), json=body) as answer:
        assert answer.status == 200
        return dict(await answer.json())


# --- WebSocket ----------------------------------------------------------------------------------------------------


async def test_the_same_is_asked_and_answered_over_a_websocket(served: Served) -> None:
    async with talking(served) as talk:
        assert (await talk.ask("eth_chainId"))["result"] == hex(CHAIN_ID)
        assert (await talk.ask("eth_accounts"))["result"] == [ADDRESS]
        assert (await talk.ask("eth_blockNumber"))["result"] == "0x5"
        assert (await talk.ask("eth_noSuchThing"))["error"]["code"] == -32601
        payment = {"from": ADDRESS, "to": PAYEE, "value": "0x1"}
        assert (await talk.ask("eth_sendTransaction", payment))["result"] == "0x" + "ab" * 32
        served.desk.reply = not_done(Status.DENIED, "transfer.payee_not_listed")
        refused = (await talk.ask("eth_sendTransaction", payment))["error"]
    assert (refused["code"], refused["data"]["decision_id"]) == (-32003, "dec_1")
    assert [call.run for call in served.desk.calls] == ["run_1", "run_1"]
    assert served.requests("ethereum", 101) == 1


async def test_a_batch_over_a_websocket_is_answered_as_one_message(served: Served) -> None:
    async with talking(served) as talk:
        batch = [{"jsonrpc": "2.0", "id": number, "method": "eth_chainId"} for number in range(3)]
        await talk.wire.send(json.dumps(batch))
        assert [each["id"] for each in json.loads(await talk.wire.recv())] == [0, 1, 2]


async def test_a_message_that_is_no_json_is_answered_and_the_connection_goes_on(served: Served) -> None:
    async with talking(served) as talk:
        for text in ("", "{", "[" * 9000, '{"id":1,"id":2}', b"\xff"):
            await talk.wire.send(text)
            assert (await talk.hear())["error"]["code"] == -32700
        assert (await talk.ask("eth_chainId"))["result"] == hex(CHAIN_ID)


async def test_a_slow_call_keeps_no_other_of_its_connection_waiting(served: Served, chain: TwinChain) -> None:
    chain.slow = asyncio.Event()
    async with talking(served) as talk:
        await talk.wire.send('{"jsonrpc":"2.0","id":"slow","method":"eth_gasPrice"}')
        assert (await talk.ask("eth_chainId"))["result"] == hex(CHAIN_ID)
        chain.slow.set()
        assert (await talk.hear())["id"] == "slow"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {"Origin": "https://evil.example"}, 403), ("/", {"Origin": "null"}, 403),
        ("/", {"Origin": "http://localhost.evil.example"}, 403), ("/admin", {}, 404),
        ("/", {"Origin": "http://localhost:3000"}, 101),
    ],
)  # fmt: skip
async def test_a_page_of_another_origin_gets_no_websocket_and_no_answer(
    served: Served, path: str, headers: dict[str, str], status: int
) -> None:
    url = served.url("ethereum").replace("http", "ws") + path
    if status == 101:
        async with connect(url, additional_headers=headers):
            pass
        return
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, additional_headers=headers):
            pass
    assert refused.value.response.status_code == status
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
    address = served.url("ethereum") + path
    async with aiohttp.ClientSession() as http, http.post(address, data=body, headers=headers) as answer:
        assert answer.status == status
        assert b"result" not in await answer.read()


@pytest.mark.parametrize("gateway", ["tools", "inference"])
async def test_only_the_ethereum_gateway_speaks_over_websockets(served: Served, gateway: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(served.url(gateway).replace("http", "ws")):
            pass
    assert refused.value.response.status_code == 400


async def test_a_websocket_ends_with_its_run(served: Served) -> None:
    async with talking(served) as talk:
        await talk.ask("eth_subscribe", "newHeads")
        await served.server.detach("run_1")
        with pytest.raises(ConnectionClosed):
            await talk.hear()


# --- subscriptions ------------------------------------------------------------------------------------------------


async def test_new_heads_are_told_in_order_without_what_is_no_head(served: Served, chain: TwinChain) -> None:
    async with talking(served) as talk:
        name = (await talk.ask("eth_subscribe", "newHeads"))["result"]
        hashes = chain.grow(3)
        told = await talk.told(3)
    assert [each["subscription"] for each in told] == [name] * 3
    assert [each["result"]["hash"] for each in told] == hashes
    assert told[0]["result"].keys() == {"number", "hash", "parentHash", "gasUsed"}


async def test_logs_are_told_and_taken_back_when_their_block_is_gone(served: Served, chain: TwinChain) -> None:
    async with talking(served) as talk:
        wanted = {"address": TOKEN, "topics": [[TOPIC]]}
        await talk.ask("eth_subscribe", "logs", wanted)
        (first,) = chain.grow(1)
        (came,) = await talk.told(1)
        (second,) = chain.rearrange(1, 1)
        gone, instead = await talk.told(2)
    assert (came["result"]["blockHash"], came["result"]["removed"]) == (first, False)
    assert (gone["result"]["blockHash"], gone["result"]["removed"]) == (first, True)
    assert (instead["result"]["blockHash"], instead["result"]["removed"]) == (second, False)
    searched = [each["params"][0] for each in chain.asked if each["method"] == "eth_getLogs"]
    assert searched == [wanted | {"blockHash": first}, wanted | {"blockHash": second}]


async def test_an_ended_subscription_is_told_nothing(served: Served, chain: TwinChain) -> None:
    async with talking(served) as talk, talking(served) as other:
        mine = (await talk.ask("eth_subscribe", "newHeads"))["result"]
        await other.ask("eth_subscribe", "newHeads")
        assert (await other.ask("eth_unsubscribe", mine))["result"] is False
        assert (await talk.ask("eth_unsubscribe", mine))["result"] is True
        assert (await talk.ask("eth_unsubscribe", mine))["result"] is False
        chain.grow(1)
        await other.told(1)
        await talk.ask("eth_chainId")
        assert talk.notices == []


async def test_all_subscriptions_of_all_runs_cost_the_node_one_question_a_second(
    served: Served, chain: TwinChain
) -> None:
    async with talking(served) as one, talking(served, "run_2") as two:
        for talk in (one, two):
            for _ in range(8):
                await talk.ask("eth_subscribe", "newHeads")
        chain.asked.clear()
        chain.grow(1)
        await one.told(8)
        await two.told(8)
    assert set(chain.methods()) == {"eth_getBlockByNumber"}


async def test_subscriptions_of_a_run_are_bounded_over_all_its_connections(served: Served) -> None:
    async with talking(served) as one, talking(served) as two, talking(served, "run_2") as neighbour:
        for number in range(SUBSCRIPTIONS_MAX):
            assert "result" in await (one, two)[number % 2].ask("eth_subscribe", "newHeads")
        refused = (await two.ask("eth_subscribe", "newHeads"))["error"]
        assert (refused["code"], refused["data"]["code"]) == (-32005, "request.asks_too_much")
        assert "result" in await neighbour.ask("eth_subscribe", "newHeads")
        await one.wire.close()
        async with asyncio.timeout(5):
            while "error" in await two.ask("eth_subscribe", "newHeads"):  # noqa: ASYNC110 - it hears of it in a moment
                await asyncio.sleep(0)


@pytest.mark.parametrize(
    "params",
    [
        [], ["newPendingTransactions"], ["syncing"], ["newheads"], ["logs", []], ["logs", {"address": "0x1"}],
        ["logs", {"topics": ["0x1"]}], ["logs", {"topics": [None] * 5}], ["logs", {"blockHash": "0x" + "00" * 32}],
        ["logs", {"address": [TOKEN] * 1000}], ["newHeads", {}], [["newHeads"]],
    ],
)  # fmt: skip
async def test_there_are_no_other_subscriptions(served: Served, params: list[Any]) -> None:
    async with talking(served) as talk:
        assert (await talk.ask("eth_subscribe", *params))["error"]["code"] == -32602


async def test_over_http_there_are_no_subscriptions(served: Served) -> None:
    assert "WebSocket" in (await call(served, "eth_subscribe", "newHeads"))["error"]["message"]


async def test_a_run_that_may_not_ask_any_more_is_told_nothing(served: Served, chain: TwinChain) -> None:
    async with talking(served) as talk:
        await talk.ask("eth_subscribe", "newHeads")
        assert isinstance(served.desk, LeavingDesk)
        served.desk.over = True
        chain.grow(1)
        with pytest.raises(ConnectionClosed):
            await talk.hear()


async def test_a_node_that_is_away_for_a_while_delays_news_and_loses_none(served: Served, chain: TwinChain) -> None:
    async with talking(served) as talk:
        await talk.ask("eth_subscribe", "newHeads")
        chain.down = True
        hashes = chain.grow(3)
        await asyncio.sleep(5 * POLL)
        chain.down = False
        assert [each["result"]["hash"] for each in await talk.told(3)] == hashes


async def test_a_run_without_a_wallet_subscribes_to_nothing(served: Served) -> None:
    async with talking(served, "poor") as talk:
        assert (await talk.ask("eth_subscribe", "newHeads"))["error"]["data"]["code"] == "transfer.not_granted"


# --- filters ------------------------------------------------------------------------------------------------------


async def test_a_filter_tells_each_block_once(served: Served, chain: TwinChain) -> None:
    name = (await call(served, "eth_newBlockFilter"))["result"]
    assert (await call(served, "eth_getFilterChanges", name))["result"] == []
    hashes = chain.grow(2)
    assert (await call(served, "eth_getFilterChanges", name))["result"] == hashes
    assert (await call(served, "eth_getFilterChanges", name))["result"] == []
    assert (await call(served, "eth_uninstallFilter", name))["result"] is True
    gone = (await call(served, "eth_getFilterChanges", name))["error"]
    assert (gone["code"], gone["message"]) == (-32000, "filter not found")


async def test_a_filter_for_logs_tells_them_and_takes_them_back(served: Served, chain: TwinChain) -> None:
    wanted = {"address": TOKEN, "topics": [TOPIC], "fromBlock": "0x1"}
    name = (await call(served, "eth_newFilter", wanted))["result"]
    (first,) = chain.grow(1)
    (came,) = (await call(served, "eth_getFilterChanges", name))["result"]
    (second,) = chain.rearrange(1, 1)
    told = (await call(served, "eth_getFilterChanges", name))["result"]
    assert came["blockHash"] == first
    assert [(each["blockHash"], each["removed"]) for each in told] == [(first, True), (second, False)]
    assert (await call(served, "eth_getFilterLogs", name))["result"] == []
    assert [each["params"] for each in chain.asked if each["method"] == "eth_getLogs"][-1] == [wanted]


async def test_a_filter_is_its_runs_own(served: Served) -> None:
    name = (await call(served, "eth_newBlockFilter"))["result"]
    for method in ("eth_getFilterChanges", "eth_getFilterLogs"):
        refused = (await call(served, method, name, run="run_2"))["error"]
        assert refused["data"]["code"] == "request.unknown_filter"
    assert (await call(served, "eth_uninstallFilter", name, run="run_2"))["result"] is False
    assert (await call(served, "eth_getFilterChanges", name))["result"] == []


async def test_filters_are_bounded_and_their_names_can_not_be_guessed(served: Served) -> None:
    names = [(await call(served, "eth_newBlockFilter"))["result"] for _ in range(FILTERS_MAX)]
    assert all(len(name) == 34 for name in names)
    assert len({name[:6] for name in names}) > FILTERS_MAX / 2
    refused = (await call(served, "eth_newBlockFilter"))["error"]
    assert (refused["code"], refused["data"]["code"]) == (-32005, "request.asks_too_much")
    assert "result" in await call(served, "eth_newBlockFilter", run="run_2")
    await call(served, "eth_uninstallFilter", names[0])
    assert "result" in await call(served, "eth_newBlockFilter")


@pytest.mark.parametrize("name", [None, 1, "", "0x", "0x1", [], {}, True])
async def test_what_is_no_filters_name_names_none(served: Served, name: Any) -> None:
    assert (await call(served, "eth_getFilterChanges", name))["error"]["message"] == "filter not found"
    assert (await call(served, "eth_uninstallFilter", name))["result"] is False


async def test_filters_are_gone_after_the_run_was_attached_anew(chain: TwinChain) -> None:
    async with serving(two_runs(), chain=chain, poll=POLL) as first:
        name = (await call(first, "eth_newBlockFilter"))["result"]
    async with serving(two_runs(), chain=chain, poll=POLL) as second:
        assert "error" in await call(second, "eth_getFilterChanges", name)


# --- the follower -------------------------------------------------------------------------------------------------


async def test_a_place_that_is_too_far_behind_is_lost(chain: TwinChain) -> None:
    heads = Heads(chain, poll=POLL)
    await heads.advance()
    start = heads.end
    chain.grow(GAP_MAX)
    await heads.advance()
    assert len(heads.since(start) or []) == GAP_MAX
    chain.grow(GAP_MAX + 1)
    await heads.advance()
    assert heads.since(start) is None
    assert heads.since(heads.end) == []
    for _ in range(CHANGES_MAX // GAP_MAX + 1):
        start = start or heads.end
        chain.grow(GAP_MAX)
        await heads.advance()
    assert heads.since(start) is None
    await heads.close()


async def test_a_chain_that_goes_back_takes_its_blocks_back(chain: TwinChain) -> None:
    heads = Heads(chain, poll=POLL)
    await heads.advance()
    added = chain.grow(2)
    await heads.advance()
    chain.height -= 2
    await heads.advance()
    changes = heads.since(0)
    assert changes is not None
    assert [(each.block.hash, each.head is not None) for each in changes] == [
        (added[0], True), (added[1], True), (added[1], False), (added[0], False),
    ]  # fmt: skip
    await heads.close()


async def test_questions_at_once_are_answered_by_one_look(chain: TwinChain) -> None:
    heads = Heads(chain, poll=60)
    await heads.advance()
    chain.slow = asyncio.Event()
    asking = [asyncio.create_task(heads.advance()) for _ in range(50)]
    await asyncio.sleep(0.01)
    chain.slow.set()
    await asyncio.gather(*asking)
    assert len(chain.asked) <= 3
    await heads.close()


async def test_a_chain_is_followed_only_while_somebody_watches(chain: TwinChain) -> None:
    heads = Heads(chain, poll=POLL, watched=3 * POLL)
    await heads.advance()
    await asyncio.sleep(20 * POLL)
    asked = len(chain.asked)
    await asyncio.sleep(5 * POLL)
    assert len(chain.asked) == asked < 10
    assert WATCHED_SECONDS > 60
    await heads.close()
