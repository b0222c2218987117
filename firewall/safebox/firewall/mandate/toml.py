"""TOML with line numbers: the values by `tomllib`, and the line of every key and array element.

`tomllib` keeps no positions. Because it has accepted the document before it is scanned here, the scanner needs only to
find keys, strings and brackets; where it can't follow, a value's line is that of the nearest table or key above it.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any, Final

Path = tuple[str | int, ...]
"""Where a value is: keys and array indexes from the top, as in ("mail", "recipients", 0)."""

BYTES_MAX: Final = 65_536
"""A mandate of a thousand payees is a tenth of this; more is no file a person reads."""

_LINE: Final = re.compile(r"\(at line ([0-9]+), column [0-9]+\)")
_SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK: Final = re.compile(r"[ \t]*")
_KEY: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}' r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR: Final = re.compile(r"[^,\]}#\n]*")


class TomlError(ValueError):
    """The text is no TOML document; `line` is 0 when the whole text is at fault."""

    def __init__(self, cause: str, line: int, expected: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.line = line
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document and where its parts are."""

    values: dict[str, Any]
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """The line of this value, or of the nearest thing around it; 1 at worst."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse(text: str) -> Document:
    """Read a TOML document.

    Raises:
        TomlError: if it is empty, too large, has a NUL or a byte that is no UTF-8, or is no TOML.
    """
    text = text.removeprefix("\ufeff")
    _check_text(text)
    try:
        return Document(tomllib.loads(text), _Scanner(text.replace("\r\n", "\n")).scan())
    except RecursionError as error:
        raise TomlError("it is nested too deeply", 0, "at most two levels of tables") from error
    except ValueError as error:
        raise _explained(error) from error


def _check_text(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise TomlError("it has a character that is no text", line, "a file saved as UTF-8") from error
    if size > BYTES_MAX:
        raise TomlError(f"it has {size} bytes", 0, f"at most {BYTES_MAX}")
    if "\0" in text:
        raise TomlError("it has a NUL byte", text.count("\n", 0, text.index("\0")) + 1, "a file saved as UTF-8 text")
    if not text.strip():
        raise TomlError("it is empty", 0, "a mandate (`safebox init` writes one to start from)")


def _explained(error: ValueError) -> TomlError:
    message = str(error)
    found = _LINE.search(message)
    cause = _LINE.sub("", message).strip().rstrip(".")
    if found is not None:
        return TomlError(cause, int(found[1]), "TOML (see https://toml.io)")
    if "at end of document" in message:
        return TomlError(
            cause.replace("(at end of document)", "at the end of the file"), 0, "the closing quote or bracket"
        )
    return TomlError("it has a number or date that is out of range", 0, "whole numbers, and amounts with a unit")


class _Scanner:
    """Walks a valid document once and notes the line of each path when it is first seen."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted = 0
        self._line = 1
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(_SPACE) < len(self._text):
            before = self._at
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            if self._at == before:
                break
        return self._lines

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, text: str) -> None:
        self._skip(_SPACE)
        if self._peek(text):
            self._at += len(text)

    def _note(self, path: Path) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        self._lines.setdefault(path, self._line)

    def _header(self) -> Path:
        many = self._peek("[[")
        self._at += 2 if many else 1
        path = self._key(())
        if many:
            index = self._counts.get(path, 0)
            self._counts[path] = index + 1
            path = (*path, index)
        self._lines.pop(path, None)  # implied by a [table.below] before: its own line is the better one
        self._note(path)
        self._take("]]" if many else "]")
        return path

    def _key(self, path: Path) -> Path:
        while True:
            self._skip(_BLANK)
            found = _KEY.match(self._text, self._at)
            if found is None:
                return path
            path = self._resolve(path, _unquote(found[0]))
            self._note(path)
            self._at = found.end()
            self._skip(_BLANK)
            if not self._peek("."):
                return path
            self._at += 1

    def _resolve(self, path: Path, key: str) -> Path:
        last = self._counts.get(path, 0)
        return (*path, last - 1, key) if last else (*path, key)

    def _pair(self, table: Path) -> None:
        path = self._key(table)
        if self._peek("="):
            self._at += 1
            self._skip(_BLANK)
            self._value(path)

    def _value(self, path: Path) -> None:
        if self._peek("["):
            self._array(path)
        elif self._peek("{"):
            self._inline_table(path)
        elif self._peek('"') or self._peek("'"):
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _array(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._skip(_SPACE) < len(self._text) and not self._peek("]"):
            before = self._at
            self._note((*path, index))
            self._value((*path, index))
            self._take(",")
            index += 1
            if self._at == before:
                return
        self._take("]")

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while self._skip(_SPACE) < len(self._text) and not self._peek("}"):
            before = self._at
            self._pair(path)
            self._take(",")
            if self._at == before:
                return
        self._take("}")


def _unquote(key: str) -> str:
    if key[0] == "'":
        return key[1:-1]
    if key[0] == '"':
        return str(tomllib.loads(f"key = {key}")["key"])
    return key
