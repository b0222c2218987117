"""Keeps the right bundle in force while people edit it.

Rule 1: only a bundle that passed `validate` comes into force, and exactly the one that passed: what was read is checked
        and activated as one value, never read a second time.
Rule 2: a broken edit changes nothing but `failing`; the last good bundle stays in force.
Rule 3: without any good bundle there is no answer.
Rule 4: `bundle` names what gave the last answer until whoever asked goes on: while somebody is being answered no other
        bundle comes into force, and while one comes nobody is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

import msgspec

from safebox.firewall.core.decision import Answer
from safebox.firewall.engines.bundle import Bundle, load_bundle, policy_files
from safebox.firewall.engines.making import InProcess, Place
from safebox.firewall.engines.passage import Passage
from safebox.firewall.engines.relax import RELAX_NAME
from safebox.firewall.engines.validate import Checked, check_bundle
from safebox.firewall.errors import PolicyUnavailable, SafeboxError
from safebox.firewall.ports import Engine, EngineHealth

POLL_SECONDS: Final = 0.2
"""With the check this keeps an edit under a second away from being in force."""
SETTLE_SECONDS: Final = 0.05
"""An editor writes a file in steps; what is still changing is not read."""

Print = tuple[tuple[str, int, int, int, int, int], ...]
"""What tells one state of the folders from another without reading the files."""


class Reload(msgspec.Struct, frozen=True):
    """One attempt to bring a bundle into force, for metrics and logs."""

    result: Literal["activated", "unchanged", "refused"]
    bundle: str
    """The digest in force after the attempt; empty if there is none."""
    problem: str | None


class ReloadingEngine:
    """An engine over policy folders, following their edits.

    An `Engine` (see `ports`). Use it in one thread, on one event loop: `start` it, ask it, `stop` it.

    Args:
        folders: of the policies.
        load: gives the bundle to start with, where policy comes from no folders.
        observe: is told of each attempt to bring a bundle into force.
        place: makes the engines; closed with this one. In this process unless another is given.
        checked: gives what a check that began earlier found; it counts for the very bundle it looked at, once.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        load: Callable[[], Bundle] | None = None,
        observe: Callable[[Reload], None] = lambda reload: None,
        place: Place | None = None,
        checked: Callable[[], Checked] | None = None,
    ) -> None:
        self._folders = tuple(folders)
        self._load = load or partial(load_bundle, self._folders)
        self._relaxed: dict[str, str] = {}
        self._checked = checked
        self._place = place or InProcess()
        self._passage = Passage()
        self._observe = observe
        self._engine: Engine | None = None
        self._good: Checked | None = None
        self._failing: str | None = "policy has not been loaded yet"
        self._seen: Print | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def bundle(self) -> str:
        """The digest of the bundle in force; empty if there is none."""
        return self._engine.bundle if self._engine else ""

    @property
    def relaxed(self) -> Mapping[str, str]:
        """What the overlays in force may make looser: path → reason."""
        return self._relaxed

    @property
    def failing(self) -> str | None:
        """What is wrong with the newest state of the folders; nothing if it is in force."""
        if self._watch is not None and self._watch.done():
            return "policy folders are no longer followed; restart the firewall"
        return self._failing

    async def start(self) -> None:
        """Load the folders once, then follow them. A broken pack is no exception: it shows in `health`."""
        await self._reload()
        self._watch = asyncio.create_task(self._follow(), name="policy-reload")

    async def replace(self, bundle: Bundle, record: Callable[[], Awaitable[None]]) -> None:
        """Put this bundle in force, once it is checked and `record` has come back.

        Raises:
            PolicyUnavailable: if it is no good.
            SafeboxError: what `record` raises. Then, too, what was in force stays so.
        """
        found = await asyncio.to_thread(check_bundle, bundle)
        if found.problem is not None:
            raise PolicyUnavailable(found.problem, kind="refused")
        async with self._passage.closed():
            engine = await self._place.make(bundle, found.program)
            try:
                await record()
            except SafeboxError:
                await self._take_back()
                raise
            self._engine, self._good, self._relaxed = engine, found, bundle.relaxed
        self._settle("activated")

    async def stop(self) -> None:
        """Follow no longer, and let go of what evaluates."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self._place.close()

    async def decide(self, document: bytes) -> Answer:
        """Ask the bundle in force.

        Raises:
            PolicyUnavailable: if there is none, or it gives no exact answer.
        """
        await self._passage.enter()
        try:
            if self._engine is None:
                raise PolicyUnavailable(f"no policy is in force: {self._failing}", kind="missing")
            return await self._engine.decide(document)
        finally:
            self._passage.leave()

    def health(self) -> EngineHealth:
        """Whether a bundle is in force and the watch over its folders is alive."""
        if self._engine is None:
            return EngineHealth(False, f"no policy is in force: {self._failing}")
        health = self._engine.health()
        if health.ready and self.failing is not None:
            return EngineHealth(True, f"an edit is refused, the last good policy stays in force: {self.failing}")
        return health

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            current = take_print(self._folders)
            if current != self._seen:
                await asyncio.sleep(SETTLE_SECONDS)
                if take_print(self._folders) == current:
                    await self._reload()

    async def _reload(self) -> None:
        before = take_print(self._folders)
        try:
            bundle = self._load()
        except PolicyUnavailable as error:
            self._refuse(error.cause)
        else:
            if (bundle.digest, bundle.relaxed) == (self.bundle, self._relaxed):
                self._settle("unchanged")
            else:
                await self._activate(await asyncio.to_thread(self._check, bundle))
        self._seen = before

    def _check(self, bundle: Bundle) -> Checked:
        """What keeps a bundle from coming into force, as it was found out before or is found out now."""
        checked, self._checked = self._checked, None
        if checked is not None:
            with contextlib.suppress(PolicyUnavailable, OSError):
                found = checked()
                if found.bundle == bundle:
                    return found
        return check_bundle(bundle)

    async def _activate(self, found: Checked) -> None:
        if found.problem is not None:
            self._refuse(found.problem)
            return
        try:
            async with self._passage.closed():
                self._engine, self._good = await self._place.make(found.bundle, found.program), found
        except PolicyUnavailable as error:
            self._refuse(error.cause)
        else:
            self._relaxed = found.bundle.relaxed
            self._settle("activated")

    async def _take_back(self) -> None:
        """Have the last good bundle judge again, after another one was made that is not to."""
        if self._good is not None:
            self._engine = await self._place.make(self._good.bundle, self._good.program)

    def _settle(self, result: Literal["activated", "unchanged"]) -> None:
        self._failing = None
        self._observe(Reload(result, self.bundle, None))

    def _refuse(self, problem: str) -> None:
        self._failing = problem
        self._observe(Reload("refused", self.bundle, problem))


def take_print(folders: Sequence[Path], *, tests: bool = False) -> Print:
    """Tell what the policy folders hold by name, size, times and inodes; a folder that can't be listed is empty.

    Args:
        folders: the layers.
        tests: count `*_test.rego` in, too.
    """
    found: list[tuple[str, int, int, int, int, int]] = []
    for index, folder in enumerate(folders):
        with contextlib.suppress(PolicyUnavailable, OSError):
            for relative, path in [*policy_files(folder, tests=tests), (RELAX_NAME, folder / RELAX_NAME)]:
                now = path.stat()
                times = (now.st_mtime_ns, now.st_ctime_ns)
                found.append((f"{index}/{relative}", *times, now.st_size, now.st_ino, now.st_dev))
    return tuple(found)
