"""The runs that are live in this firewall: who they are, whether they may act, who watches them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Final, cast
from weakref import WeakValueDictionary

import msgspec

from safebox.firewall.control.wire import PAUSED, RESUMED
from safebox.firewall.core.action import Action
from safebox.firewall.core.books import RunBook
from safebox.firewall.core.orders import ordered_events, orders_of
from safebox.firewall.core.record import Decided
from safebox.firewall.core.reply import Reply
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.evidence import Evidence
from safebox.firewall.ports import RunView
from safebox.firewall.standing import RunNotLive, Standing

TEXT_SHOWN_MAX: Final = 400
"""Characters of one text in the feed."""

__all__ = ["Run", "RunNotLive", "Runs", "Watcher"]

Watcher = Callable[[dict[str, Any]], None]


class Run(Standing):
    """One live run.

    `judging` is held from an action's facts to its decision in the books, by one action of the run, its parents and its
    children at a time: where policy is evaluated elsewhere, others go on meanwhile, and these would be judged by facts
    that are about to change.
    `turns` has a lock for each connector: what is decided on one budget is decided one after the other. `running` has
    the calls under an idempotency key that aren't answered yet, with the digest of what they ask. `stop_told` and
    `pause_told` are what its sandbox's launcher knows.
    """

    def __init__(self, view: RunView, book: RunBook, evidence: Evidence) -> None:
        super().__init__(book)
        self.view = msgspec.structs.replace(view, last_look=self._last_look)
        self.evidence = evidence
        self.policy_view = book.started.run_view
        self.policy_mandate = book.started.mandate
        self.turns: dict[str, asyncio.Lock] = {}
        self.judging = asyncio.Lock()
        self.running: dict[str, tuple[str, asyncio.Task[Reply]]] = {}
        self.stop_told = self.pause_told = False

    def _last_look(self, action: Action) -> None:
        self.check_effect(TOOLS[action.tool], action.caller)

    def turn(self, connector: str) -> asyncio.Lock:
        """The lock that orders decisions on one connector's budget."""
        lock = self.turns.get(connector)
        if lock is None:
            lock = self.turns[connector] = asyncio.Lock()
        return lock


class Runs:
    """All live runs, by the identity of their listeners."""

    def __init__(self) -> None:
        self._live: dict[str, Run] = {}
        self._returning: dict[str, Run] = {}
        self._judging: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._watchers: list[Watcher] = []

    def add(self, run: Run) -> None:
        """Let a run act, as long as its parent may."""
        above = run.book.parent
        run.parent = None if above is None else self._live.get(above.started.run)
        run.judging = self._judging.setdefault(run.book.root, run.judging)
        self._live[run.view.id] = run

    def remove(self, run: str) -> None:
        """Forget a run that has ended."""
        self._live.pop(run, None)

    @contextmanager
    def returning(self, run: Run) -> Generator[None]:
        """Let the owner, and nobody else, act for a run that has ended, as long as this lasts."""
        run.returning = True
        self._returning[run.view.id] = run
        try:
            yield
        finally:
            del self._returning[run.view.id]

    def find(self, run: str, caller: Caller = Caller.AGENT) -> Run:
        """The live run of this name; for its owner also one that has ended, while it is brought home.

        Raises:
            RunNotLive: if there is none.
        """
        found = self._live.get(run)
        if found is None and caller is Caller.OWNER:
            found = self._returning.get(run)
        if found is None:
            raise RunNotLive("there is no such run here")
        return found

    def all(self) -> list[Run]:
        """Every run that is here."""
        return list(self._live.values())

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Show `watcher` every event from now on; returns what ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def tell(self, event: msgspec.Struct) -> None:
        """Show an event to everyone who watches."""
        if self._watchers:
            self.tell_plain(_shortened(msgspec.to_builtins(event, enc_hook=_as_text)))

    def tell_decided(self, decided: Decided) -> None:
        """Show a decision, and what it ordered; who watches over the sandboxes ends those that were killed by it."""
        self.tell(decided)
        ordered = list(ordered_events(decided, ()))
        for event in ordered:
            self.tell(event)
        if any(order.do == "kill_tree" for order in orders_of(decided)):
            one = self._live.get(decided.run)
            tree = [run for run in self._live.values() if one is not None and run.book.root == one.book.root]
            self.tell_stop(tree, "killed")
        if ordered:
            self.tell_standing()

    def tell_stop(self, stopped: Iterable[Run], reason: str) -> None:
        """Tell whoever watches over their sandboxes that these runs are to end."""
        for run in stopped:
            run.stop_told = True
            self.tell_plain({"event": "stop", "run": run.view.id, "reason": reason})

    def tell_standing(self) -> None:
        """Tell launchers which sandboxes are to stand still, go on or end by now, whoever said it and wherever."""
        for run in self.all():
            if run.state == "killed":
                if not run.stop_told:
                    self.tell_stop([run], "killed")
            elif run.paused is not run.pause_told:
                run.pause_told = run.paused
                self.tell_plain({"event": PAUSED if run.paused else RESUMED, "run": run.view.id})

    def tell_plain(self, event: dict[str, Any]) -> None:
        """Show something that is no ledger event: a stop, a reload of the policy."""
        for watcher in list(self._watchers):
            watcher(event)


def _shortened(value: Any) -> Any:
    """Cut long texts: the feed is for eyes, the ledger has the whole."""
    match value:
        case str() if len(value) > TEXT_SHOWN_MAX:
            return value[:TEXT_SHOWN_MAX] + "…"
        case dict():
            return {key: _shortened(item) for key, item in cast("dict[str, Any]", value).items()}
        case list() | tuple():
            return [_shortened(item) for item in cast("list[Any]", value)]
        case _:
            return value


def _as_text(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    return str(value)
