"""The words by which a base says which way its data is stricter, and whether a change goes that way.

    lower, higher   a whole number, or an amount of the same asset
    cap             a number that may be absent, which is no limit; lower is stricter
    more, fewer     the members of a list, whatever their order; for fewer, null is a list of everything
    verdict         "allow", "hold" or "deny": the same, or a later one of the three
    terms           of a hold: the same group, more people, a longer window, a shorter life
    mode            of a reason code: only codes that nothing below this layer says may be only monitored
    hours           "always", or windows of weekdays: no minute more than below
    new             may be added, never changed
    fixed           never

A change that isn't plainly understood goes the wrong way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

Path = tuple[str, ...]
Wrong = tuple[Path, str]
"""What of a change goes the wrong way: where below its path, and why."""

ABSENT: Final = object()
_DEFAULT_TERMS: Final = ("data", "holds", "default")
_DEFAULT_HOURS: Final = ("data", "hours", "default")
_TERMS: Final = frozenset({"group", "approvals", "challenge_s", "expires_s"})
_AMOUNT: Final = frozenset({"asset", "units"})
_WINDOW: Final = frozenset({"days", "from", "until"})
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MINUTES: Final = 1440
_VERDICTS: Final = ("allow", "hold", "deny")
_UNITS: Final = re.compile(r"[0-9]{78}")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_SITE_CODE: Final = re.compile(r"site\.[a-z0-9_]+")
_SHORT: Final = 40
"""Characters of a value in a message."""


class Change(msgspec.Struct, frozen=True):
    """One value below a layer, and with it.

    `root` is all data below, `said` tells whether rules below might say a reason code.
    """

    path: Path
    before: Any
    after: Any
    root: Mapping[str, Any]
    said: Callable[[str], bool]

    def shown(self) -> str:
        """Both values, for people."""
        return f"{_short(self.before)} → {_short(self.after)}"

    def below(self, default: Path) -> Any:
        """What counted before: the value itself, or the default that stands in for one that was absent."""
        if self.before is not ABSENT:
            return self.before
        found: Any = self.root
        for part in default:
            found = cast("dict[str, Any]", found).get(part, ABSENT) if isinstance(found, dict) else ABSENT
        return found


def wrong_way(word: str, change: Change) -> Iterator[Wrong]:
    """What of a change goes the wrong way by the word that is declared for it."""
    return _WORDS.get(word, _fixed)(change)


def _lower(change: Change) -> Iterator[Wrong]:
    if not _at_most(change.after, change.before):
        yield (), f"{change.shown()}, lower is stricter"


def _higher(change: Change) -> Iterator[Wrong]:
    if not _at_most(change.before, change.after):
        yield (), f"{change.shown()}, higher is stricter"


def _cap(change: Change) -> Iterator[Wrong]:
    unlimited = change.before is ABSENT or change.before is None
    if not (_is_whole(change.after) if unlimited else _at_most(change.after, change.before)):
        yield (), f"{change.shown()}, lower is stricter"


def _more(change: Change) -> Iterator[Wrong]:
    if not _within(change.before, change.after):
        yield (), f"{change.shown()}, it may only gain members"


def _fewer(change: Change) -> Iterator[Wrong]:
    everything = change.before is None and isinstance(cast(object, change.after), list)
    if not everything and not _within(change.after, change.before):
        yield (), f"{change.shown()}, it may only lose members"


def _verdict(change: Change) -> Iterator[Wrong]:
    known = change.before in _VERDICTS and change.after in _VERDICTS
    if change.after != "deny" and not (known and _VERDICTS.index(change.after) >= _VERDICTS.index(change.before)):
        yield (), f"{change.shown()}, only hold or deny in its place is stricter"


def _mode(change: Change) -> Iterator[Wrong]:
    code = change.path[-1]
    if change.after == "monitor" and (_SITE_CODE.fullmatch(code) is None or change.said(code)):
        yield (), "the code is not this layer's own, and would no longer be enforced"


def _new(change: Change) -> Iterator[Wrong]:
    if change.before is not ABSENT:
        yield (), f"{change.shown()}, it may be added but not changed"


def _fixed(change: Change) -> Iterator[Wrong]:
    yield (), f"{change.shown()}, it is not for overlays to change"


def _hours(change: Change) -> Iterator[Wrong]:
    before, after = _open_minutes(change.below(_DEFAULT_HOURS)), _open_minutes(change.after)
    if after is None:
        yield (), 'these are no hours: "always", or windows of days, from and until'
    elif any(new & ~old for old, new in zip(before or _NEVER, after, strict=True)):
        yield (), "it would be open when it is not below"


def _terms(change: Change) -> Iterator[Wrong]:
    below = change.below(_DEFAULT_TERMS)
    if not (_is_terms(below) and _is_terms(change.after)):
        yield (), "these are not terms of a hold: group, expires_s, and either approvals or challenge_s"
        return
    old, new = cast("dict[str, Any]", below), cast("dict[str, Any]", change.after)
    if old["group"] != new["group"]:
        yield ("group",), f"{_short(old['group'])} → {_short(new['group'])}, another group"
    if new["expires_s"] > old["expires_s"]:
        yield ("expires_s",), f"{old['expires_s']} → {new['expires_s']}, a shorter life is stricter"
    if "approvals" in old and new.get("approvals", 0) < old["approvals"]:
        yield ("approvals",), "fewer people, or silence instead of people"
    if "challenge_s" in old and "challenge_s" in new and new["challenge_s"] < old["challenge_s"]:
        yield ("challenge_s",), "a longer window is stricter"


_WORDS: Final[Mapping[str, Callable[[Change], Iterator[Wrong]]]] = {
    "lower": _lower,
    "higher": _higher,
    "cap": _cap,
    "more": _more,
    "fewer": _fewer,
    "verdict": _verdict,
    "terms": _terms,
    "mode": _mode,
    "hours": _hours,
    "new": _new,
    "fixed": _fixed,
}
WORDS: Final = frozenset(_WORDS)
"""Every word a direction may be."""


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _size(value: object) -> tuple[str, int] | None:
    """A number and what it counts; None for anything that isn't exactly a whole number or an amount."""
    if _is_whole(value):
        return "", cast(int, value)
    if isinstance(value, dict) and cast("dict[str, Any]", value).keys() == _AMOUNT:
        asset, units = cast("dict[str, Any]", value)["asset"], cast("dict[str, Any]", value)["units"]
        if isinstance(asset, str) and isinstance(units, str) and _UNITS.fullmatch(units):
            return f"amount of {asset}", int(units)
    return None


