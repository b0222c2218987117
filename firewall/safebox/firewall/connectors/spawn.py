"""The spawn connector: starts a child run under a mandate that is a part of its parent's, and tells what became of it.

How it can be attacked:
- a mandate that reads one way when judged and another when started: it is read with the action's own time, its digest
  is in the plan, and the books refuse a child of another;
- an inbox elsewhere in the parent's folder: a child has its parent's, or none;
- haste: what is shared out is counted from the books in the moment of judging, and a run's starts take turns;
- listening in on others: a run is told of the children it started itself, by its own book, and names nobody.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from safebox.firewall.children import Children
from safebox.firewall.core.action import Action
from safebox.firewall.core.arguments import Nothing
from safebox.firewall.core.behaving import launch_text
from safebox.firewall.core.kinship import all_live, children_told, depth_limit, depth_of, plan_of, taken_of, tree_size
from safebox.firewall.core.lineage import Spawn, lineage_facts
from safebox.firewall.core.money import Amount
from safebox.firewall.errors import CallerError, ConfigError, EffectError
from safebox.firewall.ledger import Ledger
from safebox.firewall.lifecycle import check_connectors
from safebox.firewall.mandate.file import RunFile, load
from safebox.firewall.ports import Charge, Deliver, Outcome, Quote, RunView

NAME: Final = "spawn"


class SpawnConnector:
    """Starts child runs.

    Args:
        children: records, funds and launches them.
        ledger: knows what is shared out.
        connectors: what this firewall can do, by name.
    """

    name = NAME

    def __init__(
        self,
        children: Children,
        ledger: Ledger,
        connectors: Container[str],
    ) -> None:
        self._children = children
        self._ledger = ledger
        self._connectors = connectors

    async def quote(self, action: Action, run: RunView) -> Quote:
        """Read the child's mandate, and say what it takes of its parent's.

        Raises:
            CallerError: The mandate is wrong, or isn't the mandate of what is asked for.
        """
        if isinstance(action.args, Nothing):
            return Quote()
        file = self._read(action, run)
        grants = {line: units for line, units in file.mandate.grants().items() if units}
        return Quote(
            charges=tuple(Charge(rail, Amount(units, asset)) for (rail, asset), units in sorted(grants.items())),
            plan=plan_of(child_name(action), file.mandate),
            latest=partial(self._lineage, action, run, file),
        )

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        """Start the child, once.

        Raises:
            EffectError: It doesn't run; what had begun of it was ended.
            FirewallError: The parent was stopped meanwhile; nothing began.
        """
        if isinstance(action.args, Nothing):
            return Outcome(status="done", result={"children": children_told(self._ledger.book(run.id))})
        file = self._read(action, run)
        result = await self._children.start(str(plan["run"]), file, action, partial(run.last_look, action))
        return Outcome(status="done", result=result)

    async def reconcile(self, action: Action, run: RunView, plan: dict[str, Any]) -> Outcome:
        """Say whether the child began, as the ledger has it. One that nobody takes up is ended, not started again.

        Raises:
            EffectError: If it is being started now.
        """
        if isinstance(action.args, Nothing):
            return Outcome(status="failed", detail="a read that was cut short")
        child = str(plan["run"])
        if self._children.under_way(child):
            raise EffectError("the child is being started", unknown=True)
        if child not in self._ledger.books.runs:
            return Outcome(status="failed", detail="the child never began")
        return Outcome(status="done", result={"run": child, "state": "started"})

    async def healthy(self) -> bool:
        """Whether the ledger, which is all it asks, can be believed."""
        return self._ledger.fault is None

    async def close(self) -> None:
        """Let go of nothing."""

    def _read(self, action: Action, run: RunView) -> RunFile:
        args = action.args
        if not isinstance(args, Spawn):
            raise CallerError("not a child to start")
        try:
            now = datetime.fromtimestamp(action.received_ns / 1e9, UTC)
            file = load(args.mandate, now=now, source="the child's mandate")
            check_connectors(file.mandate, self._connectors)
        except ConfigError as error:
            raise CallerError(str(error), remedy=error.remedy) from error
        if (file.image, file.command) != (args.image, args.command):
            raise CallerError("the child's mandate names another image or command than what is asked for")
        if file.inbox not in (None, run.inbox):
            raise CallerError("the child's inbox is not its parent's", remedy="name the same folder, or none")
        return file

    def _lineage(self, action: Action, run: RunView, file: RunFile) -> dict[str, Any]:
        book, child = self._ledger.book(run.id), file.mandate
        facts = lineage_facts(
            run.mandate, child, known=all_live(book), depth=depth_of(book) + 1, depth_limit=depth_limit(book),
            taken=taken_of(book, len(book.rented)), tree=tree_size(self._ledger.books.runs, book.root),
            births=book.births.count(action.received_ns),
        )  # fmt: skip
        text = launch_text(file.name, file.image, file.task, child)
        population = self._ledger.books.owner.population.facts(action.received_ns, text)
        return {"lineage": facts, "population": population, "child_told": f"{child.purpose}\n{file.task}"}


def child_name(action: Action) -> str:
    """The child of an action: always the same, so that nothing starts twice."""
    return "run_" + action.id.removeprefix("act_")
