"""One section of a mandate file, read value by value; every mistake is collected with its line.

A reader that finds a mistake notes it and hands back a placeholder, so that all mistakes are found in one go. The
placeholders go nowhere: `file.load` raises if a single mistake was noted.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from safebox.firewall.core.money import Amount, parse_amount
from safebox.firewall.errors import ConfigError, SafeboxError
from safebox.firewall.mandate.toml import Document, Path

SHOWN_MAX: Final = 60
"""How much of a wrong value is repeated: enough to recognise it, on one line of a terminal."""

_AFTER: Final = re.compile(r"([1-9][0-9]{0,7})([smhd])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_BARE: Final = re.compile(r"[A-Za-z0-9_-]{1,60}", re.ASCII)

T = TypeVar("T")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake: where (`line` 0: the whole file), what is wrong with which value, and what was expected."""

    line: int
    key: str
    cause: str
    expected: str


class MandateErrors(ConfigError):
    """Everything that is wrong with a mandate file, in the order of its lines."""

    default_code = "mandate.invalid"

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(self._lines()), remedy="correct the file; nothing was started")

    def _lines(self) -> Iterable[str]:
        for problem in self.problems:
            where = f"{self.source}:{problem.line}" if problem.line else self.source
            key = f"{problem.key}: " if problem.key else ""
            yield f"{where}: {key}{problem.cause}; expected {problem.expected}"


