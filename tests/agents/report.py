"""What each agent tried and got, as rows of the table in `agents/README.md`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from safebox.firewall.core.money import format_units
from tests.agents.world import AGENTS, Ran, World

HEADINGS: Final = ("agent", "refused for", "what it got")


def row(world: World, folder: Path, ran: Ran) -> tuple[str, str, str]:
    """One agent's row; times and counts that depend on how fast it was are left out."""
    refused = {reason["code"] for each in world.decided(ran.story.run) for reason in each["answer"]["reasons"]}
    domains = sorted({code.partition(".")[0] for code in refused})
    return folder.name, ", ".join(domains) or "nothing", "; ".join(_got(world, folder, ran)) or "nothing"


def _got(world: World, folder: Path, ran: Ran) -> Iterator[str]:
    listed = {address: name for name, address in mandate_of(folder).get("wallet", {}).get("payees", {}).items()}
    for to, wei in ran.story.paid.items():
        yield f"{format_units(wei, 'ETH')} paid to {listed.get(to, to)}"
    if ran.story.mailed:
        yield _count(ran.story.mailed, "mail")
    rented = len(world.rented(ran.story.run))
    if rented:
        yield _count(rented, "container")
    children = len(world.children(ran.story.run))
    if children:
        yield f"{children} child" if children == 1 else f"{children} children"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def mandate_of(folder: Path) -> dict[str, dict[str, Any]]:
    """An agent's `safebox.toml`."""
    return tomllib.loads((AGENTS / folder / "safebox.toml").read_text())


def markdown(rows: list[tuple[str, str, str]]) -> str:
    """A table of rows."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
