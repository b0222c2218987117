"""The attacks and their harmless neighbours, a module for each corner of the catalogue of threats.

Each is a function that is given a fresh run under a whole firewall, and says what it was told. An attack must be
stopped with nothing done; a neighbour must go through and do exactly one thing.
"""

from __future__ import annotations

from typing import Final

from safebox.firewall.drill.catalogue import (
    calling,
    copying,
    gateways,
    hoarding,
    launching,
    machinery,
    money,
    outside,
    paying,
    people,
    persuasion,
    renting,
    signing,
    state,
    totalling,
)
from safebox.firewall.drill.entry import Entry

_CHAPTERS: Final = (
    *(
        module.CHAPTER
        for module in (
            money,
            state,
            calling,
            paying,
            signing,
            copying,
            renting,
            launching,
            hoarding,
            persuasion,
            people,
        )
    ),
    *totalling.CHAPTERS,
    *outside.CHAPTERS,
    *(module.CHAPTER for module in (gateways, machinery)),
)
CATALOGUE: Final[tuple[Entry, ...]] = tuple(
    sorted((entry for chapter in _CHAPTERS for entry in chapter.entries), key=lambda entry: entry.section)
)
"""Everything there is to try, section by section."""

NOT_TRIED: Final[tuple[tuple[str, str, str], ...]] = (
    ("A", "two firewalls on one ledger, a clock set back, a reorganised chain", "needs other processes and machines"),
    ("B", "steps of one copy, linked over hours (server, upload, key, funding)", "not among the facts yet"),
    ("B", "near-duplicate agents launched in a day", "not among the facts yet"),
    ("C", "growth over weeks, trading loops, pass-through, collecting accounts", "not among the facts yet"),
    ("E", "containers, system calls, addresses and redirects", "needs a sandbox and a network"),
    ("F", "full disks, a slow engine, a firewall killed at any point", "needs a machine of its own"),
)
"""What isn't tried here: section, what, and why. None of it counts as passed."""
