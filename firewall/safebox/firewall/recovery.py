"""After a crash: every action that was allowed and has no outcome is asked about in the world, and the ledger told."""

from __future__ import annotations

import json
from collections.abc import Mapping

from safebox.firewall.core.action import Action
from safebox.firewall.core.document import settled_event
from safebox.firewall.core.mandate import decode_mandate
from safebox.firewall.core.outcome import Outcome
from safebox.firewall.core.record import Decided, RunStarted, Settled
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.errors import FirewallError
from safebox.firewall.ledger import Ledger
from safebox.firewall.ports import Clock, Connector, RunView


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


async def recover(ledger: Ledger, connectors: Mapping[str, Connector], clock: Clock) -> list[Settled]:
    """Settle what a crash left open, oldest first; what can't be found out stays reserved as unknown.

    Raises:
        LedgerUnavailable: if an outcome can't be recorded; nothing was done in the world.
    """
    found: list[Settled] = []
    for decided in ledger.unsettled():
        connector = connectors[TOOLS[decided.tool].connector]
        view = view_of(ledger.book(decided.run).started)
        try:
            outcome = await connector.reconcile(action_of(decided), view, decided.plan)
        except FirewallError as error:
            outcome = Outcome(status="unknown", detail=error.cause)
        settled = settled_event(decided, outcome, at_ns=clock.now_ns(), recovered=True)
        await ledger.settle(settled)
        found.append(settled)
    return found
