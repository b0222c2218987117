"""What a check says."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One thing wrong: where (line 0: not in one place), a stable code, what, and what to do about it."""

    file: str
    line: int
    code: str
    message: str
    remedy: str