class Report:
    """The mistakes found so far in one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.problems: list[Problem] = []

    def wrong(self, path: Path, cause: str, expected: str) -> None:
        """Note a mistake at `path`."""
        self.problems.append(Problem(line=self.line(path), key=spell(path), cause=cause, expected=expected))

    def line(self, path: Path) -> int:
        """The line of `path`."""
        return self._document.line(path)


def spell(path: Path) -> str:
    """Say a path as people write it: `compute.commands[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f"{'.' if text else ''}{part if _BARE.fullmatch(part) else show(part)}"
    return text


def show(value: object) -> str:
    """Repeat a wrong value, shortened, so that look-alike letters and control characters can be seen."""
    text = ascii(value) if isinstance(value, str) else _toml_like(value)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"


def _toml_like(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return "a table"
        case list():
            return "a list" if value else "[]"  # pyright: ignore[reportUnknownVariableType]
        case int() | float():
            return repr(value)
        case _:
            return ascii(str(value))


def duration(text: str) -> int | None:
    """Seconds of "90s", "30m", "12h" or "7d"; None if it is nothing like it."""
    found = _AFTER.fullmatch(text)
    return int(found[1]) * _SECONDS[found[2]] if found else None


def as_list(value: object) -> list[Any] | None:
    """The value if it is a list."""
    return value if isinstance(value, list) else None  # pyright: ignore[reportUnknownVariableType]


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, as a phrase; or all of them."""
    names = sorted(known)
    found = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"{found[0]!r}" if found else f"one of {', '.join(names)}"


class Section:
    """A table of the file, read key by key. `known` are the keys it may have."""

    def __init__(self, report: Report, path: Path, values: dict[str, Any], known: tuple[str, ...]) -> None:
        self._report = report
        self._values = values
        self.path = path
        for key in values:
            if key not in known:
                report.wrong((*path, key), f"there is no key {show(key)} in [{spell(path)}]", nearest(key, known))

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def wrong(self, key: str, cause: str, expected: str) -> None:
        """Note a mistake with `key`."""
        self._report.wrong((*self.path, key), cause, expected)

    def wrong_at(self, below: Path, cause: str, expected: str) -> None:
        """Note a mistake further down: `below` starts with a key of this section."""
        self._report.wrong((*self.path, *below), cause, expected)

    def read(self, key: str, expected: str, placeholder: T, check: Callable[[Path, Any], T | None]) -> T:
        """Read a required value; `check` notes its own mistakes and then gives nothing."""
        if key not in self._values:
            self._report.wrong(self.path, f"{key} is missing", expected)
            return placeholder
        found = check((*self.path, key), self._values[key])
        return placeholder if found is None else found

    def text(self, key: str, expected: str, *, most: int, lines: bool = False) -> str:
        """A required, non-empty text without control or invisible characters; on one line unless `lines`."""
        return self.read(key, expected, "", lambda path, value: self._text(path, value, expected, most, lines))

    def word(self, key: str, expected: str, pattern: re.Pattern[str], *, default: str | None = None) -> str:
        """A text that matches `pattern` as a whole."""
        if default is not None and key not in self._values:
            return default
        return self.read(key, expected, "", lambda path, value: self._word(path, value, expected, pattern))

    def whole(self, key: str, low: int, high: int) -> int:
        """A required whole number from `low` to `high`."""
        expected = f"a whole number from {low} to {high}"

        def check(path: Path, value: Any) -> int | None:
            if type(value) is int and low <= value <= high:
                return value
            self._report.wrong(path, f"{show(value)} is not accepted", expected)
            return None

        return self.read(key, expected, low, check)

    def seconds(self, key: str, most: int) -> int:
        """A required span of time, in seconds."""
        expected = f'a time as in "90s", "30m", "12h" or "7d", at most {most} seconds'

        def check(path: Path, value: Any) -> int | None:
            found = duration(value) if isinstance(value, str) else None
            if found is None or found > most:
                self._report.wrong(path, f"{show(value)} is not accepted", expected)
                return None
            return found

        return self.read(key, expected, 1, check)

    def amount(self, key: str, asset: str, example: str) -> Amount:
        """A required amount in `asset`, exact."""
        expected = f"an amount as in {example!r}"
        return self.read(key, expected, Amount(0, asset), lambda path, value: self._amount(path, value, asset, example))

    def optional_amount(self, key: str, asset: str, example: str) -> Amount | None:
        """An amount that may be absent."""
        return self.amount(key, asset, example) if key in self._values else None

    def words(self, key: str, expected: str, check: Callable[[str], T], *, most: int) -> tuple[T, ...]:
        """A required list whose texts each pass `check` (which raises `SafeboxError`) and differ from each other."""
        return self.read(
            key, f"a list of {expected}", (), lambda path, value: self._list(path, value, expected, check, most)
        )

    def table(self, key: str) -> dict[str, Any]:
        """A table that may be absent."""
        value = self._values.get(key, {})
        if isinstance(value, dict):
            return value  # pyright: ignore[reportUnknownVariableType]
        self.wrong(key, f"{show(value)} is not accepted", f"a table [{spell((*self.path, key))}]")
        return {}

    def _text(self, path: Path, value: Any, expected: str, most: int, lines: bool) -> str | None:
        if not isinstance(value, str) or not value.strip():
            self._report.wrong(path, f"{show(value)} is not accepted", expected)
        elif len(value) > most:
            self._report.wrong(path, f"it has {len(value)} characters", f"at most {most}")
        elif hidden := _hidden(value, lines=lines):
            self._report.wrong(path, f"it has the invisible character {hidden}", "text that shows all it says")
        else:
            return value
        return None

    def _word(self, path: Path, value: Any, expected: str, pattern: re.Pattern[str]) -> str | None:
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self._report.wrong(path, f"{show(value)} is not accepted", expected)
        return None

    def _amount(self, path: Path, value: Any, asset: str, example: str) -> Amount | None:
        if not isinstance(value, str):
            self._report.wrong(path, f"{show(value)} is not accepted", f"text with a unit, as in {example!r}")
            return None
        try:
            return parse_amount(value, asset=asset)
        except ConfigError:
            self._report.wrong(path, _amount_mistake(value, asset), f"an amount of {asset}, as in {example!r}")
            return None

    def _list(
        self, path: Path, value: Any, expected: str, check: Callable[[str], T], most: int
    ) -> tuple[T, ...] | None:
        items = as_list(value)
        if items is None:
            self._report.wrong(path, f"{show(value)} is not accepted", f'a list of {expected}, as in ["…"]')
            return None
        if len(items) > most:
            self._report.wrong(path, f"it has {len(items)} entries", f"at most {most}")
            return None
        seen: dict[T, int] = {}
        for index, item in enumerate(items):
            self._item((*path, index), item, expected, check, seen)
        return tuple(seen)

    def _item(self, path: Path, item: Any, expected: str, check: Callable[[str], T], seen: dict[T, int]) -> None:
        try:
            if not isinstance(item, str):
                raise ConfigError(f"{show(item)} is not accepted")
            found = check(item)
        except SafeboxError as error:
            self._report.wrong(
                path, error.cause if error.cause.isascii() else f"{show(item)} is not accepted", expected
            )
            return
        if found in seen:
            self._report.wrong(path, f"{show(item)} is there twice (line {seen[found]})", "each entry once")
        seen.setdefault(found, self._report.line(path))


def _amount_mistake(text: str, asset: str) -> str:
    try:
        other = parse_amount(text)
    except ConfigError as error:
        return error.cause if text.isascii() else f"{show(text)} is not an amount"
    return f"{show(text)} is an amount of {other.asset}"


def _hidden(text: str, *, lines: bool) -> str:
    for character in text:
        if lines and character in "\n\t":
            continue
        if unicodedata.category(character) in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}:
            return f"U+{ord(character):04X}"
    return ""
