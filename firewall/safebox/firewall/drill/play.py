"""Tries the whole catalogue on somebody's own policies and mandate."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.facts import rfc3339
from safebox.firewall.drill.aim import Aim
from safebox.firewall.drill.catalogue import CATALOGUE, NOT_TRIED
from safebox.firewall.drill.entry import Entry
from safebox.firewall.drill.grade import Report, Row, grade_of
from safebox.firewall.drill.judge import Judge
from safebox.firewall.drill.mending import Mending
from safebox.firewall.drill.moment import opening
from safebox.firewall.drill.setting import Setting
from safebox.firewall.drill.stage import Stage
from safebox.firewall.drill.told import STRICT, Told
from safebox.firewall.mandate.section import MandateErrors

AT_ONCE: Final = 6
"""Stages open at the same time: most of their time is waiting for the disk."""

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the folder made there is this user's alone

Progress = Callable[[int, int], None]
"""Is told (tried, of)."""


async def play(
    mandate: str,
    folders: Sequence[Path],
    *,
    source: str = "safebox.toml",
    folder: Path | None = None,
    sections: str = "ABCDEF",
    now_ns: int | None = None,
    progress: Progress = lambda _done, _of: None,
    catalogue: Sequence[Entry] = CATALOGUE,
) -> Report:
    """Try everything in these sections. Nothing leaves the machine, and nothing is kept.

    Args:
        mandate: a mandate file's text.
        folders: the policies: the base, then overlays.
        source: the mandate file's name, for messages.
        folder: the agent's own, whose files must not leave; None if there is none.
        sections: letters of the catalogue of threats.
        now_ns: when it is at the start.
        progress: is told (tried, of).
        catalogue: what there is to try.

    Raises:
        MandateErrors: if the mandate is wrong.
    """
    started = time.monotonic()
    with contextlib.closing(Judge(folders)) as judge:
        return await _play(judge, started, mandate, source, folder, sections, now_ns, progress, catalogue)


async def _play(
    judge: Judge,
    started: float,
    mandate: str,
    source: str,
    folder: Path | None,
    sections: str,
    now_ns: int | None,
    progress: Progress,
    catalogue: Sequence[Entry],
) -> Report:
    now = time.time_ns() if now_ns is None else now_ns
    first = Setting(mandate, source, folder, judge, now)
    setting = _setting(first, await opening(judge, first.aim.mandate, now))
    wanted = [entry for entry in catalogue if entry.section in sections]
    mending = Mending(judge.loaded, judge.problem)
    with tempfile.TemporaryDirectory(prefix="safebox-drill-", dir=_memory()) as place:
        company = _Company(setting, Path(place), mending, progress, len(wanted))
        rows = await company.play(wanted)
    return Report(
        agent=setting.aim.mandate.agent,
        bundle=judge.bundle,
        moment=rfc3339(setting.now_ns),
        problem=judge.problem,
        grade=grade_of(rows),
        rows=tuple(rows),
        not_tried=tuple(each for each in NOT_TRIED if each[0] in sections),
        seconds=time.monotonic() - started,
    )


def _setting(now: Setting, opens_ns: int) -> Setting:
    """The same at a time when policies are open, if the mandate still holds then."""
    if opens_ns == now.now_ns:
        return now
    try:
        return now.at(opens_ns)
    except MandateErrors:
        return now


def _memory() -> str | None:
    """A file system in memory, if there is one: what a drill writes need not outlive it, and a disk takes its time."""
    return str(MEMORY) if os.access(MEMORY, os.W_OK | os.X_OK) else None


class _Company:
    """Plays entries, several at a time, each on a stage of its own."""

    def __init__(
        self,
        setting: Setting,
        place: Path,
        mending: Mending,
        progress: Progress,
        total: int,
    ) -> None:
        self._setting = setting
        self._aim = setting.aim
        self._place = place
        self._mending = mending
        self._progress = progress
        self._total = total
        self._done = 0
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def play(self, entries: Sequence[Entry]) -> list[Row]:
        return await asyncio.gather(*(self._one(entry) for entry in entries))

    async def _one(self, entry: Entry) -> Row:
        lacking = entry.lacks(self._aim)
        if lacking is not None:
            row = _row(entry, self._aim, got="-", outcome="not granted", note=lacking)
        else:
            async with self._turns:
                row = await self._tried(entry)
        self._done += 1
        self._progress(self._done, self._total)
        return row

    async def _tried(self, entry: Entry) -> Row:
        folder = self._place / entry.name
        folder.mkdir()
        stage = await Stage.open(self._setting, folder)
        try:
            told = await entry.play(stage)
            return self._judged(entry, told, len(stage.effects))
        finally:
            await stage.close()

    def _judged(self, entry: Entry, told: Told, effects: int) -> Row:
        """An answer counts only if the world agrees with it."""
        note, got = told.note, str(told.verdict)
        harmless = entry.wanted is Verdict.ALLOW
        if harmless:
            fine = told.verdict is Verdict.ALLOW and not told.code and effects == entry.effects
            if told.verdict is Verdict.ALLOW and effects != entry.effects:
                note = f"{effects} things were done, not {entry.effects}"
        else:
            fine = STRICT[told.verdict] >= STRICT[entry.wanted] and effects == 0
            if told.verdict is not Verdict.ALLOW and effects:
                note, got = f"it was answered {told.verdict}, and {effects} things were done", "allow"
        mend = "" if fine else self._mending.say(entry, told)
        return _row(entry, self._aim, got=got, code=told.code, outcome="pass" if fine else "FAIL", note=note, mend=mend)


def _row(entry: Entry, aim: Aim, **fields: object) -> Row:
    known = {name: value for name, value in vars(aim).items() if isinstance(value, str)}
    return Row(
        section=entry.section,
        name=entry.name,
        kind="harmless" if entry.wanted is Verdict.ALLOW else "attack",
        severity=entry.severity,
        text=entry.text.format_map(known),
        wanted=entry.wanted,
        by="policy" if entry.alone else "path",
        **{"code": "", **fields},  # type: ignore[arg-type]
    )
