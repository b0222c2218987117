"""Child runs from their allow to the launcher that takes each up, and what people's stops mean for them.

How it can be attacked, and how it fails:
- an allow used twice: a child's name follows from its action's, and the books know which actions have had their child;
- another mandate than was judged: the books compare its digest with what the allow names;
- a launcher that never comes, or comes twice: a child waits so long and is taken up once, by one connection;
- anything that fails on the way: the child is ended, and what it was lent is its parent's again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from safebox.firewall.core.action import Action
from safebox.firewall.errors import (
    CallerError,
    ConfigError,
    EffectError,
    FirewallError,
    LedgerUnavailable,
    PolicyUnavailable,
    SandboxError,
)
from safebox.firewall.ledger import Ledger
from safebox.firewall.lifecycle import Lifecycle
from safebox.firewall.mandate.file import RunFile
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import ChildHost
from safebox.firewall.runs import RunNotLive, Runs

ADOPT_SECONDS: Final = 30
"""How long a child waits for its launcher: as long as a run for its own after a restart."""
_LOOK_SECONDS: Final = 1


class Waiting(msgspec.Struct, frozen=True):
    """A child nobody has taken up yet: what its launcher will be told, and until when (monotonic seconds)."""

    told: dict[str, Any]
    until: float


class NoHost:
    """A host where children can't be started."""

    def launch(self, run: str) -> None:
        """Start nothing.

        Raises:
            SandboxError: always.
        """
        raise SandboxError(f"nothing here starts a launcher for {run}")


class Children:
    """Starts children and hands them to their launchers.

    Args:
        host: starts launchers.
        ledger: knows the parents.
        runs: the live runs.
        lifecycle: gives what records, funds and ends runs; asked for when a child starts.
        metrics: counts what came of it.
    """

    def __init__(
        self, host: ChildHost, ledger: Ledger, runs: Runs, lifecycle: Callable[[], Lifecycle], metrics: Metrics
    ) -> None:
        self._host = host
        self._ledger = ledger
        self._runs = runs
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._waiting: dict[str, Waiting] = {}
        self._births: dict[str, asyncio.Task[dict[str, Any]]] = {}

    def under_way(self, run: str) -> bool:
        """Whether a child is being started now."""
        return run in self._births

    async def start(self, run: str, file: RunFile, action: Action, last_look: Callable[[], None]) -> dict[str, Any]:
        """Record, fund and launch a child; what the agent is told. It goes to its end whether or not somebody waits.

        Args:
            run: the child's name.
            file: its mandate, and what it runs.
            action: what was allowed.
            last_look: raises if its parent was stopped.

        Raises:
            EffectError: if it doesn't run; it was ended if it had begun.
            FirewallError: what `last_look` raised; it did not begin.
        """
        birth = asyncio.create_task(self._born(run, file, action, last_look))
        self._births[run] = birth
        birth.add_done_callback(lambda _: self._births.pop(run))
        return await asyncio.shield(birth)

    async def _born(self, run: str, file: RunFile, action: Action, last_look: Callable[[], None]) -> dict[str, Any]:
        lifecycle, parent = self._lifecycle(), self._ledger.book(action.run)
        try:
            told = await lifecycle.start_child(run, file, parent, action.id, last_look)
            engine = msgspec.json.decode(parent.started.run_view)["engine"]
            told |= {"folder": parent.started.folder, "input": action.args.input, "engine": engine}
            self._waiting[run] = Waiting(told, time.monotonic() + ADOPT_SECONDS)
            await asyncio.to_thread(self._host.launch, run)
        except (ConfigError, SandboxError, PolicyUnavailable, LedgerUnavailable, ValueError, OSError) as error:
            await self._undo(run)
            self._metrics.child("failed")
            raise EffectError(f"the child does not run: {error}") from error
        self._metrics.child("started")
        return {"run": run, "state": "started"}

    async def _undo(self, run: str) -> None:
        """End what had begun; if its end can't be recorded now, it is tried again."""
        book = self._ledger.books.runs.get(run)
        self._waiting.pop(run, None)
        if book is None or book.ended is not None:
            return
        try:
            await self._lifecycle().end(run, "not_launched", None)
        except FirewallError:
            self._waiting[run] = Waiting({}, 0.0)

    async def adopt(self, run: str, engine: str) -> dict[str, Any]:
        """Hand a child over to its launcher: what `start` would have told it, with `folder`, `input` and `engine`.

        Args:
            run: the child.
            engine: what the launcher makes sandboxes with; empty to be told.

        Raises:
            CallerError: if no such child waits.
            ConfigError: if its parent lives in another engine; the child goes on waiting.
            RunNotLive: if it, or a run it descends from, was stopped.
        """
        waiting = self._waiting.get(run)
        if waiting is None or time.monotonic() > waiting.until:
            raise CallerError(f"no child {run[:80]!r} waits for a launcher", remedy="its parent starts it")
        if engine not in ("", waiting.told["engine"]):
            raise ConfigError(f"the child's parent lives in {waiting.told['engine']}", remedy="use the same engine")
        found = self._runs.find(run)
        if found.why is not None:
            raise RunNotLive(f"the run is {found.why}")
        del self._waiting[run]
        return dict(waiting.told)

    async def follow(self, gone: Callable[[list[str]], Awaitable[None]]) -> None:
        """End what nobody took up in time, for as long as the firewall lives.

        Args:
            gone: ends those of these runs that are live, because their launchers are not there.
        """
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for run in [run for run, each in self._waiting.items() if time.monotonic() > each.until]:
                with contextlib.suppress(FirewallError):  # its end can't be recorded now: it is tried again
                    await gone([run])
                    self._waiting.pop(run, None)
