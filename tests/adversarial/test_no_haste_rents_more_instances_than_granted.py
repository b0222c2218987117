"""One instance unless more are granted: counted at the provider, however fast they are asked for, and never over it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from safebox.firewall.connectors.compute import ComputeConnector
from safebox.firewall.connectors.leases import LeaseBook
from safebox.firewall.connectors.prices import ImagePrice
from safebox.firewall.core.action import Call
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.drill.judge import Unwatched
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.pipeline import Pipeline
from safebox.sandbox.provider import InstanceStatus
from tests.twins import MANDATE, Rig

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


class Renting(Rig):
    """The real pack and the real connector over a provider that counts."""

    def __init__(self, folder: Path, instances: int) -> None:
        self.provider = SlowProvider()
        prices = {"base": ImagePrice(per_minute=100, minimum=100)}
        compute = ComputeConnector(self.provider, prices, LeaseBook(folder))
        super().__init__(mandate=MANDATE + GRANT.format(instances))
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
