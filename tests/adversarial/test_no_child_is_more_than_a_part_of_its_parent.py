"""No child is more than a part of its parent: what is wider, deeper, unlisted or one too many starts nothing.

The policies, the pipeline, the books and the spawn connector are the real ones; launchers are noted, not started.
"""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from safebox.firewall.children import Children
from safebox.firewall.connectors.spawn import SpawnConnector
from safebox.firewall.core.action import Call
from safebox.firewall.core.decision import Answer
from safebox.firewall.core.document import settled_event
from safebox.firewall.core.kinship import trees_of
from safebox.firewall.core.money import Amount
from safebox.firewall.core.outcome import Outcome
from safebox.firewall.core.record import Charge, Decided, RunEnded, RunStarted, Settled
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.core.windows import HOUR, MINUTE
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.errors import CallerError, ConfigError
from safebox.firewall.gateways.server import GatewayServer
from safebox.firewall.launch import Launches
from safebox.firewall.ledger import Ledger
from safebox.firewall.lifecycle import Lifecycle
from safebox.firewall.recovery import recover
from safebox.firewall.runs import RunNotLive
from safebox.firewall.stops import Stops
from safebox.firewall.store.reader import read_events
from safebox.firewall.store.sqlite import SqliteStore
from safebox.firewall.treasury import Treasury
from tests.twins import MemoryStore, Rig, ScriptedEngine, TwinHost

PARENT = """
[agent]
name = "parent"
image = "base"
command = ["python", "main.py"]
purpose = "Share the work out."
task = "Have two children each send a mail."
expires = "2h"
[mail]
recipients = ["a@b.example", "c@d.example"]
per_hour = 10
[inference]
models = ["small", "large"]
tokens = 1000
budget = "10 USD"
[lineage]
children = 4
depth = 2
images = ["base"]
commands = [["python", "child.py"]]
"""
CHILD = """
[agent]
name = "child"
image = "base"
command = ["python", "child.py"]
purpose = "Do a part."
task = "Send one mail."
expires = "1h"
[mail]
recipients = ["a@b.example"]
per_hour = 5
[inference]
models = ["small"]
tokens = 300
budget = "3 USD"
[lineage]
children = 1
depth = 1
images = ["base"]
commands = [["python", "child.py"]]
"""
LINE = "inference", "USD"
MICRO = 10**6


class House:
    """One life of a firewall over a store, with one parent that people started."""

    def __init__(self, store: MemoryStore | None = None, engine: Any = None, ledger: Ledger | None = None) -> None:
        pack = EmbeddedEngine(load_bundle([pack_folder()])) if engine is None else engine
        self.rig = rig = Rig(store, engine=cast("ScriptedEngine", pack), ledger=ledger)
        rig.clock.prefix = rig.ledger.firewall[-1:]
        rig.runs.remove("run_1")
        self.host = TwinHost()
        self.children = Children(self.host, rig.ledger, rig.runs, lambda: self.lifecycle, rig.metrics)
        can = {*rig.connectors, "spawn"}
        connector = SpawnConnector(self.children, rig.ledger, can)
        cast("dict[str, Any]", rig.connectors)["spawn"] = connector
        self.lifecycle = Lifecycle(
            ledger=rig.ledger,
            runs=rig.runs,
            signer=cast("Any", None),  # no mandate here has a wallet
            treasury=Treasury(rig.pipeline, rig.runs, "0x0", self._nothing, rig.metrics, self._unnoted),
            gateways=GatewayServer(rig.pipeline, rig.metrics),
            clock=cast("Any", rig.clock),
            launches=Launches(
                engine=rig.engine, ledger=rig.ledger, runs=rig.runs, clock=rig.clock, metrics=rig.metrics
            ),
            connectors=can,
        )

    async def _nothing(self, _: str) -> int:
        return 0

    async def _unnoted(self, run: str, amount: object) -> None:
        raise AssertionError(f"{run} earned {amount}")

    async def gone(self, runs: list[str]) -> None:
        for run in runs:
            await self.lifecycle.end(run, "launcher_gone", None)

    async def begin(self, mandate: str = PARENT) -> str:
        return str((await self.lifecycle.start(mandate, "safebox.toml", None, "none"))["run"])

    async def spawn(self, parent: str, mandate: str = CHILD, **changes: Any) -> Reply:
        asked = {"image": "base", "command": ["python", "child.py"], "mandate": mandate, **changes}
        return await self.rig.pipeline.handle(Call(run=parent, tool="agent.spawn", arguments=asked))

    @property
    def started(self) -> list[RunStarted]:
        return [each for each in self.rig.store.events if isinstance(each, RunStarted) and each.spawned_by]

    def counted(self, outcome: str) -> float:
        return self.rig.metric("safebox_children_total", outcome=outcome)

    def line(self, run: str) -> tuple[int, int, int]:
        line = self.rig.ledger.book(run).lines[LINE]
        return line.reserved, line.lent, line.remaining


