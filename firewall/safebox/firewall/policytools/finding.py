"""What a check says."""

from __future__ import annotations

import msgspec

from safebox.firewall.engines.syntax import Source


class Finding(msgspec.Struct, frozen=True):
    """One thing wrong: where (line 0: not in one place), a stable code, what, and what to do about it."""

    file: str
    line: int
    code: str
    message: str
    remedy: str


def finding_in(source: Source, line: int, code: str, message: str, remedy: str) -> Finding:
    """A finding at a line of a file."""
    return Finding(source.module.origin or source.module.name, line, code, message, remedy)
