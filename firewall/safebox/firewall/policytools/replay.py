"""What another policy would have done to what was recorded.

Every recorded decision is made again: policy is asked the very document it was asked then, and what it answers goes
through what the firewall does with an answer (`enforced`). So the same policy changes nothing, and another one changes
exactly what it would have changed about each action by itself.

What can't be known from a record: what would have come of it. Facts are those of that time. Whatever is newly allowed
would have used up budgets and counted towards rates and caps, and an agent that is told otherwise asks for other
things next. `LIMITS` says that to people.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from safebox.firewall.core.decision import Verdict
from safebox.firewall.engines.bundle import Bundle
from safebox.firewall.errors import ConfigError
from safebox.firewall.policytools.comparison import Change, Kind
from safebox.firewall.policytools.enforced import Price
from safebox.firewall.policytools.evaluate import require_fit
from safebox.firewall.policytools.judges import Judges, processors
from safebox.firewall.policytools.judging import Chosen, Job, Judged
from safebox.firewall.policytools.recorded import ledger_file, start_numbers
from safebox.firewall.store.reader import last_record

STRETCH: Final = 2_000
"""Records a child takes at once: a fifth of a second, so that all of them end at about the same time."""
ALLOWED_MAX: Final = 100_000
"""Newly allowed actions that are kept one by one: some 200 MB. Beyond it they are counted and summed up only."""
OTHERS_MAX: Final = 10_000
"""The same of each other kind of change: so many show what a policy does."""
LIMITS: Final = (
    "Each action was judged alone, with the facts recorded then: what is newly allowed would have used up budgets, "
    "rates and caps of later actions, and agents would have gone on differently."
)

Progress = Callable[[int, int], None]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay found. Counts and sums are of everything; `changes` has the first of each kind.

    `baseline` is None where the recorded answers are compared. `undecided` decisions were never judged: something had
    failed. `would_move` is what the newly allowed actions take at worst, but for those held then which people let pass:
    theirs is `moved_anyway`. `would_not_move` is what newly denied and newly held actions took then, at worst.
    """

    candidate: str
    baseline: str | None
    records: int
    judged: int
    undecided: int
    left_out: int
    counts: dict[str, int]
    would_move: tuple[Price, ...]
    moved_anyway: tuple[Price, ...]
    would_not_move: tuple[Price, ...]
    changes: tuple[Change, ...]
    seconds: float
    limits: str = LIMITS

    def of(self, kind: Kind) -> tuple[Change, ...]:
        """The listed changes of one kind, in the order of the ledger."""
        return tuple(change for change in self.changes if change.kind is kind)

    @property
    def per_second(self) -> float:
        """Decisions judged again in a second."""
        return self.judged / self.seconds if self.seconds > 0 else 0.0


class _Sums:
    """Adds up what is found, stretch by stretch in the order of the ledger."""

    def __init__(self) -> None:
        self.judged = self.undecided = self.left_out = 0
        self.counts: Counter[Kind] = Counter()
        self.changes: dict[Kind, list[Change]] = {kind: [] for kind in Kind}
        self.would_move: Counter[tuple[str, str]] = Counter()
        self.would_not_move: Counter[tuple[str, str]] = Counter()
        self.held: dict[str, tuple[Price, ...]] = {}
        self.released: dict[str, str] = {}

    def add(self, judged: Judged) -> None:
        self.judged += judged.judged
        self.undecided += judged.undecided
        self.left_out += judged.left_out
        self.released |= judged.released
        for change in judged.changes:
            self._count(change)

    def _count(self, change: Change) -> None:
        self.counts[change.kind] += 1
        if len(self.changes[change.kind]) < (ALLOWED_MAX if change.kind is Kind.NEWLY_ALLOWED else OTHERS_MAX):
            self.changes[change.kind].append(change)
        if change.kind is Kind.NEWLY_ALLOWED and change.before.verdict is Verdict.HOLD:
            self.held[change.decision] = change.prices
        elif change.kind is Kind.NEWLY_ALLOWED:
            _add(self.would_move, change.prices)
        elif change.before.verdict is Verdict.ALLOW and change.kind is not Kind.CHANGED:
            _add(self.would_not_move, change.prices)

    def moved_anyway(self) -> Counter[tuple[str, str]]:
        """What held actions took that people let pass; adds the others to what would move."""
        anyway: Counter[tuple[str, str]] = Counter()
        for hold, prices in self.held.items():
            _add(anyway if self.released.get(hold) == Verdict.ALLOW else self.would_move, prices)
        return anyway


