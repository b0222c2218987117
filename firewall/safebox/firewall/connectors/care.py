"""What the owner wants done about payments that were sent and are not mined."""

from __future__ import annotations

from typing import NamedTuple

from safebox.firewall.connectors.transaction import Payment
from safebox.firewall.settings import STUCK, STUCK_SECONDS, Stuck


class Care(NamedTuple):
    """The owner's policy.

    `wait` sends nothing a second time. `resend` gives the node the same bytes again when it doesn't have them.
    `replace` also offers more for the same payment, `cancel` sends nothing to itself instead, each after so many
    seconds; both only as far as the payment's own decision names it.
    """

    stuck: Stuck = STUCK
    seconds: int = STUCK_SECONDS

    def due(self, payment: Payment, age_seconds: float) -> Payment | None:
        """Which variant of a payment of this age the node should have waiting; None if none is sent again."""
        if self.stuck == "wait":
            return None
        steps = max(0, int(age_seconds // self.seconds))
        variants = payment.variants()
        return variants[min(steps, len(variants) - 1)]
