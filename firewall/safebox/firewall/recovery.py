"""Every action that was allowed and whose outcome isn't known is asked about in the world, and the ledger told.

Once for all of them after a crash, and then again and again for those that stay unknown: a payment that nobody has seen
may still be mined. A connector may see to it that it is, as long as the run may act.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Final

import msgspec

from safebox.firewall.core.action import Action
from safebox.firewall.core.document import settled_event
from safebox.firewall.core.mandate import decode_mandate
from safebox.firewall.core.outcome import Outcome
from safebox.firewall.core.record import Decided, RunStarted, Settled
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.errors import SafeboxError
from safebox.firewall.ledger import Ledger
from safebox.firewall.ports import Clock, Connector, RunView
from safebox.firewall.runs import RunNotLive, Runs

FIRST_PAUSE_SECONDS: Final = 1.0
"""Until what is unknown is asked about again; doubled each time."""
LONGEST_PAUSE_SECONDS: Final = 60.0
"""A mail or an inference stays unknown for ever; asking about it may cost next to nothing."""

SWEEP: Final = "wallet.sweep"


def action_of(decided: Decided) -> Action:
    """The action a recorded decision was about."""
    tool = TOOLS[decided.tool]
    shown = json.loads(bytes(decided.action))
    return Action(
        id=decided.action_id,
        run=decided.run,
        tool=tool.name,
        kind=tool.kind,
        effects=tool.effects,
        caller=decided.caller,
        args=tool.recall(shown["args"]),
        digest=decided.digest,
        key=decided.key,
        received_ns=decided.at_ns,
        decision=decided.decision,
    )


def view_of(started: RunStarted) -> RunView:
    """What connectors may know of a recorded run."""
    shown = json.loads(bytes(started.run_view))
    return RunView(
        id=started.run,
        agent=shown["agent"],
        mandate=decode_mandate(bytes(started.mandate)),
        address=shown["address"],
        folder=started.folder,
        inbox=started.inbox,
    )


async def recover(
    ledger: Ledger, connectors: Mapping[str, Connector], clock: Clock, runs: Runs | None = None
) -> list[Settled]:
    """Settle what a crash left open, oldest first; what can't be found out stays reserved as unknown.

    What was unknown before is left to `Doubts`: it is reserved all the same, and nobody needs to wait for it.

    Args:
        ledger: says what is open, and is told.
        connectors: are asked.
        clock: dates the answers.
        runs: says which runs may still act; without it none may.

    Raises:
        LedgerUnavailable: if an outcome can't be recorded.
    """
    left_open = [decided for decided in ledger.unsettled() if not _is_unknown(decided, ledger)]
    found = [await _asked(decided, ledger, connectors, clock, runs) for decided in left_open]
    return [settled for settled in found if settled is not None]


class Doubts:
    """Asks again about what was settled as unknown, ever more rarely.

    Args:
        ledger: says what is unknown, and is told.
        connectors: are asked.
        clock: dates the answers.
        runs: says which runs may still act; without it none may.
    """

    def __init__(
        self, ledger: Ledger, connectors: Mapping[str, Connector], clock: Clock, runs: Runs | None = None
    ) -> None:
        self._ledger = ledger
        self._connectors = connectors
        self._clock = clock
        self._runs = runs
        self._next: dict[str, tuple[float, float]] = {}

    async def ask(self) -> list[Settled]:
        """Settle what has become known.

        Raises:
            LedgerUnavailable: if an outcome can't be recorded; it is owed.
        """
        unknown = [decided for decided in self._ledger.unsettled() if _is_unknown(decided, self._ledger)]
        names = {decided.action_id for decided in unknown}
        self._next = {name: when for name, when in self._next.items() if name in names}
        found = [
            await _asked(decided, self._ledger, self._connectors, self._clock, self._runs)
            for decided in unknown
            if self._due(decided.action_id)
        ]
        return [settled for settled in found if settled is not None]

    def _due(self, action: str) -> bool:
        now = time.monotonic()
        when, pause = self._next.get(action, (now, FIRST_PAUSE_SECONDS))
        if now < when:
            return False
        self._next[action] = now + pause, min(2 * pause, LONGEST_PAUSE_SECONDS)
        return True


def _is_unknown(decided: Decided, ledger: Ledger) -> bool:
    """What is open but not unknown is under way, or was when the last firewall ended."""
    return decided.action_id in ledger.book(decided.run).unknown


async def _asked(
    decided: Decided, ledger: Ledger, connectors: Mapping[str, Connector], clock: Clock, runs: Runs | None
) -> Settled | None:
    """Ask about one action and record the answer; what is unknown still is not recorded a second time."""
    book = ledger.book(decided.run)
    connector = connectors[TOOLS[decided.tool].connector]
    view = msgspec.structs.replace(view_of(book.started), last_look=partial(_may_act, runs))
    try:
        outcome = await connector.reconcile(action_of(decided), view, decided.plan)
    except SafeboxError as error:
        outcome = Outcome(status="unknown", detail=error.cause)
    if outcome.status == "unknown" and decided.action_id in book.unknown:
        return None
    settled = settled_event(decided, outcome, at_ns=clock.now_ns(), recovered=True)
    await ledger.settle(settled)
    return settled


def _may_act(runs: Runs | None, action: Action) -> None:
    """The last look at what is done again: a run that has ended or was stopped does nothing more.

    The owner's money comes home whatever became of the run.
    """
    if action.tool == SWEEP:
        return
    if runs is None:
        raise RunNotLive("nobody knows the run here")
    runs.find(action.run).view.last_look(action)