def child_of(reply: Reply) -> str:
    assert reply.status == Status.DONE, reply.message
    assert reply.result is not None
    assert reply.result["state"] == "started"
    return str(reply.result["run"])


@pytest.fixture
async def house() -> tuple[House, str]:
    found = House()
    return found, await found.begin()


async def test_a_narrower_child_starts_once_and_is_handed_over_once(house: tuple[House, str]) -> None:
    home, parent = house
    reply = await home.spawn(parent, input="a part of the job")
    child = child_of(reply)
    assert home.host.launched == [child]
    assert [home.counted(outcome) for outcome in ("started", "failed", "refused")] == [1, 0, 0]
    depths, trees = trees_of(run.book for run in home.rig.runs.all())
    assert (dict(depths), trees) == ({0: 1, 1: 1}, 1)
    assert home.line(parent) == (0, 3 * MICRO, 7 * MICRO)
    view = msgspec.json.decode(home.rig.ledger.book(child).started.run_view)
    assert (view["parent"], view["root"], view["depth"]) == (parent, parent, 1)
    with pytest.raises(ConfigError, match="lives in none"):
        await home.children.adopt(child, "docker")
    told = await home.children.adopt(child, "")
    assert (told["run"], told["input"], told["engine"]) == (child, "a part of the job", "none")
    assert told["command"] == ["python", "child.py"]
    assert told["environment"]["SAFEBOX_TASK"] == "Send one mail."
    for again in (child, parent, "run_nobody"):
        with pytest.raises(CallerError, match="waits for a launcher"):
            await home.children.adopt(again, "")
    mail = {"to": ["a@b.example"], "subject": "s", "body": "b"}
    assert (await home.rig.pipeline.handle(Call(run=child, tool="email.send", arguments=mail))).status == Status.DONE


WIDER = [
    ('expires = "1h"', 'expires = "3h"'),
    ('recipients = ["a@b.example"]', 'recipients = ["x@y.example"]'),
    ("per_hour = 5", "per_hour = 11"),
    ('models = ["small"]', 'models = ["other"]'),
    ("tokens = 300", "tokens = 1001"),
    ('budget = "3 USD"', 'budget = "10.01 USD"'),
    ("children = 1", "children = 4"),
    ("depth = 1", "depth = 2"),
    ('images = ["base"]', 'images = ["base", "other"]'),
    ('commands = [["python", "child.py"]]', 'commands = [["python"]]'),
]


@pytest.mark.parametrize(("fits", "more"), WIDER, ids=[more for _, more in WIDER])
async def test_what_is_wider_in_one_field_starts_nothing(house: tuple[House, str], fits: str, more: str) -> None:
    home, parent = house
    assert fits in CHILD
    reply = await home.spawn(parent, CHILD.replace(fits, more))
    assert reply.status == Status.DENIED
    (decided,) = (each for each in home.rig.store.events if isinstance(each, Decided))
    assert "lineage.wider" in {reason.code for reason in decided.answer.reasons}
    assert (home.started, home.host.launched) == ([], [])
    assert home.counted("refused") == 1
    assert home.line(parent) == (0, 0, 10 * MICRO)


