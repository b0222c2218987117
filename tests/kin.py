"""Children for tests of the books: each comes of an allow, as the books want it."""

from __future__ import annotations

import msgspec

from safebox.firewall.core.action import Call
from safebox.firewall.core.decision import Answer, Verdict
from safebox.firewall.core.document import decided_event, settled_event, shown_action, understand
from safebox.firewall.core.kinship import plan_of
from safebox.firewall.core.mandate import decode_mandate
from safebox.firewall.core.money import Amount
from safebox.firewall.core.outcome import Outcome
from safebox.firewall.core.record import Charge, Decided, RunStarted
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.ledger import Ledger


def allow_for(started: RunStarted, parent: str, *, number: str = "") -> Decided:
    """A yes to exactly this child, with what it is given reserved."""
    tool, mandate = TOOLS["agent.spawn"], decode_mandate(bytes(started.mandate))
    asked = {"image": "base", "command": ["true"], "mandate": "what it says"}
    call = Call(run=parent, tool=tool.name, arguments=asked)
    action = understand(call, tool, f"act_for_{started.run}{number}", started.at_ns)
    charges = tuple(
        Charge(rail, Amount(units, asset)) for (rail, asset), units in sorted(mandate.grants().items()) if units
    )
    shown = shown_action(action, tool)
    yes, plan = Answer(Verdict.ALLOW, (), {}), plan_of(started.run, mandate)
    return decided_event(action, yes, f"dec_for_{started.run}{number}", "sha256:test", charges, plan, shown, shown)


def child(started: RunStarted, parent: str, *, number: str = "") -> RunStarted:
    """The start of a run as the child of `parent` that `allow_for` allows."""
    kin = msgspec.Raw(msgspec.json.encode({**_view(started), "parent": parent}))
    return msgspec.structs.replace(started, run_view=kin, spawned_by=f"act_for_{started.run}{number}")


async def begin(ledger: Ledger, started: RunStarted, parent: str) -> RunStarted:
    """Have a child begin as the firewall does: allowed, begun, settled.

    Raises:
        ValueError: if its parent hasn't as much.
    """
    allow, event = allow_for(started, parent), child(started, parent)
    if not ledger.book(parent).fits(allow.charges):
        raise ValueError(f"{parent} has less")
    await ledger.reserve(allow)
    await ledger.start(event)
    await ledger.settle(settled_event(allow, Outcome(status="done"), at_ns=started.at_ns))
    return event


def _view(started: RunStarted) -> dict[str, object]:
    found: dict[str, object] = msgspec.json.decode(bytes(started.run_view))
    return found
