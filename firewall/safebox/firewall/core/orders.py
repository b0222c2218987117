"""What policy orders beside a no, and the events that put it in force.

Rule 1: an order is in the ledger in the same commit as the decision that gave it, so no crash comes between.
Rule 2: it is in force from the moment the decision counts; if that doesn't become durable the order stays, here.
Rule 3: only a person lifts it: `safebox resume`, `safebox thaw`. A throttle ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from safebox.firewall.core.decision import RESPOND, Order
from safebox.firewall.core.record import Decided, LedgerEvent, RunKilled, RunPaused, WalletFrozen
from safebox.firewall.core.tools import Caller

SECOND: Final = 1_000_000_000
BY_POLICY: Final = "policy ("
"""How `by` begins in what no person did."""


def orders_of(event: Decided) -> tuple[Order, ...]:
    """What a decision orders. Only a no to an agent does: what the owner asks is answered, never punished."""
    if RESPOND not in event.answer.obligations or not event.denied or event.caller is not Caller.AGENT:
        return ()
    return event.answer.orders


def throttled_until(event: Decided) -> int:
    """Until when a decision lets the run only read; 0 if it doesn't say."""
    seconds = [order.seconds for order in orders_of(event) if order.seconds is not None]
    return event.at_ns + max(seconds) * SECOND if seconds else 0


def ordered_events(event: Decided, tree: Iterable[str]) -> Iterator[LedgerEvent]:
    """What a decision leaves in the ledger beside itself; `tree` are the runs that would be killed together."""
    firsts = {order.do: order for order in reversed(orders_of(event))}
    for do, order in sorted(firsts.items()):
        by = f"{BY_POLICY}{order.code}, {event.decision})"
        match do:
            case "freeze":
                yield WalletFrozen(at_ns=event.at_ns, run=event.run, by=by)
            case "quarantine":
                yield RunPaused(at_ns=event.at_ns, run=event.run, by=by)
            case "kill_tree":
                for run in tree:
                    yield RunKilled(at_ns=event.at_ns, run=run, by=by)
            case _:
                pass  # a throttle is said by the decision itself
