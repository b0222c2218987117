"""What a person orders about runs: kill, pause, resume, freeze, thaw; heard at once, then recorded, then answered.

The answer to a stop is given on the loop after the run was marked. Effects begin on that loop and look at the mark in
the same step, so once the answer is out, whatever had not begun never does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from safebox.firewall.core.record import LedgerEvent, RunKilled, RunPaused, RunResumed, WalletFrozen, WalletThawed
from safebox.firewall.errors import CallerError
from safebox.firewall.ledger import Ledger
from safebox.firewall.ports import Clock
from safebox.firewall.runs import Run, Runs
from safebox.firewall.standing import STATES

ORDERS: Final = ("kill", "pause", "resume", "freeze", "thaw")
DONE: Final = {"kill": "killed", "pause": "paused", "resume": "resumed", "freeze": "frozen", "thaw": "thawed"}
"""What an order's answer calls the runs it was about."""
OWNER: Final = "the owner"
"""Who ordered, if the control socket can't say more."""


class Stops:
    """Carries out orders about runs.

    Args:
        ledger: records them.
        runs: the runs they are about.
        clock: dates them.
    """

    def __init__(self, ledger: Ledger, runs: Runs, clock: Clock) -> None:
        self._ledger = ledger
        self._runs = runs
        self._clock = clock
        self._turn = asyncio.Lock()

    def hear(self, order: str, fields: dict[str, Any]) -> list[Run]:
        """Put a stop in force now; safe from any thread. Returns the runs it is about, a child after its parent."""
        meant = self._meant(fields)
        for run in meant:
            match order:
                case "kill":
                    run.stopped = run.stopped or f"killed by {_who(fields)}"
                case "pause":
                    run.pausing = object()
                case "freeze":
                    run.freezing = object()
                case _:
                    pass  # going on waits for its record
        return meant

    async def carry_out(self, order: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Do what was ordered about one run, one with its descendants (`tree`), or all; returns their names.

        Raises:
            CallerError: if the run that was named isn't live here, or can't go on.
            LedgerUnavailable: if it can't be recorded; a stop is in force in this firewall all the same.
        """
        meant = self.hear(order, fields)  # once more: a child may have started since
        if fields.get("run") is not None:
            _check_named(order, meant, str(fields["run"]))
        elif order in ("resume", "thaw"):
            meant = [run for run in meant if run.state != "killed" and (run.frozen if order == "thaw" else run.paused)]
        if order == "kill":
            await self._kill(meant, _who(fields))
        else:
            async with self._turn:
                await self._toggle(order, meant, _who(fields))
            self._runs.tell_standing()
        return {DONE[order]: [run.view.id for run in meant]}

    def counts(self) -> dict[str, int]:
        """How many runs are in each state."""
        found = Counter(run.state for run in self._runs.all())
        return {state: found[state] for state in STATES}

    def _meant(self, fields: dict[str, Any]) -> list[Run]:
        name, runs = fields.get("run"), self._runs.all()
        if name is None:
            return runs
        return [run for run in runs if run.view.id == name or (fields.get("tree") and run.descends_from(name))]

    async def _kill(self, meant: list[Run], by: str) -> None:
        names = [run.view.id for run in meant]
        below = [run for run in self._runs.all() if run not in meant and any(map(run.descends_from, names))]
        self._runs.tell_stop([*meant, *below], "killed")
        now = self._clock.now_ns()
        await self._record([RunKilled(at_ns=now, run=run.view.id, by=by) for run in meant if run.book.killed is None])

    async def _toggle(self, order: str, meant: list[Run], by: str) -> None:
        """Record what isn't recorded yet; then the book says it, and the mark that bridged the time goes."""
        kind, mark, in_book = _TOGGLES[order]
        stops = order in ("pause", "freeze")
        heard = [(run, getattr(run, mark)) for run in meant]
        now = self._clock.now_ns()
        changed = [run for run in meant if (getattr(run.book, in_book) is None) is stops]
        events = [kind(at_ns=now, run=run.view.id, by=by) for run in changed]
        await self._record(events)
        for event in events:
            self._runs.tell(event)
        for run, word in heard:
            if getattr(run, mark) is word:  # else somebody ordered another stop meanwhile
                setattr(run, mark, None)

    async def _record(self, events: Sequence[LedgerEvent]) -> None:
        if events:
            await self._ledger.note(*events)


_TOGGLES: Final[dict[str, tuple[Any, str, str]]] = {
    "pause": (RunPaused, "pausing", "paused"),
    "resume": (RunResumed, "pausing", "paused"),
    "freeze": (WalletFrozen, "freezing", "frozen"),
    "thaw": (WalletThawed, "freezing", "frozen"),
}
"""Order → the event it leaves, the mark on the run, and where the book says it."""


def _who(fields: dict[str, Any]) -> str:
    return str(fields.get("by") or OWNER)


def _check_named(order: str, meant: list[Run], name: str) -> None:
    """Refuse an order about a run that isn't there, or that nothing can let go on.

    Raises:
        CallerError: with the reason.
    """
    if not meant:
        raise CallerError(f"there is no live run {name!r}", remedy="safebox ps lists them")
    run = meant[0]
    if order in ("resume", "thaw") and run.state == "killed":
        raise CallerError(f"the run {name!r} is {run.why}; that is for good", remedy="start a new run")
    if order == "resume" and run.held_by_parent:
        raise CallerError(f"a run that {name!r} descends from is paused", remedy="resume that one")
    if order == "thaw" and run.frozen_by_parent:
        raise CallerError(f"the wallet of a run that {name!r} descends from is frozen", remedy="thaw that one")