async def test_a_mandate_of_another_command_or_image_or_none_at_all_starts_nothing(house: tuple[House, str]) -> None:
    home, parent = house
    assert (await home.spawn(parent, command=["python", "main.py"])).status == Status.INVALID
    assert (await home.spawn(parent, image="other")).status == Status.INVALID
    assert (await home.spawn(parent, "no mandate")).status == Status.INVALID
    assert (await home.spawn(parent, CHILD.replace("per_hour = 5", 'per_hour = 5\ninbox = "x"'))).status in (
        Status.INVALID,
        Status.DENIED,
    )
    unlisted = CHILD.replace('command = ["python", "child.py"]', 'command = ["python", "main.py"]', 1)
    assert (await home.spawn(parent, unlisted, command=["python", "main.py"])).code == "lineage.command_not_listed"
    foreign = CHILD.replace('image = "base"', 'image = "other"')
    assert (await home.spawn(parent, foreign, image="other")).code == "lineage.image_not_listed"
    assert (home.started, home.host.launched) == ([], [])


LEAF = CHILD[: CHILD.index("[lineage]")]


async def test_no_generation_too_deep_and_no_child_too_many(house: tuple[House, str]) -> None:
    home, parent = house
    child = child_of(await home.spawn(parent))
    small = LEAF.replace("300", "100").replace("3 USD", "1 USD")
    grandchild = child_of(await home.spawn(child, small))
    assert home.line(child) == (0, MICRO, 2 * MICRO)
    assert (await home.spawn(child, small)).code == "lineage.too_many_children"
    assert (await home.spawn(grandchild, small)).status != Status.DONE
    assert (await home.spawn(parent, small)).status == Status.DONE
    assert (await home.spawn(parent, small)).status == Status.DONE
    assert (await home.spawn(parent, small)).code == "lineage.too_many_children"
    assert len(home.started) == len(home.host.launched) == 4


async def test_two_spawns_at_once_share_no_budget_and_no_place(house: tuple[House, str]) -> None:
    home, parent = house
    half = LEAF.replace("3 USD", "6 USD")
    replies = await asyncio.gather(*(home.spawn(parent, half) for _ in range(3)))
    assert sorted(str(reply.status) for reply in replies) == ["denied", "denied", "done"]
    assert home.line(parent) == (0, 6 * MICRO, 4 * MICRO)
    small = LEAF.replace("300", "10").replace("3 USD", "0.1 USD")
    replies = await asyncio.gather(*(home.spawn(parent, small) for _ in range(5)))
    assert {reply.code for reply in replies if reply.status != Status.DONE} == {"lineage.too_many_children"}
    assert sum(reply.status == Status.DONE for reply in replies) == 3
    assert len(home.started) == 4


class FarEngine(EmbeddedEngine):
    """The real policies, asked as if they were elsewhere: others go on meanwhile."""

    async def decide(self, document: bytes) -> Answer:
        await asyncio.sleep(0.05)
        return await super().decide(document)


async def test_runs_of_one_tree_that_spawn_at_once_are_each_counted_by_the_other() -> None:
    home = House(engine=FarEngine(load_bundle([pack_folder()])))
    parent = await home.begin()
    child = child_of(await home.spawn(parent))
    small = LEAF.replace("300", "10").replace("3 USD", "0.1 USD")
    replies = await asyncio.gather(home.spawn(parent, small), home.spawn(child, small))
    assert [reply.status for reply in replies] == [Status.DONE, Status.DONE]
    decisions = [each for each in home.rig.store.events if isinstance(each, Decided) and each.tool == "agent.spawn"]
    trees = [msgspec.json.decode(each.facts)["lineage"]["tree"] for each in decisions]
    assert trees == [1, 2, 3]


def paced(per_hour: int) -> str:
    """Of a parent whose tree begins so many children an hour."""
    return PARENT.replace("children = 4", f"children = 12\nper_hour = {per_hour}").replace('"2h"', '"4h"')


FAST = LEAF.replace("300", "10").replace("3 USD", "0.1 USD")


