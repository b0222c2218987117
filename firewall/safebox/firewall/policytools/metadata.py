"""The METADATA comments above packages and rules.

OPA reads them as YAML. Here they are kept to the part of YAML that needs no explaining: one `key: value` a line, and
under `custom:` more of them, indented by two. Anything else is a finding, so both readings are always the same.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

KEYS: Final = frozenset({"title", "description", "entrypoint", "scope", "custom"})
_LINE: Final = re.compile(r"# (?P<indent>  )?(?P<key>[a-z_]+):(?: (?P<value>\S.*))?")
_NOT_PLAIN: Final = re.compile(r"""^[\[\]{}&*!|>'"%@`#,?:-]|: | #|:$""")
"""What makes a YAML scalar something else than the text that is written."""


class Metadata(msgspec.Struct, frozen=True):
    """One comment: its values (those under `custom` as `custom.<key>`), and its lines that aren't in the plain form."""

    line: int
    values: dict[str, str]
    odd_lines: tuple[int, ...] = ()

    def get(self, key: str) -> str:
        """A value, or nothing."""
        return self.values.get(key, "")


def read_metadata(text: str) -> dict[int, Metadata]:
    """Find every METADATA comment of a file, by the line of what it stands above."""
    found: dict[int, Metadata] = {}
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        if lines[number] == "# METADATA":
            start = number
            number += 1
            while number < len(lines) and lines[number].startswith("#"):
                number += 1
            found[number + 1] = _read_block(lines[start + 1 : number], start + 1)
        else:
            number += 1
    return found


def _read_block(lines: list[str], line: int) -> Metadata:
    values: dict[str, str] = {}
    odd: list[int] = []
    in_custom = False
    for offset, text in enumerate(lines, start=1):
        match = _LINE.fullmatch(text)
        if match is None or not _plain(match, in_custom=in_custom):
            odd.append(line + offset)
            continue
        nested = match["indent"] is not None
        in_custom = in_custom if nested else match["key"] == "custom"
        values[f"custom.{match['key']}" if nested else match["key"]] = match["value"] or ""
    return Metadata(line, values, tuple(odd))


def _plain(match: re.Match[str], *, in_custom: bool) -> bool:
    if match["indent"] is not None:
        well_placed = in_custom and match["value"] is not None
    else:
        well_placed = match["key"] in KEYS and (match["value"] is None) == (match["key"] == "custom")
    return well_placed and _NOT_PLAIN.search(match["value"] or "x") is None
