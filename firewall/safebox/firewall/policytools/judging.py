"""Judges a stretch of a ledger again, in a process of its own.

Policy may end the process that evaluates it, or never come back; so the program that wants to know stays outside.
`python -m safebox.firewall.policytools.judging` reads a `Job` and then, one by one, a `Stretch`, and answers each with
`Judged`. The records it reads by itself, from the ledger's file: nothing large goes through the pipe.
"""

from __future__ import annotations

import contextlib
import gc
import json
import resource
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from safebox.firewall.core.decision import Answer, refusal
from safebox.firewall.engines.bundle import decode_bundle
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.errors import PolicyUnavailable, SafeboxError
from safebox.firewall.policytools.clipping import clip
from safebox.firewall.policytools.comparison import Change, Kind, difference
from safebox.firewall.policytools.enforced import enforced, prices
from safebox.firewall.policytools.frames import read_frame, write_frame
from safebox.firewall.policytools.recorded import Reading, Recorded, record_at, records

MEMORY_MAX: Final = 4_294_967_296
"""Address space of a child: the largest document takes a quarter of it."""


class Chosen(msgspec.Struct, frozen=True):
    """Which decisions are judged again: of runs whose name ends so, of a tool or a family of them, since a time."""

    run: str = ""
    tool: str = ""
    since_ns: int = 0

    def has(self, recorded: Recorded) -> bool:
        """Whether this one is."""
        return (
            recorded.at_ns >= self.since_ns
            and recorded.run.endswith(self.run)
            and (not self.tool or recorded.tool == self.tool or recorded.tool.startswith(f"{self.tool}."))
        )


class Job(msgspec.Struct, frozen=True):
    """What a child is started for. Bundles are as `Bundle.encode` says them; without a baseline it is the record."""

    ledger: str
    candidate: bytes
    baseline: bytes | None
    chosen: Chosen


class Stretch(msgspec.Struct, frozen=True):
    """Records from `first` to `last`. `starts` are the records up to there that start a run, as far as it is new."""

    first: int
    last: int
    starts: tuple[int, ...]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a stretch: how many decisions were judged again, were never judged, or weren't chosen.

    `released` says of held decisions which one uses them up, and with which verdict it was recorded. `problem` is why
    the ledger can't be read.
    """

    judged: int = 0
    undecided: int = 0
    left_out: int = 0
    changes: tuple[Change, ...] = ()
    released: dict[str, str] = {}
    problem: tuple[str, str] | None = None


class Judge:
    """Judges by a candidate what was recorded.

    Raises:
        PolicyUnavailable: if a bundle can't be compiled.
    """

    def __init__(self, job: Job) -> None:
        self._ledger = Path(job.ledger)
        self._chosen = job.chosen
        self._candidate = EmbeddedEngine(decode_bundle(job.candidate))
        self._baseline = None if job.baseline is None else EmbeddedEngine(decode_bundle(job.baseline))
        self._reading = Reading()

    def judge(self, stretch: Stretch) -> Judged:
        """Judge every chosen decision of a stretch."""
        try:
            for number in stretch.starts:
                self._reading.see(*record_at(self._ledger, number))
            return self._through(stretch)
        except SafeboxError as error:
            return Judged(problem=(error.cause, error.remedy))

    def _through(self, stretch: Stretch) -> Judged:
        judged = undecided = left_out = 0
        changes: list[Change] = []
        released: dict[str, str] = {}
        for number, body in records(self._ledger, first=stretch.first, last=stretch.last):
            recorded = self._reading.see(number, body)
            if recorded is None:
                continue
            if recorded.hold is not None:
                released[recorded.hold] = recorded.answer.verdict
            if not self._chosen.has(recorded):
                left_out += 1
            elif not recorded.judged:
                undecided += 1
            else:
                judged += 1
                if (change := self._compared(recorded)) is not None:
                    changes.append(change)
        return Judged(judged=judged, undecided=undecided, left_out=left_out, changes=tuple(changes), released=released)

    def _compared(self, recorded: Recorded) -> Change | None:
        try:
            before = self._before(recorded)
            after = self._asked(self._candidate, recorded)
        except PolicyUnavailable as error:
            return _change(recorded, Kind.UNANSWERED, recorded.answer, None, error.cause)
        kind = difference(before, after)
        return None if kind is None else _change(recorded, kind, before, after)

    def _before(self, recorded: Recorded) -> Answer:
        """What it is compared with; a baseline that can't answer is a no, as it would be in force."""
        if self._baseline is None:
            return recorded.answer
        try:
            return self._asked(self._baseline, recorded)
        except PolicyUnavailable as error:
            return refusal(error.code, error.cause)

    def _asked(self, engine: EmbeddedEngine, recorded: Recorded) -> Answer:
        try:
            return enforced(recorded, engine.answer(recorded.document))
        except msgspec.MsgspecError as error:
            raise PolicyUnavailable(f"record {recorded.number} is not one of this firewall's: {error}") from error


def _change(recorded: Recorded, kind: Kind, before: Answer, after: Answer | None, why: str = "") -> Change:
    with contextlib.suppress(msgspec.MsgspecError):
        return Change(
            number=recorded.number,
            kind=kind,
            decision=recorded.decision,
            action_id=recorded.action_id,
            run=recorded.run,
            tool=recorded.tool,
            at_ns=recorded.at_ns,
            before=before,
            after=after,
            prices=prices(recorded),
            asked=_asked_for(recorded),
            hold=recorded.hold,
            why=why[:500],
        )
    raise PolicyUnavailable(f"record {recorded.number} has amounts that can't be read")


def _asked_for(recorded: Recorded) -> dict[str, Any]:
    """The action, and whom it pays, as it may be shown."""
    document: dict[str, Any] = json.loads(recorded.document)
    return {"args": clip(document["action"].get("args")), "payee": clip(document["facts"].get("payee"))}


def main() -> None:
    """Be the child."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    first = read_frame(requests)
    if first is None:
        return
    judge = Judge(msgspec.msgpack.decode(first, type=Job))
    gc.freeze()  # what is there now stays; only what comes after is worth looking through
    _serve(judge, requests, answers)


def _serve(judge: Judge, requests: BinaryIO, answers: BinaryIO) -> None:
    while (message := read_frame(requests)) is not None:
        judged = judge.judge(msgspec.msgpack.decode(message, type=Stretch))
        write_frame(answers, msgspec.msgpack.encode(judged))


if __name__ == "__main__":
    main()