async def test_two_parents_of_one_tree_get_no_more_children_an_hour_than_the_tree() -> None:
    home = House(engine=FarEngine(load_bundle([pack_folder()])))
    parent = await home.begin(paced(5))
    wide = CHILD.replace("children = 1", "children = 5\nper_hour = 5")
    child = child_of(await home.spawn(parent, wide))
    replies = await asyncio.gather(*(home.spawn(run, FAST) for _ in range(4) for run in (parent, child)))
    assert sorted(str(reply.status) for reply in replies) == ["denied"] * 4 + ["done"] * 4
    assert {reply.code for reply in replies if reply.status != Status.DONE} == {"lineage.too_fast"}
    assert len(home.started) == len(home.host.launched) == 5
    home.rig.clock.now += HOUR + 2 * MINUTE
    assert (await home.spawn(parent, FAST)).status == Status.DONE


async def test_a_child_cannot_be_given_a_faster_rate_than_its_parents_or_none(house: tuple[House, str]) -> None:
    home, _ = house
    parent = await home.begin(paced(3))
    for faster in ("children = 1\nper_hour = 4", "children = 1"):
        await home.spawn(parent, CHILD.replace("children = 1", faster))
    decisions = [each for each in home.rig.store.events if isinstance(each, Decided)]
    assert [{"lineage.wider"} <= {reason.code for reason in each.answer.reasons} for each in decisions] == [True] * 2
    assert home.started == []


async def test_births_count_after_a_restart_and_whether_or_not_the_child_came_to_be() -> None:
    home = House()
    parent = await home.begin(paced(2))
    home.host.broken = True
    assert (await home.spawn(parent, FAST)).status == Status.FAILED
    home.host.broken = False
    assert (await home.spawn(parent, FAST)).status == Status.DONE
    after = House(home.rig.store)
    after.lifecycle.restore()
    assert (await after.spawn(parent, FAST)).code == "lineage.too_fast"
    assert len(home.started) == 2