def _at_most(one: object, other: object) -> bool:
    low, high = _size(one), _size(other)
    return low is not None and high is not None and low[0] == high[0] and low[1] <= high[1]


def _within(one: object, other: object) -> bool:
    if not (isinstance(one, list) and isinstance(other, list)):
        return False
    small, large = cast("list[object]", one), cast("list[object]", other)
    return {_text(each) for each in small} <= {_text(each) for each in large}


def _is_terms(value: object) -> bool:
    """Whether these are the terms of one hold, of people or of silence but not both."""
    if not isinstance(value, dict):
        return False
    terms = cast("dict[str, Any]", value)
    exact = terms.keys() <= _TERMS and isinstance(terms.get("group"), str) and "expires_s" in terms
    numbers = [terms[name] for name in _TERMS - {"group"} if name in terms]
    one = ("approvals" in terms) != ("challenge_s" in terms)
    return exact and one and all(_is_whole(each) and each >= 1 for each in numbers)


_NEVER: Final[tuple[int, ...]] = (0,) * len(_DAYS)
_ALWAYS: Final[tuple[int, ...]] = ((1 << _MINUTES) - 1,) * len(_DAYS)


def _open_minutes(table: object) -> tuple[int, ...] | None:
    """By weekday, a bit for each minute in which a table of hours is open; None if it can't be told."""
    if table == "always":
        return _ALWAYS
    if not isinstance(table, list):
        return None
    days: list[int] = [*_NEVER]
    for window in cast("list[object]", table):
        found = _minutes_of(window)
        if found is None:
            return None
        for day in found[0]:
            days[day] |= found[1]
    return tuple(days)


def _minutes_of(window: object) -> tuple[list[int], int] | None:
    """The days of one window, and a bit for each of its minutes."""
    if not isinstance(window, dict) or cast("dict[str, Any]", window).keys() != _WINDOW:
        return None
    fields = cast("dict[str, Any]", window)
    begin, end = _minute(fields["from"]), _MINUTES if fields["until"] == "24:00" else _minute(fields["until"])
    days = cast("list[object]", fields["days"]) if isinstance(fields["days"], list) else [None]
    if begin is None or end is None or begin >= end or not all(day in _DAYS for day in days):
        return None
    return [_DAYS.index(str(day)) for day in days], (1 << end) - (1 << begin)


def _minute(value: object) -> int | None:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) * 60 + int(found[2]) if found else None


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _short(value: object) -> str:
    if value is ABSENT:
        return "nothing"
    size = _size(value)
    text = str(size[1]) if size is not None else _text(value)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"
