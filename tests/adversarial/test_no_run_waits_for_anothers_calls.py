"""Law 13: what one run asks, is refused or has under way costs no other run its turn, and its own budget nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from safebox.firewall.core.action import Call
from safebox.firewall.core.decision import Answer, Reason, Verdict
from safebox.firewall.core.reply import Status
from safebox.firewall.evidence import Evidence
from safebox.firewall.gateways.limits import CALLS_MAX, QUEUE_MAX
from safebox.firewall.gateways.server import GatewayServer
from safebox.firewall.places import SHARED
from safebox.firewall.recovery import view_of
from safebox.firewall.runs import Run
from safebox.firewall.stops import Stops
from tests.bench.firewall import Rig as RealRig
from tests.bench.firewall import listener
from tests.twins import MANDATE, PAYEE, MemoryConnector, Rig, run_started

NOISY = 48
"""Calls the noisy run always has going: more than half of what its gateway lets in."""
QUIET = 20
"""How often the quiet run asks."""


class Begun:
    """A connector that notes whose effects began, in order."""

    name = "mail"

    def __init__(self) -> None:
        self.twin = MemoryConnector("mail")
        self.runs: list[str] = []

    async def quote(self, action: Any, run: Any) -> Any:
        return await self.twin.quote(action, run)

    async def perform(self, action: Any, run: Any, plan: Any, deliver: Any) -> Any:
        self.runs.append(action.run)
        return await self.twin.perform(action, run, plan, deliver)

    async def reconcile(self, action: Any, run: Any, plan: Any) -> Any:
        return await self.twin.reconcile(action, run, plan)

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None:
        pass


def listing(run: str) -> Call:
    return Call(run=run, tool="email.list", arguments={})


def hang() -> Awaitable[None]:
    return asyncio.sleep(3600)


def second_run(rig: Rig) -> None:
    started = run_started("run_2", MANDATE, rig.clock.now_ns())
    rig.ledger.books.apply(started)
    rig.runs.add(Run(view_of(started), rig.ledger.book("run_2"), Evidence({})))


async def test_a_run_at_full_speed_lets_a_quiet_one_in_between(tmp_path: Path) -> None:
    """Counted, not timed: how many of the noisy run's effects begin while one call of the quiet one is answered.

    Served in the order in which they came, each call of the quiet run would see all of the noisy one's go first.
    """
    begun = Begun()
    rig = RealRig(tmp_path, begun)
    rig.add("run_2")
    over = asyncio.Event()

    async def ask_without_end() -> None:
        while not over.is_set():
            assert (await rig.pipeline.handle(listing("run_1"))).status is Status.DONE

    noisy = [asyncio.create_task(ask_without_end()) for _ in range(NOISY)]
    between: list[int] = []
    for number in range(QUIET + 3):
        await asyncio.sleep(0.02)
        before = len(begun.runs)
        assert (await rig.pipeline.handle(listing("run_2"))).status is Status.DONE
        if number >= 3:  # the firewall has seen by now that there are two
            between.append(begun.runs[before:].index("run_2"))
    over.set()
    await asyncio.gather(*noisy)
    rig.store.close()
    between.sort()
    assert begun.runs.count("run_1") > 10 * QUIET, "the noisy run was starved"
    assert between[len(between) // 2] <= 2 * SHARED, between


async def test_what_a_run_has_under_way_takes_no_place_from_its_other_calls() -> None:
    rig = Rig()
    second_run(rig)
    rig.connectors["compute"].on_perform = hang
    rent = {"image": "i", "command": ["c"], "minutes": 1, "input": "", "name": None}
    slow = [
        asyncio.create_task(rig.pipeline.handle(Call(run="run_1", tool="compute.start", arguments=rent)))
        for _ in range(3 * SHARED)
    ]
    async with asyncio.timeout(5):
        for _ in range(5):
            for run in ("run_2", "run_1"):
                assert (await rig.pipeline.handle(listing(run))).status is Status.DONE
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_a_cost_that_is_slow_to_learn_holds_up_neither_the_others_nor_the_runs_own_other_calls() -> None:
    rig = Rig()
    second_run(rig)
    rig.connectors["chain"].on_quote = hang
    pay = {"to": PAYEE, "amount": "1 ETH"}
    waiting = [
        asyncio.create_task(rig.pipeline.handle(Call(run="run_1", tool="wallet.transfer", arguments=pay)))
        for _ in range(3 * SHARED)
    ]
    async with asyncio.timeout(5):
        for run in ("run_2", "run_1", "run_2", "run_1"):
            assert (await rig.pipeline.handle(listing(run))).status is Status.DONE
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("verdict", [Verdict.DENY, Verdict.HOLD])
async def test_what_is_denied_or_held_burns_no_budget_and_no_place(verdict: Verdict) -> None:
    rig = Rig()
    second_run(rig)
    rig.engine.answer = Answer(verdict, (Reason("test.no", "No."),), {})
    pay = {"to": PAYEE, "amount": "1 ETH"}
    calls = [
        asyncio.create_task(rig.pipeline.handle(Call(run="run_1", tool="wallet.transfer", arguments=pay)))
        for _ in range(50)
    ]
    async with asyncio.timeout(5):
        other = await rig.pipeline.handle(listing("run_2"))
    assert other.status in (Status.DENIED, Status.HELD)
    await asyncio.wait(calls, timeout=2)
    line = rig.run.book.lines["wallet", "ETH"]
    assert (line.spent, line.reserved, line.remaining) == (0, 0, 7 * 10**18)
    assert rig.effects == 0
    for task in calls:
        task.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


# --- over the wire ------------------------------------------------------------------------------------------------


class Served:
    """Two runs of a twin rig behind real gateways."""

    def __init__(self) -> None:
        self.rig = Rig()
        second_run(self.rig)
        self.server = GatewayServer(self.rig.pipeline, self.rig.metrics)
        self.ports: dict[str, list[int]] = {}

    async def open(self) -> None:
        for run in ("run_1", "run_2"):
            listeners = [listener() for _ in range(3)]
            self.ports[run] = [int(each.getsockname()[1]) for each in listeners]
            await self.server.attach(run, listeners)

    def url(self, run: str, gateway: int = 0) -> str:
        return f"http://127.0.0.1:{self.ports[run][gateway]}"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    it = Served()
    await it.open()
    yield it
    await it.server.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as it:
        yield it


Asked = tuple[int, str | None, Any]


async def ask(session: aiohttp.ClientSession, url: str, body: bytes = b"{}") -> Asked:
    async with session.post(url, data=body) as answer:
        return answer.status, answer.headers.get("Retry-After"), await answer.json()


async def test_an_overloaded_run_is_told_to_come_back_and_the_other_one_notices_nothing(
    served: Served, session: aiohttp.ClientSession
) -> None:
    go = asyncio.Event()
    rig = served.rig

    async def perform() -> None:
        if rig.connectors["mail"].done == []:  # the first ones, which are all of run_1
            await go.wait()

    hold: Callable[[], Awaitable[None]] = perform
    rig.connectors["mail"].on_perform = hold
    url = served.url("run_1") + "/v1/tools/email.list"
    asked = [asyncio.create_task(ask(session, url)) for _ in range(CALLS_MAX + QUEUE_MAX + 10)]
    done, _ = await asyncio.wait(asked, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.2)
    refused = [task.result() for task in asked if task.done()]
    assert done
    assert {(status, wait, told["error"]["code"]) for status, wait, told in refused} == {
        (429, "1", "firewall.overloaded")
    }
    assert len(refused) == 10
    rig.connectors["mail"].on_perform = None
    async with asyncio.timeout(2):
        for _ in range(20):
            assert (await ask(session, served.url("run_2") + "/v1/tools/email.list"))[0] == 200
    go.set()
    assert sorted(status for status, _, _ in await asyncio.gather(*asked)) == [200] * (CALLS_MAX + QUEUE_MAX) + (
        [429] * 10
    )


async def test_a_paused_run_hears_it_on_every_gateway_and_the_other_one_goes_on(
    served: Served, session: aiohttp.ClientSession
) -> None:
    stops = Stops(served.rig.ledger, served.rig.runs, served.rig.clock)
    await stops.carry_out("pause", {"run": "run_1", "by": "anna"})
    read = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'
    chat = b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":1}'
    asked = [
        (served.url("run_1") + "/v1/tools/email.list", b"{}"),
        (served.url("run_1", 1) + "/v1/chat/completions", chat),
        (served.url("run_1", 2) + "/", read),
        (served.url("run_1", 2) + "/", b"[" + read + b"]"),
    ]
    for url, body in asked:
        status, wait, told = await ask(session, url, body)
        assert (status, wait) == (503, "10"), url
        assert b"firewall.run_paused" in msgspec.json.encode(told), url
    for gateway, path in ((0, "/v1/tools"), (0, "/v1/decisions/dec_1"), (1, "/v1/models")):
        async with session.get(served.url("run_1", gateway) + path) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
    assert (await ask(session, served.url("run_2") + "/v1/tools/email.list"))[0] == 200
    assert (await ask(session, served.url("run_2", 2) + "/", read))[0] == 200


async def test_a_batch_that_a_pause_falls_into_tells_what_was_done_and_what_was_not(
    served: Served, session: aiohttp.ClientSession
) -> None:
    rig = served.rig
    stops = Stops(rig.ledger, rig.runs, rig.clock)

    async def pause() -> None:
        stops.hear("pause", {"run": "run_1", "by": "anna"})

    rig.connectors["chain"].on_perform = pause
    rig.connectors["chain"].result = {"transaction_hash": "0x1"}
    address = rig.run.view.address
    pay = {"from": address, "to": PAYEE, "value": "0x1"}
    batch = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(
            [("eth_sendTransaction", [pay]), ("eth_sendTransaction", [pay]), ("eth_getBalance", [address, "latest"])]
        )
    ]
    status, _, told = await ask(session, served.url("run_1", 2) + "/", msgspec.json.encode(batch))
    assert status == 200
    assert rig.effects == 1
    assert [each["error"]["data"]["code"] for each in told[1:]] == ["firewall.run_paused"] * 2
    assert told[0]["result"] == "0x1"
