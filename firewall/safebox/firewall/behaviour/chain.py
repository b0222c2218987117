"""Steps that belong together: which kinds of links share a host, an address, an amount or a digest within a day.

One `Chains` is for all runs of an owner, so colluders that split the steps are one chain. Handles that occurred in one
step are in one group; groups that share a handle are one. A group knows of each kind of link when it was last, so what
is asked costs as much with a million steps as with one.

Rule 1: the answer depends on the steps, not on the order in which they are told.
Rule 2: what is a day old is forgotten; a step that was told and then did not become durable stays, on the strict side.
Rule 3: a run that brings more handles than `RUN_MAX` in a day has all further ones in one group of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from safebox.firewall.behaviour.links import CROWDED
from safebox.firewall.core.windows import DAY

RUN_MAX: Final = 512
"""Handles of one run in a day: an agent that rents forty machines an hour all day stays below."""
_SWEEP_MIN: Final = 1024
"""Fewer handles than this are not worth looking through for old ones."""


class _Group:
    """Handles that belong together, and when each kind of link was last among them."""

    __slots__ = ("latest", "links", "parent")

    def __init__(self) -> None:
        self.parent: _Group | None = None
        self.links: dict[str, int] = {}
        self.latest = 0

    def top(self) -> _Group:
        one = self
        while one.parent is not None:
            if one.parent.parent is not None:
                one.parent = one.parent.parent
            one = one.parent
        return one

    def lives(self, at_ns: int) -> bool:
        return self.latest + DAY > at_ns


class Chains:
    """The steps of all runs of an owner within a day."""

    __slots__ = ("_brought", "_groups", "_sweep_at")

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._brought: dict[str, tuple[int, int]] = {}
        self._sweep_at = _SWEEP_MIN

    def joined(self, run: str, at_ns: int, links: Iterable[str], handles: Iterable[str]) -> tuple[str, ...]:
        """The kinds of links in the chain that this step would be part of, its own among them; sorted."""
        found = set(links)
        for group in self._met(run, at_ns, handles):
            found.update(link for link, latest in group.links.items() if latest + DAY > at_ns)
        return tuple(sorted(found))

    def add(self, run: str, at_ns: int, links: Sequence[str], handles: Sequence[str]) -> None:
        """Remember a step, or once more with what it turned out to be about."""
        if not handles:
            return
        self._sweep(at_ns)
        met = self._met(run, at_ns, handles)
        whole = met[0] if met else _Group()
        for group in met[1:]:
            group.parent = whole
            whole.latest = max(whole.latest, group.latest)
            for link, latest in group.links.items():
                whole.links[link] = max(latest, whole.links.get(link, 0))
        whole.latest = max(whole.latest, at_ns)
        for link in links:
            whole.links[link] = max(at_ns, whole.links.get(link, 0))
        for handle in handles:
            self._groups[self._place(run, at_ns, handle, count=True)] = whole

    def known(self, at_ns: int) -> list[tuple[tuple[str, ...], dict[str, int]]]:
        """All groups that live: their handles, and their links."""
        found: dict[int, tuple[list[str], dict[str, int]]] = {}
        for handle, group in self._groups.items():
            top = group.top()
            if top.lives(at_ns):
                found.setdefault(id(top), ([], top.links))[0].append(handle)
        return sorted((tuple(sorted(handles)), links) for handles, links in found.values())

    def _met(self, run: str, at_ns: int, handles: Iterable[str]) -> list[_Group]:
        met: dict[int, _Group] = {}
        for handle in handles:
            group = self._groups.get(self._place(run, at_ns, handle))
            if group is not None and (top := group.top()).lives(at_ns):
                met[id(top)] = top
        return list(met.values())

    def _place(self, run: str, at_ns: int, handle: str, *, count: bool = False) -> str:
        """Under which name a handle is kept: its own, or that of all that a run has too many of."""
        crowd = f"{CROWDED}{run}"
        if handle == CROWDED:
            return crowd
        if handle in self._groups:
            return handle
        day, brought = self._brought.get(run, (0, 0))
        if day != at_ns // DAY:
            day, brought = at_ns // DAY, 0
        if brought >= RUN_MAX:
            return crowd
        if count:
            self._brought[run] = day, brought + 1
        return handle

    def _sweep(self, at_ns: int) -> None:
        """Forget what is old, each time twice as much has come together: a constant time for each step on average."""
        if len(self._groups) < self._sweep_at:
            return
        self._groups = {handle: group for handle, group in self._groups.items() if group.top().lives(at_ns)}
        self._brought = {run: kept for run, kept in self._brought.items() if kept[0] >= at_ns // DAY}
        self._sweep_at = max(_SWEEP_MIN, 2 * len(self._groups))