async def test_two_firewalls_on_one_ledger_start_no_more_children_an_hour_than_a_tree_may_have(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"

    def firewall(name: str) -> House:
        ledger = Ledger(SqliteStore(path, shared=True), firewall=name, mine=lambda by: by == name)
        return House(engine=FarEngine(load_bundle([pack_folder()])), ledger=ledger)

    first = firewall("fw_a")
    parent = await first.begin(paced(4))
    second = firewall("fw_b")
    second.lifecycle.restore()
    replies = await asyncio.gather(*(home.spawn(parent, FAST) for _ in range(5) for home in (first, second)))
    for home in (first, second):
        home.rig.ledger.close()
    events = [event for _, event in read_events(path)]
    allowed = [each for each in events if each["event"] == "decided" and each["answer"]["verdict"] == "allow"]
    assert len(allowed) == 4
    assert {each["firewall"] for each in allowed} == {"fw_a", "fw_b"}, "both took part"
    begun = [each for each in events if each["event"] == "run_started" and each["spawned_by"]]
    assert len(begun) == sum(reply.status == Status.DONE for reply in replies) <= 4


async def children_of(home: House, run: str) -> list[dict[str, Any]]:
    reply = await home.rig.pipeline.handle(Call(run=run, tool="agent.children", arguments={}))
    assert reply.status == Status.DONE, reply.message
    assert reply.result is not None
    found: list[dict[str, Any]] = reply.result["children"]
    return found


async def test_a_parent_is_told_what_became_of_its_own_children_and_of_nobody_else(house: tuple[House, str]) -> None:
    home, parent = house
    stranger = await home.begin()
    assert await children_of(home, parent) == []
    child = child_of(await home.spawn(parent))
    other = child_of(await home.spawn(stranger))
    small = LEAF.replace("300", "100").replace("3 USD", "1 USD")
    grandchild = child_of(await home.spawn(child, small))
    (told,) = await children_of(home, parent)
    assert told == {"run": child, "agent": "child", "state": "live", "exit_code": None, "reason": None, "spent": []}
    assert [each["run"] for each in await children_of(home, child)] == [grandchild]
    assert [each["run"] for each in await children_of(home, stranger)] == [other]
    for run in (child, grandchild):
        cost = (Charge(LINE[0], Amount(10_000, LINE[1])),)
        event = home.rig.decided_for(run, charges=cost)
        await home.rig.ledger.reserve(event)
        await home.rig.ledger.settle(settled_event(event, Outcome(status="done", charges=cost), at_ns=event.at_ns))
    await home.lifecycle.end(grandchild, "exited", 0)
    await home.lifecycle.end(child, "exited", 3)
    (told,) = await children_of(home, parent)
    assert (told["state"], told["exit_code"], told["reason"]) == ("over", 3, "exited")
    assert told["spent"] == ["0.02 USD (inference)"], "with what its own child spent"
    after = House(home.rig.store)
    after.lifecycle.restore()
    assert await children_of(after, parent) == [told]
    assert (await home.rig.pipeline.handle(Call(run=child, tool="agent.children", arguments={}))).status != Status.DONE


async def test_a_run_without_a_grant_is_told_of_no_children(house: tuple[House, str]) -> None:
    home, parent = house
    leaf = child_of(await home.spawn(parent, FAST))
    reply = await home.rig.pipeline.handle(Call(run=leaf, tool="agent.children", arguments={}))
    assert reply.code == "lineage.not_granted"


def test_children_and_containers_are_started_in_one_queue_as_they_share_instances() -> None:
    spawn, rent = TOOLS["agent.spawn"], TOOLS["compute.start"]
    assert spawn.queue == rent.queue
    assert spawn.ordered
    assert rent.ordered


async def test_a_child_reads_its_parents_inbox_or_none() -> None:
    home = House()
    parent = await home.begin(PARENT.replace("per_hour = 10", 'per_hour = 10\ninbox = "inbox"'))
    other = await home.spawn(parent, LEAF.replace("per_hour = 5", 'per_hour = 5\ninbox = "secrets"'))
    assert other.status == Status.INVALID
    assert home.started == []
    child_of(await home.spawn(parent, LEAF.replace("per_hour = 5", 'per_hour = 5\ninbox = "inbox"')))


async def test_a_child_that_cannot_be_launched_is_ended_and_its_budget_is_its_parents_again(
    house: tuple[House, str],
) -> None:
    home, parent = house
    home.host.broken = True
    reply = await home.spawn(parent)
    assert reply.status == Status.FAILED
    assert home.counted("failed") == 1
    (child,) = home.started
    assert [each.run for each in home.rig.store.events if isinstance(each, RunEnded)] == [child.run]
    assert home.line(parent) == (0, 0, 10 * MICRO)
    with pytest.raises(CallerError):
        await home.children.adopt(child.run, "")


async def test_a_parent_that_is_killed_before_the_child_begins_has_none(house: tuple[House, str]) -> None:
    home, parent = house
    stops = Stops(home.rig.ledger, home.rig.runs, home.rig.clock)
    home.rig.store.stall = asyncio.Event()
    asking = asyncio.create_task(home.spawn(parent))
    for _ in range(50):
        await asyncio.sleep(0)
    stops.hear("kill", {"run": parent})
    home.rig.store.stall.set()
    assert (await asking).status != Status.DONE
    assert (home.started, home.host.launched) == ([], [])


@pytest.mark.parametrize("how", ["killed", "ended"])
async def test_what_descends_from_a_parent_that_is_over_acts_no_more(house: tuple[House, str], how: str) -> None:
    home, parent = house
    child = child_of(await home.spawn(parent))
    small = LEAF.replace("300", "100").replace("3 USD", "1 USD")
    grandchild = child_of(await home.spawn(child, small))
    told: list[dict[str, Any]] = []
    home.rig.runs.watch(told.append)
    if how == "killed":
        await Stops(home.rig.ledger, home.rig.runs, home.rig.clock).carry_out("kill", {"run": parent})
    else:
        await home.lifecycle.end(parent, "exited", 0)
    assert {child, grandchild} <= {event["run"] for event in told if event["event"] == "stop"}
    mail = {"to": ["a@b.example"], "subject": "s", "body": "b"}
    for run in (child, grandchild):
        assert (await home.rig.pipeline.handle(Call(run=run, tool="email.send", arguments=mail))).status != Status.DONE
        assert (await home.spawn(run, small)).status != Status.DONE
        with pytest.raises(RunNotLive):
            await home.children.adopt(run, "")
    assert len(home.started) == 2


async def test_a_firewall_killed_between_any_two_records_of_a_spawn_gives_one_child_or_none() -> None:
    home = House()
    parent = await home.begin()
    before = len(home.rig.store.records)
    assert (await home.spawn(parent)).status == Status.DONE
    records = home.rig.store.records
    seen: set[tuple[int, int]] = set()
    for cut in range(before, len(records) + 1):
        store = MemoryStore()
        store.records = records[:cut]
        after = House(store)
        after.lifecycle.restore()
        await recover(after.rig.ledger, after.rig.connectors, after.rig.clock, after.rig.runs)
        allowed = [each for each in store.events if isinstance(each, Decided) and each.tool == "agent.spawn"]
        ends = [each.status for each in store.events if isinstance(each, Settled)]
        assert len(after.started) <= len(allowed) <= 1
        assert ends == (["done"] if after.started else ["failed"] if allowed else [])
        lent = 3 * MICRO * len(after.started)
        assert after.line(parent) == (0, lent, 10 * MICRO - lent)
        assert after.host.launched == [], "nothing starts twice"
        for child in after.started:
            with pytest.raises(CallerError, match="waits for a launcher"):
                await after.children.adopt(child.run, "")
            await after.lifecycle.end(child.run, "launcher_gone", None)
        assert after.line(parent) == (0, 0, 10 * MICRO)
        again = Ledger(store).book(parent).lines[LINE]
        assert (again.reserved, again.lent, again.remaining) == (0, 0, 10 * MICRO)
        seen.add((len(allowed), len(after.started)))
    assert seen == {(0, 0), (1, 0), (1, 1)}, "each gap was tried"


def fail_after(store: MemoryStore, left: int) -> None:
    """Let so many commits pass, and none after them."""
    append, commits = store.append, itertools.count()

    def counted(*records: Any, **how: Any) -> Any:
        store.broken = next(commits) >= left
        return append(*records, **how)

    cast("Any", store).append = counted


async def test_a_ledger_that_fails_at_any_record_of_a_spawn_leaves_no_child_that_acts() -> None:
    for fails in range(6):
        home = House()
        parent = await home.begin()
        left = [fails]
        append = home.rig.store.append

        def counted(
            *records: Any, _append: Any = append, _left: list[int] = left, _home: House = home, **how: Any
        ) -> Any:
            _home.rig.store.broken = _left[0] <= 0
            _left[0] -= 1
            return _append(*records, **how)

        cast("Any", home.rig.store).append = counted
        reply = await home.spawn(parent)
        lent = 3 * MICRO * len(home.started)
        if reply.status == Status.DONE:
            assert len(home.started) == len(home.host.launched) == 1
        durable = Ledger(home.rig.store).book(parent).lines[LINE]
        assert durable.lent == lent
        assert durable.reserved + durable.lent in (0, 3 * MICRO)


async def test_a_child_that_nobody_takes_up_is_ended(house: tuple[House, str], monkeypatch: pytest.MonkeyPatch) -> None:
    home, parent = house
    monkeypatch.setattr("safebox.firewall.children.ADOPT_SECONDS", 0.0)
    monkeypatch.setattr("safebox.firewall.children._LOOK_SECONDS", 0.01)
    child = child_of(await home.spawn(parent))
    following = asyncio.create_task(home.children.follow(home.gone))
    over = asyncio.Event()
    home.rig.runs.watch(lambda event: over.set() if event["event"] == "run_ended" else None)
    async with asyncio.timeout(5):
        await over.wait()
    following.cancel()
    ends = [each for each in home.rig.store.events if isinstance(each, RunEnded)]
    assert [(each.run, each.reason) for each in ends] == [(child, "launcher_gone")]
    assert home.line(parent) == (0, 0, 10 * MICRO)
    with pytest.raises(CallerError):
        await home.children.adopt(child, "")
