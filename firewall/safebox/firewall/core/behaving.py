"""One run's behaviour as the books keep it: folded from events, made into facts, nothing kept of a run that only reads.

The fold reads what an action was from the facts recorded with its decision, so it is the same live and after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from safebox.firewall.behaviour.conduct import Conduct, Deed
from safebox.firewall.behaviour.deeds import Profile, outcome_handles
from safebox.firewall.behaviour.owner import OwnerRecord
from safebox.firewall.core.action import Action
from safebox.firewall.core.mandate import ACCOUNT_COMPUTE, ACCOUNT_INFERENCE, Mandate
from safebox.firewall.core.money import decode_amount, pad
from safebox.firewall.core.orders import BY_POLICY, throttled_until
from safebox.firewall.core.record import (
    Charge,
    Decided,
    Received,
    RunPaused,
    RunResumed,
    RunStarted,
    Settled,
    WalletFrozen,
    WalletThawed,
)
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.core.windows import DAY, SECOND

DAY_S: Final = DAY // SECOND
"""Whoever was stopped longer ago, or never, has so many seconds since."""
REINVESTED: Final = frozenset({(ACCOUNT_COMPUTE, "USD"), (ACCOUNT_INFERENCE, "USD")})
"""The lines of what makes a run larger."""


class _Behaviour(msgspec.Struct, frozen=True):
    deed: Deed


class _Facts(msgspec.Struct, frozen=True):
    behaviour: _Behaviour | None = None


class _View(msgspec.Struct, frozen=True):
    agent: str = ""
    image: str = ""
    address: str | None = None


_FACTS: Final = msgspec.json.Decoder(_Facts | None, dec_hook=decode_amount)


class Behaving:
    """What one run does, over time."""

    __slots__ = ("_conduct", "_mandate", "_owner", "_parent", "_profile", "_started", "_stopped_ns")

    def __init__(
        self, started: RunStarted, mandate: Mandate, owner: OwnerRecord, parent: Behaving | None = None
    ) -> None:
        self._started = started
        self._parent = parent
        self._stopped_ns: int | None = None
        self._mandate = mandate
        self._owner = owner
        self._conduct: Conduct | None = None
        self._profile: Profile | None = None

    def facts(
        self, action: Action, *, overlap: Mapping[str, Any] | None, charges: Sequence[Charge]
    ) -> dict[str, Any] | None:
        """`facts.behaviour`: None for what only reads, and for what the owner asks."""
        if not watched(action.tool, action.caller):
            return None
        chains, now = self._owner.chains, action.received_ns
        deed = self._known.deed(action, chains, matched=_matched(overlap), charges=charges)
        chain = chains.joined(action.run, now, deed.links, deed.handles) if deed.links else ()
        income, outflow = self._remembered.money.sums(now)
        return {
            "deed": deed,
            "chain": chain,
            "income": pad(income),
            "outflow": pad(outflow),
            **self._remembered.facts(now, self._budget),
            "since_stop_s": self._since_stop(now),
        }

    def began(self) -> None:
        """The run was started: one of the owner's population."""
        view = msgspec.json.decode(self._started.run_view, type=_View)
        text = launch_text(view.agent, view.image, self._started.task, self._mandate)
        self._owner.population.launch(self._started.at_ns, self._started.run, text)

    def decided(self, event: Decided) -> None:
        """Policy answered. What it let happen is part of the chain from now on; what it refused was only felt for."""
        deed = _deed_of(event)
        if deed is None:
            return
        self._remembered.decided(event.at_ns, deed, allowed=event.allowed)
        if event.allowed and deed.links:
            self._owner.chains.add(event.run, event.at_ns, deed.links, deed.handles)
        if event.denied and (until := throttled_until(event)):
            self._remembered.throttle(until)

    def revert(self, event: Decided) -> None:
        """Take back an allow that did not become durable."""
        deed = _deed_of(event) if event.allowed else None
        if deed is not None:
            self._remembered.revert(event.at_ns, deed)

    def settled(self, decided: Decided, event: Settled) -> None:
        """Something was done."""
        if event.status != "done":
            return
        if decided.tool == "wallet.sweep":
            self._swept(event)
        elif (deed := _deed_of(decided)) is not None:
            self._spent(decided.at_ns, deed, event)
            if deed.links:
                handles = outcome_handles(deed, event.result, self._known.known)
                self._owner.chains.add(event.run, decided.at_ns, deed.links, handles)

    def _swept(self, event: Settled) -> None:
        for charge in event.charges:
            if charge.amount.asset == self._asset:
                self._remembered.money.sweep(event.at_ns, charge.amount.units)

    def _spent(self, at_ns: int, deed: Deed, event: Settled) -> None:
        money = self._remembered.money
        if deed.amount is not None and deed.amount.asset == self._asset and deed.to is not None:
            money.pay(at_ns, deed.amount.units, deed.to)
        for charge in event.charges:
            if (charge.rail, charge.amount.asset) in REINVESTED:
                money.reinvest(at_ns, charge.amount.units)

    def received(self, event: Received) -> None:
        """Money arrived that nobody granted."""
        self._owner.population.earn(event.run, event.amount.units)
        if event.amount.asset == self._asset:
            self._remembered.money.earn(event.at_ns, event.amount.units)

    def told(self, event: WalletFrozen | WalletThawed | RunPaused | RunResumed) -> None:
        """Somebody stopped it in part, or let it go on; what policy orders is an answer to the run, and no notice."""
        if not event.by.startswith(BY_POLICY):
            self._stopped_ns = event.at_ns if isinstance(event, (WalletFrozen, RunPaused)) else None

    def _since_stop(self, now: int) -> int:
        """Seconds since it, or a run it descends from, was stopped; a day if none was, or all may go on."""
        above = DAY_S if self._parent is None else self._parent._since_stop(now)
        return above if self._stopped_ns is None else min(above, max(0, now - self._stopped_ns) // SECOND)

    def end(self) -> None:
        """The run is over: what it did stays in the owner's chains for a day, the rest is forgotten."""
        self._conduct = self._profile = None

    @property
    def _remembered(self) -> Conduct:
        if self._conduct is None:
            self._conduct = Conduct()
        return self._conduct

    @property
    def _known(self) -> Profile:
        if self._profile is None:
            own = msgspec.json.decode(self._started.run_view, type=_View).address
            self._profile = Profile(self._mandate, own, self._started.task)
        return self._profile

    @property
    def _asset(self) -> str | None:
        return None if self._mandate.wallet is None else self._mandate.wallet.budget.asset

    @property
    def _budget(self) -> int:
        return 0 if self._mandate.wallet is None else self._mandate.wallet.budget.units


def launch_text(agent: str, image: str, task: str, mandate: Mandate) -> str:
    """What a launch is compared by."""
    return f"{agent} {image} {mandate.purpose} {task}"


def watched(tool: str, caller: Caller) -> bool:
    """Whether the detectors look at it: what an agent asks for that isn't only read or given back."""
    found = TOOLS.get(tool)
    return found is not None and caller is Caller.AGENT and not {"value", "outward"}.isdisjoint(found.effects)


def _deed_of(event: Decided) -> Deed | None:
    """What a decided action was, as it was shown to policy; None where the detectors didn't look, or nothing was."""
    if not watched(event.tool, event.caller):
        return None
    facts = _FACTS.decode(event.facts)
    return None if facts is None or facts.behaviour is None else facts.behaviour.deed


def _matched(overlap: Mapping[str, Any] | None) -> int | None:
    """How many pieces of the run go out, 0 if nothing does; None where not all of it was looked at."""
    if overlap is None:
        return 0
    return None if overlap.get("truncated") else overlap.get("matched")
