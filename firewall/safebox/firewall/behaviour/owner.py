"""What is remembered of all runs of an owner together: the chains of steps, and the variants that were launched."""

from __future__ import annotations

from safebox.firewall.behaviour.chain import Chains
from safebox.firewall.behaviour.population import Population


class OwnerRecord:
    """One ledger has one owner."""

    __slots__ = ("chains", "population")

    def __init__(self) -> None:
        self.chains = Chains()
        self.population = Population()
