"""What a connector says before and after: the cost at worst with what it knows, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from safebox.firewall.core.record import Charge


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What an action would cost at worst, and what the connector knows about it.

    `facts` become `facts.payee`, `facts.wallet`, `facts.compute` or `facts.inference` of the policy input, by key.
    `latest` gives more facts, from the books: it is asked when nobody else of the run's tree is judged.
    `plan` (plain JSON) is recorded with the decision and is all that `perform` and `reconcile` may rely on, so that
    the thing decided is the thing done, also after a crash (nonce, fees, price and the like).
    """

    charges: tuple[Charge, ...] = ()
    facts: dict[str, Any] = {}
    plan: dict[str, Any] = {}
    latest: Callable[[], dict[str, Any]] | None = None

    def known(self) -> dict[str, Any]:
        """All facts, as they are now."""
        return self.facts if self.latest is None else {**self.facts, **self.latest()}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an effect. `charges` is what was really taken; `result` is what the agent is given.

    `refunds` is what an earlier action of the run was charged and did not use (a lease that ended early). `exposures`
    is what others may take from now on (`record.Settled`). `unknown` keeps the whole reservation until somebody finds
    out; it is `pending` where it was seen to happen and something could still undo it.
    """

    status: Literal["done", "failed", "unknown"]
    charges: tuple[Charge, ...] = ()
    refunds: tuple[Charge, ...] = ()
    exposures: dict[str, Charge] = {}
    result: dict[str, Any] = {}
    detail: str = ""
    pending: bool = False
