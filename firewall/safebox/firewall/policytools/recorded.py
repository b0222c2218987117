"""Recorded decisions, each with the exact document that policy was shown.

What a decision was judged by is in the ledger in two places: `action` and `facts` in its own record, `run` and
`mandate` in the record that started its run. Joined they are byte for byte what policy was asked, so any policy can be
asked again. Whether a run may start is decided before it is one; that record has all four parts.

Rule 1: a ledger is only read, never held: a firewall may write to it meanwhile, and what it writes is not seen.
Rule 2: nothing is kept of a record that was passed, except the start of each run.
Rule 3: what can't be understood is an error that names its record; nothing is left out in silence.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from safebox.firewall.core.decision import Answer, parse_answer
from safebox.firewall.core.document import policy_input
from safebox.firewall.core.money import decode_amount
from safebox.firewall.core.record import Charge
from safebox.firewall.errors import ConfigError, PolicyUnavailable
from safebox.firewall.store.reader import DAMAGE, last_record, open_ledger

LEDGER_NAME: Final = "ledger.sqlite3"
ROWS_AT_ONCE: Final = 256
"""Records of one query. A query that stays open keeps the writer from emptying its log."""
STARTS: Final = b'{"event":"run_started"'
"""How each record of a run's start begins: records are written in one way only."""
_NONE: Final = msgspec.Raw(b"null")

Row = tuple[int, bytes]
"""Number and content of a record."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One decision as it was recorded, and what policy was shown.

    `number` is its record's. `judged` is false where something failed and policy wasn't asked; its document then lacks
    the facts. `answer` is what the firewall acted on: policy's, or its own no. `hold` names the held decision this one
    uses up. `charges` are those of an allowed action.
    """

    number: int
    decision: str
    action_id: str
    run: str
    tool: str
    caller: str
    digest: str
    at_ns: int
    document: bytes
    judged: bool
    answer: Answer
    bundle: str
    charges: tuple[Charge, ...]
    hold: str | None


class _Record(msgspec.Struct, frozen=True):
    """What is read of any record; the rest is skipped."""

    event: str
    at_ns: int = 0
    run: str = ""
    decision: str = ""
    action_id: str = ""
    tool: str = ""
    caller: str = ""
    digest: str = ""
    bundle: str = ""
    hold: Any = None
    answer: msgspec.Raw = _NONE
    charges: msgspec.Raw = _NONE
    action: msgspec.Raw = _NONE
    facts: msgspec.Raw = _NONE
    run_view: msgspec.Raw = _NONE
    mandate: msgspec.Raw = _NONE


class _Action(msgspec.Struct, frozen=True):
    id: str
    tool: str
    caller: str


_DECODER: Final = msgspec.json.Decoder(_Record)
_CHARGES: Final = msgspec.json.Decoder(tuple[Charge, ...], dec_hook=decode_amount)


class Reading:
    """Makes recorded decisions of a ledger's records. It has to be given the start of a run before its decisions."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[msgspec.Raw, msgspec.Raw]] = {}

    def see(self, number: int, body: bytes) -> Recorded | None:
        """Take one record; the decision, if it is one.

        Raises:
            ConfigError: if it can't be understood, or speaks of a run that wasn't started before.
        """
        try:
            record = _DECODER.decode(body)
            if record.event == "run_started":
                # copies: what is kept must not keep the whole record
                self._runs[record.run] = msgspec.Raw(bytes(record.run_view)), msgspec.Raw(bytes(record.mandate))
            if record.event == "launch_decided":
                return _launch(number, record)
            return self._decision(number, record) if record.event == "decided" else None
        except (msgspec.DecodeError, ValueError, TypeError, PolicyUnavailable) as error:
            raise _damaged(number, error) from error

    def _decision(self, number: int, record: _Record) -> Recorded:
        if record.run not in self._runs:
            raise ValueError("no record before it starts its run")
        run, mandate = self._runs[record.run]
        return Recorded(
            number=number,
            decision=record.decision,
            action_id=record.action_id,
            run=record.run,
            tool=record.tool,
            caller=record.caller,
            digest=record.digest,
            at_ns=record.at_ns,
            document=policy_input(record.action, run, mandate, record.facts),
            judged=bytes(record.facts) != b"null",
            answer=parse_answer(bytes(record.answer)),
            bundle=record.bundle,
            charges=() if bytes(record.charges) == b"[]" else _CHARGES.decode(record.charges),
            hold=record.hold,
        )


def _launch(number: int, record: _Record) -> Recorded:
    """The decision whether a run may start: its record has all that policy was shown."""
    action = msgspec.json.decode(record.action, type=_Action)
    return Recorded(
        number=number,
        decision=record.decision,
        action_id=action.id,
        run=record.run,
        tool=action.tool,
        caller=action.caller,
        digest="",
        at_ns=record.at_ns,
        document=policy_input(record.action, record.run_view, record.mandate, record.facts),
        judged=True,
        answer=parse_answer(bytes(record.answer)),
        bundle=record.bundle,
        charges=(),
        hold=None,
    )


def ledger_file(path: Path) -> Path:
    """The ledger that is meant: a file, or the one in a firewall's state folder."""
    return path / LEDGER_NAME if path.is_dir() else path


