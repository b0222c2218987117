"""A firewall with a real node, a real mail server and a real sandbox engine, and agents that are run under it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from safebox.agents.toolbox import Mail
from safebox.firewall.keystore import Keystore
from safebox.sandbox.demo import Story, stories
from tests.agents.people import RICH, People, acting, mails
from tests.contracts.conftest import real_engine
from tests.integration.chain_nodes import CHAIN_ID, anvil_process
from tests.live import Chain, Done, Home, home_at, share_images
from tests.real_parts import ROOT

AGENTS: Final = ROOT / "agents"


class Ran(NamedTuple):
    """One agent's run: how its program ended and what it printed, and its story by the ledger."""

    done: Done
    said: str
    story: Story


@dataclass(frozen=True)
class World:
    """What there is outside of the firewall, and the firewall's home."""

    home: Home
    chain: Chain
    engine: str
    owner: str

    def run(self, folders: Sequence[Path]) -> dict[str, Ran]:
        """Run agents at once, each to its end; what came of each, by its name."""
        with acting(People(self.chain, self.home.path / "mail")):
            started = [self.home.start("run", str(folder), "--engine", self.engine, "--json") for folder in folders]
            ended = [each.end() for each in started]
        told = {story.agent: story for story in stories(self.home.ledger)}
        return {
            folder.name: Ran(done, self.home.agent_log(told[folder.name].run), told[folder.name])
            for folder, done in zip(folders, ended, strict=True)
        }

    def mails(self) -> list[Mail]:
        """Every mail that left."""
        return list(mails(self.home.path / "mail"))

    def decided(self, run: str) -> list[dict[str, Any]]:
        """Every decision about what an agent asked for."""
        return [each for each in self.home.events("decided") if each["run"] == run and each["caller"] == "agent"]

    def rented(self, run: str) -> list[str]:
        """What each container that a run rented was given as input."""
        done = {each["action_id"] for each in self.home.events("settled") if each["status"] == "done"}
        asked = [each for each in self.decided(run) if each["tool"] == "compute.start" and each["action_id"] in done]
        return [each["action"]["args"]["input"] or "" for each in asked]

    def children(self, run: str) -> list[str]:
        """The runs that a run has started."""
        started = self.home.events("run_started")
        return [each["run"] for each in started if each["run_view"].get("parent") == run]


@contextmanager
def world(folder: Path, engine: str, *options: str) -> Generator[World]:
    """Start everything; `options` are further ones of `safebox serve`."""
    real_engine(engine)  # with its image
    with home_at(folder / "h") as home, anvil_process() as url:
        share_images(home.path)
        owner = Keystore.open(home.path / "keystore", home.path / "passphrase").owner_address
        chain = Chain(url)
        chain.ask("anvil_setBalance", owner, hex(RICH))
        playbooks = [word for kind in ("redteam", "benign") for word in ("--playbooks", str(AGENTS / kind))]
        home.serve("--engine", engine, "--chain-url", url, "--chain-id", str(CHAIN_ID), *playbooks, *options)
        yield World(home, chain, engine, owner)
