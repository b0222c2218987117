"""What is told of a lease, and what it costs in the end. Values in, values out."""

from __future__ import annotations

from typing import Any, Final, Literal, Protocol

from safebox.firewall.connectors.leases import Last, Lease
from safebox.firewall.connectors.prices import compute_charge
from safebox.firewall.core.money import Amount
from safebox.firewall.core.outcome import Outcome

OUTPUT_CHARACTERS_MAX: Final = 64 * 1024


class InstanceView(Protocol):
    """What a provider says about one container. `seconds` is how long it has run or ran, rounded up."""

    @property
    def state(self) -> Literal["running", "exited", "stopped"]:
        """Whether it runs, ended by itself, or was stopped (by request or at the end of its time)."""
        ...

    @property
    def exit_code(self) -> int | None:
        """Its exit code, once it has ended."""
        ...

    @property
    def output(self) -> str:
        """The last 64 KiB of what it wrote."""
        ...

    @property
    def seconds(self) -> int:
        """How long it has run, or ran."""
        ...


def started(lease: Lease) -> Outcome:
    """What an agent is told of a container that runs for it, and what that is charged at worst."""
    result = {
        "instance": lease.instance,
        "price_per_minute": str(Amount(lease.price.per_minute, "USD")),
        "lease_minutes": lease.minutes,
    }
    return Outcome(status="done", charges=(compute_charge(lease.charged),), result=result)


def last_seen(view: InstanceView | None) -> Last:
    """How a container is kept in mind; without a view it has certainly ended, and nobody knows how."""
    if view is None:
        return Last("stopped", None, "")
    return Last(view.state, view.exit_code, view.output[-OUTPUT_CHARACTERS_MAX:])


def told(lease: Lease, last: Last) -> dict[str, Any]:
    """What an agent is told of a container's state."""
    return {
        "instance": lease.instance,
        "state": last.state,
        "exit_code": last.exit_code,
        "output": last.output,
    }


def settlement(lease: Lease, *, by: str | None = None) -> Outcome:
    """Tell what a lease cost; only the action that settled it brings the refund."""
    charged = str(Amount(lease.charged - lease.refund, "USD"))
    mine = lease.refund and (by is None or lease.settled_by == by)
    refunds = (compute_charge(lease.refund),) if mine else ()
    return Outcome(status="done", result={"instance": lease.instance, "charged": charged}, refunds=refunds)
