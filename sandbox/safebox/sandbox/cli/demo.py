"""`safebox demo`: the main job on the embedded defaults, shown as it happens and checked at the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safebox.sandbox.cli.console import is_rich, print_table, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.options import EngineOption
from safebox.sandbox.cli.setup import Setup

if TYPE_CHECKING:
    from safebox.sandbox.demo import Chain, Check, Customer, Story


def demo(
    engine: EngineOption = None,
    home: Annotated[Path | None, typer.Option("--home", metavar="DIR", help="A state folder; else a new one.")] = None,
    agents: Annotated[Path | None, typer.Option("--agents", metavar="DIR", help="The example agents' folder.")] = None,
) -> None:
    """Run a treasurer, an analyst, a replicator and a maximiser, and check what became of it."""
    from safebox.sandbox import demo as job
    from safebox.sandbox import service

    folder = job.agents_folder(agents)
    state = home or Path(tempfile.mkdtemp(prefix="safebox-demo-"))
    os.environ["SAFEBOX_HOME"] = str(state)
    customer = job.Customer()
    setup = Setup(playbooks=(folder / "examples", folder / "redteam"), engine=engine, funds=(customer.fund,))
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
