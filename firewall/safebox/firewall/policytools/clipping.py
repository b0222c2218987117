"""Recorded values as they may be shown: short, and without the texts that agents send and receive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from safebox.firewall.policytools.documents import Steps, is_list, is_object

TEXT_MAX: Final = 96
"""Characters of one text: an address, an amount, a digest and a line of a mail's subject are shorter."""
ITEMS_MAX: Final = 8
"""Members of one list or object."""
DEPTH_MAX: Final = 6
PRIVATE: Final = frozenset({"body", "text", "html", "content", "messages", "prompt", "data", "headers", "environment"})
"""Fields whose texts are somebody's words, or somebody's secrets: of them only the length is told."""


def clip(value: Any, *, depth: int = DEPTH_MAX) -> Any:
    """A JSON value with what is long or private left out, and the places marked."""
    if isinstance(value, str):
        return value if len(value) <= TEXT_MAX else f"{value[: TEXT_MAX - 1]}…"
    if is_object(value):
        return _object(value, depth)
    if is_list(value):
        return _list(value, depth)
    return value


def clip_at(path: Steps, value: Any) -> Any:
    """The value of a field: nothing of it if the field is a private one."""
    return _length(value) if is_private(path) and _is_long(value) else clip(value)


def is_private(path: Steps) -> bool:
    """Whether a field's texts are somebody's. Policy's own data is not private."""
    return path[:1] != ("data",) and bool(PRIVATE.intersection(path))


def private_texts(value: Any, *, within: bool = False) -> Iterator[str]:
    """Every text of a document that is in a private field, however deep."""
    if isinstance(value, str) and within:
        yield value
    elif is_object(value):
        for key, item in value.items():
            yield from private_texts(item, within=within or key in PRIVATE)
    elif is_list(value):
        for item in value:
            yield from private_texts(item, within=within)


def _object(value: dict[str, Any], depth: int) -> Any:
    if depth == 0:
        return f"… {len(value)} fields"
    shown = {
        str(clip(key)): _length(item) if key in PRIVATE and _is_long(item) else clip(item, depth=depth - 1)
        for key, item in list(value.items())[:ITEMS_MAX]
    }
    return shown if len(value) <= ITEMS_MAX else {**shown, "…": f"{len(value) - ITEMS_MAX} more"}


def _list(value: list[Any], depth: int) -> Any:
    if depth == 0:
        return f"… {len(value)} items"
    shown = [clip(item, depth=depth - 1) for item in value[:ITEMS_MAX]]
    return shown if len(value) <= ITEMS_MAX else [*shown, f"… {len(value) - ITEMS_MAX} more"]


def _is_long(value: Any) -> bool:
    return (isinstance(value, str) or is_object(value) or is_list(value)) and bool(value)


def _length(value: Any) -> str:
    what = "characters" if isinstance(value, str) else "items"
    return f"… {len(value):,} {what}"