def read_recorded(path: Path) -> Iterator[Recorded]:
    """Give every decision of a ledger, in order, up to the last there is now.

    Args:
        path: the ledger's file, or a firewall's state folder.

    Raises:
        ConfigError: if there is no ledger, or it is damaged.
    """
    reading = Reading()
    for number, body in records(ledger_file(path)):
        recorded = reading.see(number, body)
        if recorded is not None:
            yield recorded


def find_recorded(path: Path, name: str) -> Recorded:
    """The decision that is meant: by its own id or its action's, or the end of one. Of one action's, the last.

    Raises:
        ConfigError: if none or several could be meant, or the ledger is damaged.
    """
    file, end = ledger_file(path), name.lower()
    reading, found = Reading(), dict[str, Recorded]()
    for number, body in _rows_with(file, end.encode()):
        recorded = reading.see(number, body)
        if end and recorded is not None:
            found |= {each: recorded for each in (recorded.action_id, recorded.decision) if each.endswith(end)}
    meant = {each.number: each for each in ([found[end]] if end in found else found.values())}
    if len(meant) != 1:
        what = "several decisions' names end" if found else "no decision's name ends"
        remedy = "safebox audit tail --json shows the names of decisions"
        raise ConfigError(f"{what} with {name!r}", remedy=remedy, code="config.no_decision")
    return next(iter(meant.values()))


def records(path: Path, *, first: int = 1, last: int | None = None) -> Iterator[Row]:
    """Give a ledger's records by number, from `first` to `last` or the last there is now.

    Raises:
        ConfigError: if there is no ledger, or it is damaged.
    """
    end = last_record(path) if last is None else last
    with open_ledger(path) as db:
        for start in range(first, end + 1, ROWS_AT_ONCE):
            until = min(start + ROWS_AT_ONCE - 1, end)
            query = "SELECT seq, body FROM events WHERE seq BETWEEN ? AND ? ORDER BY seq"
            yield from _read(path, db, query, (start, until))


def start_numbers(path: Path, first: int, last: int) -> list[int]:
    """The numbers of the records between these two that start a run.

    Raises:
        ConfigError: if there is no ledger, or it is damaged.
    """
    with open_ledger(path) as db:
        query = "SELECT seq, x'' FROM events WHERE seq BETWEEN ? AND ? AND substr(body, 1, ?) = ? ORDER BY seq"
        return [number for number, _ in _read(path, db, query, (first, last, len(STARTS), STARTS))]


def record_at(path: Path, number: int) -> Row:
    """One record.

    Raises:
        ConfigError: if it isn't there.
    """
    for row in records(path, first=number, last=number):
        return row
    raise _damaged(number, "it is not there")


def _rows_with(path: Path, piece: bytes) -> Iterator[Row]:
    """The records that start a run, and those that have these bytes somewhere."""
    with open_ledger(path) as db:
        query = "SELECT seq, body FROM events WHERE substr(body, 1, ?) = ? OR instr(body, ?) ORDER BY seq"
        yield from _read(path, db, query, (len(STARTS), STARTS, piece))


def _read(path: Path, db: sqlite3.Connection, query: str, values: Sequence[object]) -> Iterator[Row]:
    try:
        for number, body in db.execute(query, values):
            if type(number) is not int or type(body) is not bytes:
                raise _damaged(number, "it is no record")
            yield number, body
    except DAMAGE as error:
        raise ConfigError(f"{path} is not a readable ledger: {error}", remedy="run safebox audit verify") from error


def _damaged(number: object, why: object) -> ConfigError:
    return ConfigError(f"record {number} of the ledger can't be understood: {why}", remedy="run safebox audit verify")
