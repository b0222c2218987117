"""How a run behaves: what is shown to policy of it before an action, folded from the ledger's events in constant time.

What an action is to the detectors is told once, when it is asked for (`Deed`), shown to policy and kept with its
decision. The fold reads it from there: it never reads an action's arguments, so a restart sees what was seen before.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from safebox.firewall.behaviour.money import BP, MoneyFlow
from safebox.firewall.behaviour.probes import Probes
from safebox.firewall.core.money import Amount
from safebox.firewall.core.windows import DAY, Window

STRANGERS_KEPT: Final = 256
"""Recipients nobody listed, of one run in a day; all further ones count as new each time."""
ASSETS_KEPT: Final = 8
"""Assets whose limits somebody may feel for; a mandate has few."""
COLLECTABLE: Final = ("account", "approval", "domain", "key", "server")
"""What a run can come to have more and more of."""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What one action is to the detectors: `facts.behaviour.deed`.

    Attributes:
        links: the steps of a copying chain it could be.
        handles: what joins it to others.
        amount: what it moves; None if it moves nothing.
        to: who gets it, by address.
        strangers: recipients whom the mandate doesn't list.
        collects: what kinds of things the run would have afterwards.
        recruits: what it offers people money for: accounts, compute, identity.
        related: whether anything in it has to do with the purpose, as far as words tell.
    """

    links: tuple[str, ...] = ()
    handles: tuple[str, ...] = ()
    amount: Amount | None = None
    to: str | None = None
    strangers: tuple[str, ...] = ()
    collects: tuple[str, ...] = ()
    recruits: tuple[str, ...] = ()
    related: bool = True


class Conduct:
    """What is remembered of one run. Bounded by the constants above and in `money` and `probes`."""

    __slots__ = (
        "_acts",
        "_collected",
        "_crowd",
        "_probes",
        "_strangers",
        "_throttled_ns",
        "_unrelated",
        "money",
    )

    def __init__(self) -> None:
        self.money = MoneyFlow()
        self._probes: dict[str, Probes] = {}
        self._strangers: dict[str, int] = {}
        self._crowd = Window(DAY, 24)
        self._collected: dict[str, int] = {}
        self._acts, self._unrelated = Window(DAY, 24), Window(DAY, 24)
        self._throttled_ns = 0

    def decided(self, at_ns: int, deed: Deed, *, allowed: bool) -> None:
        """Policy answered something that the agent asked for."""
        for one in deed.strangers:
            self._meet(one, at_ns)
        if deed.amount is not None:
            self._feel(at_ns, deed.amount, allowed=allowed)
        if allowed:
            self._count(at_ns, deed, +1)
            for kind in deed.collects:
                self._collected[kind] = max(at_ns, self._collected.get(kind, 0))

    def revert(self, at_ns: int, deed: Deed) -> None:
        """Take back an allow that didn't become durable; what was collected and felt for stays, on the strict side."""
        self._count(at_ns, deed, -1)

    def throttle(self, until_ns: int) -> None:
        """Let the run only read until then."""
        self._throttled_ns = max(self._throttled_ns, until_ns)

    def facts(self, now: int, budget: int) -> dict[str, Any]:
        """What is known of the run, by the names of the policy input."""
        acts = self._acts.count(now)
        return {
            **self.money.facts(now, budget),
            "fan_out": self._crowd.count(now) + sum(at + DAY > now for at in self._strangers.values()),
            "probing": max((probes.count(now) for probes in self._probes.values()), default=0),
            "collected": sorted(kind for kind, at in self._collected.items() if at + DAY > now),
            "acts": acts,
            "off_purpose_bp": self._unrelated.count(now) * BP // acts if acts > 0 else 0,
            "throttled": self._throttled_ns > now,
        }

    def _feel(self, at_ns: int, amount: Amount, *, allowed: bool) -> None:
        probes = self._probes.get(amount.asset)
        if probes is None and len(self._probes) < ASSETS_KEPT:
            probes = self._probes[amount.asset] = Probes()
        if probes is not None:
            probes.ask(at_ns, amount.units, allowed=allowed)

    def _count(self, at_ns: int, deed: Deed, sign: int) -> None:
        self._acts.add(at_ns, sign)
        if not deed.related:
            self._unrelated.add(at_ns, sign)

    def _meet(self, stranger: str, at_ns: int) -> None:
        """Remember somebody nobody listed; past the bound each meeting counts as another one."""
        if stranger not in self._strangers and len(self._strangers) >= STRANGERS_KEPT:
            self._strangers = {one: at for one, at in self._strangers.items() if at + DAY > at_ns}
            if len(self._strangers) >= STRANGERS_KEPT:
                self._crowd.add(at_ns)
                return
        self._strangers[stranger] = max(at_ns, self._strangers.get(stranger, 0))