def replay(
    ledger: Path,
    candidate: Bundle,
    *,
    baseline: Bundle | None = None,
    chosen: Chosen | None = None,
    progress: Progress | None = None,
    children: int | None = None,
) -> Report:
    """Judge every recorded decision by another policy, in child processes.

    Args:
        ledger: its file, or a firewall's state folder; only read, up to the last record there is now.
        candidate: judges.
        baseline: compared with; without it, what was recorded is.
        chosen: which decisions; without it, all.
        progress: told (records, of) from time to time.
        children: how many processes; without it, as many as there are processors.

    Raises:
        ConfigError: if there is no ledger, or it is damaged.
        PolicyUnavailable: if a policy would not come into force, or ends or holds up the process that judges by it.
    """
    started, file = time.monotonic(), ledger_file(ledger)
    for bundle in (candidate, baseline):
        if bundle is not None:
            require_fit(bundle)
    last, sums = last_record(file), _Sums()
    job = Job(
        str(file.absolute()), candidate.encode(), None if baseline is None else baseline.encode(), chosen or Chosen()
    )
    stretches = -(-last // STRETCH)
    with Judges(job, max(1, min(children or processors(), stretches))) as judges:
        for count, judged in enumerate(_in_order(judges.through(_stretches(file, last))), start=1):
            if judged.problem is not None:
                cause, remedy = judged.problem
                raise ConfigError(cause, remedy=remedy)
            sums.add(judged)
            if progress is not None:
                progress(min(count * STRETCH, last), last)
    return _report(sums, candidate, baseline, last, time.monotonic() - started)


def _stretches(ledger: Path, last: int) -> Iterator[tuple[int, int, list[int]]]:
    starts: list[int] = []
    for first in range(1, last + 1, STRETCH):
        until = min(first + STRETCH - 1, last)
        starts += start_numbers(ledger, first, until)
        yield first, until, starts


def _in_order(judged: Iterable[tuple[int, Judged]]) -> Iterator[Judged]:
    """What was judged, in the order of the ledger; no more waits than there are children."""
    waiting: dict[int, Judged] = {}
    due = 0
    for index, each in judged:
        waiting[index] = each
        while due in waiting:
            yield waiting.pop(due)
            due += 1


def _report(sums: _Sums, candidate: Bundle, baseline: Bundle | None, records: int, seconds: float) -> Report:
    moved_anyway = sums.moved_anyway()
    return Report(
        candidate=candidate.digest,
        baseline=None if baseline is None else baseline.digest,
        records=records,
        judged=sums.judged,
        undecided=sums.undecided,
        left_out=sums.left_out,
        counts={kind.value: sums.counts[kind] for kind in Kind},
        would_move=_prices(sums.would_move),
        moved_anyway=_prices(moved_anyway),
        would_not_move=_prices(sums.would_not_move),
        changes=tuple(change for kind in Kind for change in sums.changes[kind]),
        seconds=seconds,
    )


def _add(sums: Counter[tuple[str, str]], prices: Iterable[Price]) -> None:
    for price in prices:
        sums[price.rail, price.asset] += price.units


def _prices(sums: Counter[tuple[str, str]]) -> tuple[Price, ...]:
    return tuple(Price(rail, asset, units) for (rail, asset), units in sorted(sums.items()) if units)
