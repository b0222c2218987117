"""Parsing JSON of others.

Python's parsers recurse in C and trust the interpreter's recursion limit to stop them. Ethereum libraries raise that
limit so far that a few kilobytes of brackets overflow the stack and end the process. So depth is bounded here first.
"""

from __future__ import annotations

import json
import re

MAX_DEPTH = 100  # tool answers have about five levels, JSON schemas about ten

# A string, to its end or the text's, or one bracket. No way back: time stays linear in the text.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)


def parse(text: str | bytes) -> object:
    """Parse one JSON document.

    Raises:
        ValueError: Not UTF-8, not JSON, or nested more than `MAX_DEPTH` deep.
    """
    document = text.decode() if isinstance(text, bytes) else text
    depth = 0
    for token in _TOKEN.finditer(document):
        first = token[0][0]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested more than {MAX_DEPTH} deep")
        elif first in "]}":
            depth -= 1
    value: object = json.loads(document)
    return value
