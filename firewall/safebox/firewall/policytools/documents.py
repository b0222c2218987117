"""JSON documents and the places in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

Steps = tuple[str | int, ...]
"""The way to a value in a document: keys of objects, and numbers of list members."""


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether it is a JSON list."""
    return isinstance(value, list)


def lookup(document: Any, steps: Sequence[str | int]) -> tuple[bool, Any]:
    """Whether there is a value at this place, and which."""
    for step in steps:
        if is_object(document) and step in document:
            document = document[str(step)]
        elif is_list(document) and str(step).isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return False, None
    return True, document


def put(document: Any, steps: Steps, value: Any) -> bool:
    """Put a value in its place: a field of an object, or a member a list has; False if there is no such place."""
    there, place = lookup(document, steps[:-1])
    if there and is_object(place):
        place[str(steps[-1])] = value
        return True
    if there and is_list(place) and lookup(place, steps[-1:])[0]:
        place[int(steps[-1])] = value
        return True
    return False


def remove(document: Any, steps: Steps) -> None:
    """Take a field of an object away, if it is there."""
    _, place = lookup(document, steps[:-1])
    if is_object(place):
        place.pop(str(steps[-1]), None)
