"""Another image under the same name is not rented: a listed digest is that or nothing, a name what it was at first.

The pack, the pipeline, the books and the connector are the real ones, over a provider that only counts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from safebox.firewall.connectors.compute import ComputeConnector
from safebox.firewall.connectors.leases import LeaseBook
from safebox.firewall.connectors.prices import ImagePrice
from safebox.firewall.core.action import Call
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.drill.judge import Unwatched
from safebox.firewall.drill.world import MemoryProvider
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.errors import ConfigError
from safebox.firewall.ledger import Ledger
from safebox.firewall.pipeline import Pipeline
from tests.twins import MANDATE, MemoryStore, Rig

ONE, OTHER = ("sha256:" + digit * 64 for digit in "12")
GRANT = """
[compute]
provider = "local"
images = {}
commands = [["true"]]
budget = "5 USD"
instances = 3
max_minutes = 10
"""


class Renting(Rig):
    """One run that may rent these images."""

    def __init__(self, folder: Path, *images: str, store: MemoryStore | None = None) -> None:
        mandate = MANDATE + GRANT.format(str(list(images)).replace("'", '"'))
        ledger = Ledger(store) if store is not None else None
        super().__init__(store, mandate=mandate, ledger=ledger)
        self.provider = MemoryProvider([f"base@{ONE}"])
        prices = {name: ImagePrice(per_minute=100, minimum=100) for name in ("base", "second")}
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

    async def start(self, image: str) -> Reply:
        asked = {"image": image, "command": ["true"], "minutes": 1}
        return await self.pipeline.handle(Call(run="run_1", tool="compute.start", arguments=asked))


async def test_a_listed_digest_is_rented_by_that_digest_alone(tmp_path: Path) -> None:
    rig = Renting(tmp_path, f"base@{ONE}")
    assert (await rig.start(f"base@{ONE}")).status == Status.DONE
    assert (await rig.start("base")).code == "compute.image_not_listed"
    assert (await rig.start(f"base@{OTHER}")).code == "compute.image_not_listed"
    rig.provider.changed = True
    assert (await rig.start(f"base@{ONE}")).code == "compute.other_image"
    assert len(rig.provider.started) == 1


async def test_a_digest_that_the_provider_does_not_have_is_not_rented(tmp_path: Path) -> None:
    rig = Renting(tmp_path, f"base@{OTHER}")
    assert (await rig.start(f"base@{OTHER}")).code == "compute.other_image"
    assert rig.provider.started == {}


async def test_a_name_is_what_it_was_at_its_first_start_also_after_a_restart(tmp_path: Path) -> None:
    rig = Renting(tmp_path, "base", "second")
    assert (await rig.start("base")).status == Status.DONE
    rig.provider.changed = True
    assert (await rig.start("base")).code == "compute.other_image"
    assert (await rig.start("second")).status == Status.DONE, "which was not rented before"
    after = Renting(tmp_path, "base", "second", store=rig.store)
    after.provider.changed = True
    assert (await after.start("base")).code == "compute.other_image"
    assert (await after.start("second")).status == Status.DONE
    after.provider.changed = False
    assert (await after.start("second")).code == "compute.other_image"


@pytest.mark.parametrize("image", ["base@", "base@latest", "base@sha256:12", f"base@{ONE}@{ONE}", f"base@{ONE}x"])
def test_what_is_no_digest_cannot_be_listed(tmp_path: Path, image: str) -> None:
    with pytest.raises(ConfigError):
        Renting(tmp_path, image)
