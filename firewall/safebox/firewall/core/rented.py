"""The instances that a run rents, as the ledger knows it: the same for every firewall that shares one.

Rule 1: an instance is held from the allow of its start on, until that is said to have failed, or it was given back.
Rule 2: it is given back by the first outcome that says so, and only that one brings a refund.
Rule 3: a refund is never more than the start was charged.
Rule 4: the first start of an image's name says which digest the name has for this run; one that failed says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from safebox.firewall.core.money import Amount
from safebox.firewall.core.record import Charge, Decided, Settled

START: Final = "compute.start"
STOP: Final = "compute.stop"
STATUS: Final = "compute.status"
_RUNNING: Final = "running"


class Rented:
    """The instances of one run that are not given back, by the action that started each."""

    __slots__ = ("_charged", "_pins")

    def __init__(self) -> None:
        self._charged: dict[str, tuple[Charge, ...]] = {}
        self._pins: dict[str, tuple[str, str]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._charged)

    def __len__(self) -> int:
        return len(self._charged)

    def allowed(self, event: Decided) -> None:
        """Hold what is to be started."""
        if event.tool != START:
            return
        self._charged[event.action_id] = ()
        name, digest = event.plan.get("image"), event.plan.get("digest")
        if isinstance(name, str) and isinstance(digest, str):
            self._pins.setdefault(name, (digest, event.action_id))

    def pinned(self, image: str) -> str | None:
        """The digest that an image has for this run: the one it is asked for with, or that of its name's first start.

        None before that.
        """
        name, wanted = split_image(image)
        return wanted if wanted is not None else self._pins.get(name, (None, ""))[0]

    def revert(self, event: Decided) -> None:
        """Take back an allow that did not become durable."""
        if event.tool == START:
            self._forget(event.action_id)

    def settled(self, event: Settled) -> tuple[Charge, ...]:
        """Take an outcome into account; the refunds of it that count."""
        if event.tool == START:
            self._started(event)
        if event.tool not in (STOP, STATUS):
            return event.refunds
        instance = str(event.result.get("instance"))
        if event.status != "done" or event.result.get("state") == _RUNNING:
            return ()
        charged = self._charged.pop(instance, None)
        return () if charged is None else tuple(_at_most(each, charged) for each in event.refunds)

    def _started(self, event: Settled) -> None:
        if event.status == "failed":
            self._forget(event.action_id)
        elif event.action_id in self._charged:
            self._charged[event.action_id] = event.charges

    def _forget(self, start: str) -> None:
        self._charged.pop(start, None)
        self._pins = {name: pin for name, pin in self._pins.items() if pin[1] != start}


def split_image(image: str) -> tuple[str, str | None]:
    """An image's name, and the digest it is asked for with, as in `NAME@sha256:…`."""
    name, at, digest = image.partition("@")
    return name, digest if at else None


def _at_most(refund: Charge, charged: tuple[Charge, ...]) -> Charge:
    line = refund.rail, refund.amount.asset
    most = sum(each.amount.units for each in charged if (each.rail, each.amount.asset) == line)
    return Charge(refund.rail, Amount(min(refund.amount.units, most), refund.amount.asset))
