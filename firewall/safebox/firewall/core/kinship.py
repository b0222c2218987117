"""Who descends from whom, as the books know it: what a run has shared out, and which allow a child came of.

Rule 1: an allow is a child from its decision on: what is open and has not begun counts as what did.
Rule 2: a child that has ended counts among the children; what it had in instances is its parent's again, but for what
it has not given back.
Rule 3: an allow counts as a birth for an hour, in the whole tree, whatever became of it.
Rule 4: a child comes of one open allow of its parent that names it and its mandate, and an allow has one child.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from safebox.firewall.core.mandate import Mandate, document_digest, mandate_digest
from safebox.firewall.core.money import Amount
from safebox.firewall.core.narrowing import Taken
from safebox.firewall.core.record import Decided, RunStarted

if TYPE_CHECKING:
    from safebox.firewall.core.runbook import RunBook

SPAWN: Final = "agent.spawn"
TOLD_MAX: Final = 100
"""Of so many children a run is told, as what it is told is recorded, too: as many runs as a tree may have."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an allow of a child names, as it is recorded: the child, its mandate's digest, and what it takes."""

    run: str
    mandate: str
    places: int
    instances: int


def plan_of(run: str, mandate: Mandate) -> dict[str, Any]:
    """The plan of an `agent.spawn`."""
    lineage, compute = mandate.lineage, mandate.compute
    return {
        "run": run,
        "mandate": mandate_digest(mandate),
        "places": 1 + (0 if lineage is None else lineage.children),
        "instances": 0 if compute is None else compute.instances,
    }


def named_by(parent: RunBook, started: RunStarted) -> Decided:
    """The allow that a child comes of.

    Raises:
        ValueError: if no open allow of its parent names exactly this child, or it has had its child.
    """
    found = parent.open.get(started.spawned_by or "")
    if found is None or found.tool != SPAWN or found.action_id in parent.spawned:
        raise ValueError(f"no open allow of {parent.started.run} starts {started.run}")
    plan = msgspec.convert(found.plan, Plan)
    if (plan.run, plan.mandate) != (started.run, document_digest(bytes(started.mandate))):
        raise ValueError(f"{started.run} is not the child that was allowed")
    return found


def taken_of(book: RunBook, running: int) -> Taken:
    """What of a run's counted grants is taken; `running` is how many instances are in use by itself."""
    waiting = [*_not_begun(book)]
    plans = [msgspec.convert(plan_of(child.started.run, child.mandate), Plan) for child in book.children]
    live = [plan for plan, child in zip(plans, book.children, strict=True) if child.ended is None]
    held = sum(map(_held_after_end, book.children))
    return Taken(
        children=sum(plan.places for plan in [*plans, *waiting]),
        instances=running + sum(plan.instances for plan in [*live, *waiting]) + held,
    )


def _held_after_end(child: RunBook) -> int:
    """What an ended run, and those below it, have not given back; a live one's are counted by what it may rent."""
    return 0 if child.ended is None else len(child.rented) + sum(map(_held_after_end, child.children))


def children_told(book: RunBook) -> list[dict[str, Any]]:
    """What a run may know of the newest of its own children: how each stands, how it ended, what it spent."""
    return [_told(child) for child in book.children[-TOLD_MAX:]]


def _told(child: RunBook) -> dict[str, Any]:
    return {
        "run": child.started.run,
        "agent": child.mandate.agent,
        "state": _state(child),
        "exit_code": None if child.ended is None else child.ended.exit_code,
        "reason": None if child.ended is None else child.ended.reason,
        "spent": [
            f"{Amount(units, asset)} ({rail})" for (rail, asset), units in sorted(_spent(child).items()) if units
        ],
    }


def _spent(book: RunBook) -> Counter[tuple[str, str]]:
    """What a run and all below it spent; what those spent stands in their own books."""
    found = Counter({line: each.spent for line, each in book.lines.items()})
    for child in book.children:
        found.update(_spent(child))
    return found


def _state(book: RunBook) -> str:
    if book.ended is not None:
        return "over" if book.killed is None else "killed"
    if book.killed is not None:
        return "killed"
    if book.paused is not None:
        return "paused"
    return "live" if book.frozen is None else "frozen"


def tree_size(books: Mapping[str, RunBook], root: str) -> int:
    """How many runs a tree has had, with those that are about to begin; looks at every run."""
    tree = [book for book in books.values() if book.root == root]
    return len(tree) + sum(1 for book in tree for _ in _not_begun(book))


def depth_of(book: RunBook) -> int:
    """How deep a run is; the one a person started is at 0."""
    return sum(1 for _ in _line_up(book)) - 1


def depth_limit(book: RunBook) -> int:
    """The deepest generation that this run and every one above it grant."""
    depth = depth_of(book)
    return min(
        depth - up + (0 if one.mandate.lineage is None else one.mandate.lineage.depth)
        for up, one in enumerate(_line_up(book))
    )


def trees_of(books: Iterable[RunBook]) -> tuple[Counter[int], int]:
    """How many of these runs are how deep, and of how many trees they are."""
    each = [(depth_of(book), book.root) for book in books]
    return Counter(depth for depth, _ in each), len({root for _, root in each})


def all_live(book: RunBook) -> bool:
    """Whether neither this run nor one it descends from was killed or has ended."""
    return all(one.killed is None and one.ended is None for one in _line_up(book))


def _line_up(book: RunBook) -> Iterator[RunBook]:
    """A run and those it descends from, upwards."""
    one: RunBook | None = book
    while one is not None:
        yield one
        one = one.parent


def _not_begun(book: RunBook) -> Iterator[Plan]:
    """What was allowed and has no child yet."""
    spawns = (event for name, event in book.open.items() if event.tool == SPAWN and name not in book.spawned)
    return (msgspec.convert(event.plan, Plan) for event in spawns)
