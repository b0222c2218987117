"""One instance unless more are granted: however fast they are asked for, also of two firewalls that share a ledger."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from safebox.firewall.connectors.compute import ComputeConnector
from safebox.firewall.connectors.leases import LeaseBook
from safebox.firewall.connectors.prices import ImagePrice
from safebox.firewall.core.action import Call
from safebox.firewall.core.record import encode_event
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.drill.clock import NOW_NS
from safebox.firewall.drill.judge import Unwatched
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.ledger import Ledger
from safebox.firewall.pipeline import Pipeline
from safebox.firewall.store.reader import read_events
from safebox.firewall.store.sqlite import SqliteStore
from safebox.sandbox.provider import InstanceStatus
from tests.twins import MANDATE, Rig, run_started

GRANT = """
[compute]
provider = "local"
images = ["base"]
commands = [["true"]]
budget = "5 USD"
instances = {}
max_minutes = 10
"""


class SlowProvider:
    """Takes a moment to start a container, as a real one does, and knows the most that ran at a time."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.most = 0

    def start(
        self, *, reference: str, image: str, command: tuple[str, ...], input: str | None, seconds: int,
        digest: str | None = None,
    ) -> str:  # fmt: skip
        time.sleep(0.02)
        self.running.add(reference)
        self.most = max(self.most, len(self.running))
        return reference

    def status(self, instance: str) -> InstanceStatus:
        return InstanceStatus("running", None, "", 1, None, None)

    def stop(self, instance: str) -> None:
        self.running.discard(instance)

    discard = stop

    def find(self, reference: str) -> str | None:
        return reference if reference in self.running else None

    close = find

    def image_digest(self, image: str) -> str | None:
        return "sha256:1"


class Remembering(SlowProvider):
    """Tells of what has ended for ever, as one may that removes nothing."""

    def find(self, reference: str) -> str | None:
        return reference

    def status(self, instance: str) -> InstanceStatus:
        return InstanceStatus("stopped", None, "", 1, None, None)


class Renting(Rig):
    """The real pack and the real connector over a provider that counts."""

    def __init__(
        self, folder: Path, instances: int, provider: SlowProvider | None = None, ledger: Ledger | None = None
    ) -> None:
        self.provider = provider or SlowProvider()
        super().__init__(mandate=MANDATE + GRANT.format(instances), ledger=ledger)
        self.clock.prefix = self.ledger.firewall[-1:]
        prices = {"base": ImagePrice(per_minute=100, minimum=100)}
        compute = ComputeConnector(self.provider, prices, LeaseBook(folder), lambda run: self.ledger.book(run).rented)
        self.pipeline = Pipeline(
            engine=EmbeddedEngine(load_bundle([pack_folder()])),
            ledger=self.ledger,
            connectors={"compute": compute},
            clock=self.clock,
            runs=self.runs,
            metrics=self.metrics,
            watch=Unwatched(),
        )

    async def ask(self, tool: str, **arguments: object) -> Reply:
        return await self.pipeline.handle(Call(run="run_1", tool=tool, arguments=arguments))

    async def start(self) -> Reply:
        return await self.ask("compute.start", image="base", command=["true"], minutes=1)


@pytest.mark.parametrize("instances", [1, 2])
async def test_of_many_asked_at_once_as_many_run_as_were_granted(tmp_path: Path, instances: int) -> None:
    rig = Renting(tmp_path, instances)
    replies = await asyncio.gather(*(rig.start() for _ in range(6)))
    assert rig.provider.most == instances
    assert sorted(reply.code or "" for reply in replies) == [""] * instances + ["compute.too_many_instances"] * (
        6 - instances
    )


@pytest.mark.parametrize("instances", [1, 3])
async def test_two_firewalls_on_one_ledger_rent_together_no_more_than_was_granted(
    tmp_path: Path, instances: int
) -> None:
    path, provider = tmp_path / "ledger.sqlite3", SlowProvider()
    begin = SqliteStore(path)
    await begin.append([encode_event(run_started("run_1", MANDATE + GRANT.format(instances), NOW_NS))])
    begin.close()
    ledgers = [Ledger(SqliteStore(path, shared=True), firewall=name, mine=name.__eq__) for name in ("fw_a", "fw_b")]
    rigs = [
        Renting(tmp_path / ledger.firewall, instances, provider, ledger) for ledger in ledgers
    ]  # each has leases of its own
    replies = await asyncio.gather(*(rig.start() for _ in range(4) for rig in rigs))
    assert provider.most == instances
    assert sum(reply.status is Status.DONE for reply in replies) == instances
    codes = {reply.code for reply in replies if reply.status is not Status.DONE}
    assert codes == {"compute.too_many_instances"}
    for ledger in ledgers:
        ledger.close()


async def test_what_two_firewalls_settle_at_once_is_refunded_once(tmp_path: Path) -> None:
    path, provider = tmp_path / "ledger.sqlite3", Remembering()
    begin = SqliteStore(path)
    await begin.append([encode_event(run_started("run_1", MANDATE + GRANT.format(1), NOW_NS))])
    begin.close()
    ledgers = [Ledger(SqliteStore(path, shared=True), firewall=name, mine=name.__eq__) for name in ("fw_a", "fw_b")]
    rigs = [Renting(tmp_path / ledger.firewall, 1, provider, ledger) for ledger in ledgers]
    started = await rigs[0].ask("compute.start", image="base", command=["true"], minutes=10)
    assert started.result is not None
    shutil.copytree(tmp_path / "fw_a", tmp_path / "fw_b", dirs_exist_ok=True)  # so that neither knows of the other's
    instance = started.result["instance"]
    replies = await asyncio.gather(*(rig.ask("compute.stop", instance=instance) for rig in rigs))
    assert [reply.status for reply in replies] == [Status.DONE, Status.DONE]
    for ledger in ledgers:
        ledger.close()
    settled = [event for _, event in read_events(path) if event["event"] == "settled"]
    assert sum(len(event["refunds"]) for event in settled) == 2, "each says that it gave something back"
    line = Ledger(SqliteStore(path, shared=True)).book("run_1").lines["compute", "USD"]
    assert (line.spent, line.reserved) == (100, 0)


async def test_a_place_that_was_given_back_may_be_taken_again(tmp_path: Path) -> None:
    rig = Renting(tmp_path, 1)
    first = await rig.start()
    assert (first.status, first.result is not None) == (Status.DONE, True)
    stopped, *late = await asyncio.gather(
        rig.ask("compute.stop", instance=(first.result or {})["instance"]), *(rig.start() for _ in range(3))
    )
    late.append(await rig.start())  # those before it may have been judged before the stop was done
    assert (stopped.status, rig.provider.most) == (Status.DONE, 1)
    assert sum(reply.status is Status.DONE for reply in late) == 1
