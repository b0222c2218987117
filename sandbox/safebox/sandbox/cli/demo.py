"""`safebox demo`: the main job on the embedded defaults, shown as it happens and checked at the end."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safebox.firewall.errors import ConfigError
from safebox.firewall.settings import state_folder
from safebox.sandbox.cli.console import is_rich, print_table, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.options import EngineOption, OpaOption
from safebox.sandbox.cli.setup import Setup

KEPT = ("trees", "trees.lock", "images")
"""What of an earlier demo is used again: the base image, a minute's work."""

if TYPE_CHECKING:
    from safebox.sandbox.demo import Chain, Check, Customer, Story


def demo(
    engine: EngineOption = None,
    opa: OpaOption = None,
    home: Annotated[
        Path | None, typer.Option("--home", metavar="DIR", help="A state folder; else demo in the usual one, emptied.")
    ] = None,
    agents: Annotated[Path | None, typer.Option("--agents", metavar="DIR", help="The example agents' folder.")] = None,
) -> None:
    """Run a treasurer, an analyst, a replicator and a maximiser, and check what became of it."""
    from safebox.sandbox import demo as job
    from safebox.sandbox import service
    from safebox.sandbox.engines import choose_engine
    from safebox.sandbox.image import BASE_IMAGE, build

    folder = job.agents_folder(agents)
    state = home or emptied(state_folder() / "demo")
    os.environ["SAFEBOX_HOME"] = str(state)
    sandboxes = choose_engine(engine)
    build(sandboxes, progress=lambda text: say(f"{BASE_IMAGE}: {text}"))  # type: ignore[arg-type]
    customer = job.Customer()
    setup = Setup(playbooks=(folder / "examples", folder / "redteam"), engine=engine, opa=opa, funds=(customer.fund,))
    settings = setup.settings()
    control, _ = service.ensure(settings, setup.arguments())
    with control:
        chain = job.Chain(control.request("status")["urls"]["chain"])
        for agent in job.AGENTS:
            _one(setup, folder / agent, chain, customer)
        told = job.stories(settings.ledger)
        found = job.checks(told, chain, settings.mail, settings.ledger)
    _tell(told, found, state)
    if not all(check.holds for check in found):
        raise typer.Exit(CHECK_FAILED)


def emptied(state: Path) -> Path:
    """The demo's own state folder without what the last demo left, but with its images.

    Raises:
        ConfigError: if a firewall still runs there, or it can't be emptied.
    """
    if answers(state / "control.sock"):
        raise ConfigError(f"a firewall runs in {state}", remedy="wait for that demo, or use --home")
    try:
        for entry in state.iterdir() if state.is_dir() else ():
            if entry.is_dir() and entry.name not in KEPT:
                shutil.rmtree(entry)
            elif entry.name not in KEPT:
                entry.unlink()
    except OSError as error:
        raise ConfigError(f"{state} can't be emptied: {error.strerror}", remedy="remove it, or use --home") from error
    return state


def answers(control: Path) -> bool:
    """Whether a firewall answers at a control socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(control)) == 0


def _one(setup: Setup, folder: Path, chain: Chain, customer: Customer) -> None:
    from safebox.sandbox.cli.session import run_agent

    say(f"\n━━ {folder.name} ━━\n" if is_rich() else f"\n== {folder.name} ==\n", style="bold")

    def watch(about: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        if folder.name == "maximiser":
            customer.watch(chain, str(about["address"]), event)

    run_agent(setup, folder, None, watch=watch)


def _tell(told: list[Story], found: list[Check], state: Path) -> None:
    say("\n━━ what the ledger says ━━\n" if is_rich() else "\n== what the ledger says ==\n", style="bold")
    rows = [
        (
            story.agent,
            story.allowed,
            story.denied,
            story.paid_text,
            story.mailed,
            story.bought,
            ", ".join(f"{code} x{count}" for code, count in story.codes.most_common()) or "-",
        )
        for story in told
    ]
    print_table(("agent", "allowed", "denied", "paid", "mailed", "bought", "blocked"), rows)
    say("\n━━ what the world says ━━\n" if is_rich() else "\n== what the world says ==\n", style="bold")
    print_table(("", "check", "seen"), [("ok" if each.holds else "fail", each.text, each.seen) for each in found])
    say(f"\nstate, ledger and mails: {state}")
