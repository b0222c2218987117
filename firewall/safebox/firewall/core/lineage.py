"""Child runs: what is asked for, and what policy is shown of it.

Whether a child's mandate is no wider than its parent's is in `narrowing`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final

import msgspec

from safebox.firewall.core.arguments import BODY_MAX, COMMAND_MAX, Outgoing, Short
from safebox.firewall.core.mandate import Mandate
from safebox.firewall.core.money import Amount
from safebox.firewall.core.narrowing import Taken, wider

MANDATE_MAX: Final = 65_536
"""As much as a mandate file may have."""


class AskSpawn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A child run as it is asked for: what to start, and its mandate file's text."""

    image: Short
    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=COMMAND_MAX)]
    mandate: Annotated[str, msgspec.Meta(min_length=1, max_length=MANDATE_MAX)]
    input: Annotated[str, msgspec.Meta(max_length=BODY_MAX)] | None = None


class Spawn(Outgoing, frozen=True, forbid_unknown_fields=True):
    """A child run."""

    image: Short
    command: tuple[str, ...]
    mandate: str
    mandate_digest: str
    input: str | None

    def payload(self) -> bytes:
        """What the child is given."""
        return b"\n".join([self.mandate.encode(), (self.input or "").encode()])

    def payload_to(self) -> tuple[str, ...]:
        """Where it goes."""
        return ("spawn",)


def normalise_spawn(ask: AskSpawn) -> Spawn:
    """Name the mandate's text by its digest."""
    return Spawn(
        image=ask.image,
        command=ask.command,
        mandate=ask.mandate,
        mandate_digest="sha256:" + hashlib.sha256(ask.mandate.encode()).hexdigest(),
        input=ask.input,
    )


def lineage_facts(
    parent: Mandate, child: Mandate, *, known: bool, depth: int, depth_limit: int, taken: Taken, tree: int, births: int
) -> dict[str, Any]:
    """`facts.lineage`.

    Args:
        parent: the mandate of the run that asks.
        child: the mandate the child would have.
        known: whether the ledger has the run that asks, live, and every run it descends from.
        depth: how deep the child would be; the run a human started is at 0.
        depth_limit: the deepest generation that any run above the child grants.
        taken: what of its counted grants is shared out; its children count, ended ones too, with all they may have.
        tree: how many runs its tree has had, ended ones too.
        births: how many children were allowed in its tree within the last hour.
    """
    return {
        "parent_known": known,
        "depth": depth,
        "depth_limit": depth_limit,
        "children": taken.children,
        "tree": tree,
        "births_hour": births,
        "wider": list(wider(parent, child, taken)),
        "budget": [
            {"rail": rail, "amount": Amount(units, asset)}
            for (rail, asset), units in sorted(child.grants().items())
            if units
        ],
    }
