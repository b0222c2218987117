"""Blocks of guides that a test writes: with `WRITE_GUIDES=1` anew, else they must be as they would be written."""

from __future__ import annotations

import os
from pathlib import Path


def same_block(guide: Path, mark: str, text: str) -> None:
    """See that the block between a guide's marks says `text`."""
    before, begin, rest = guide.read_text().partition(f"<!-- {mark}: begin -->\n")
    current, end, after = rest.partition(f"\n<!-- {mark}: end -->")
    assert begin
    assert end
    if os.environ.get("WRITE_GUIDES"):
        guide.write_text(before + begin + text + end + after)
    else:
        assert current == text, "set WRITE_GUIDES=1 to write it anew"
