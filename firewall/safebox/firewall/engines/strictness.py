"""Overlays may only make things stricter; what they do besides that they must say, path by path.

Rule 1: an overlay's rules are `deny contains` and `hold contains` in `safebox.site.<kind>`, and helpers of its own
        (`siterules`).
Rule 2: an overlay's data changes only what the base declares a stricter direction of, and only in that direction
        (`data/strict/data.json` of the base, in the words of `directions`; an overlay's own count for nothing).
Rule 3: each layer is compared with everything below it, other overlays too.
Rule 4: what isn't understood here is looser. `relax.json` of the overlay allows one path, with a reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from safebox.firewall.engines.directions import ABSENT, Change, wrong_way

SITE: Final = ("data", "safebox", "site")
DIRECTIONS: Final = ("data", "strict")
"""Where the base's data says the directions; the first part of each is `data` in Rego, too."""
_ANY: Final = "*"
"""Stands for each key that has no word of its own."""
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Looser(msgspec.Struct, frozen=True):
    """One thing an overlay does that may allow more: its path as `relax.json` names it, and why."""

    path: str
    why: str


def path_text(path: Iterable[str]) -> str:
    """Say a path as Rego does: `data.data.limits.rate`, `data.data.tools["email.send"]`. No two paths look the same."""
    first, *rest = path
    return first + "".join(f".{part}" if _PLAIN.fullmatch(part) else f"[{json.dumps(part)}]" for part in rest)


def looser_data(
    before: Mapping[str, Any], after: Mapping[str, Any], directions: object, *, said: Callable[[str], bool]
) -> list[Looser]:
    """What a layer's data may allow more.

    Args:
        before: all data below this layer.
        after: the same with this layer's data in it.
        directions: what the base says at `DIRECTIONS`.
        said: whether the rules below this layer might say a reason code.
    """
    start = Change(("data",), dict(before), dict(after), before, said)
    return list(_walk(start, {DIRECTIONS[0]: directions}))


def _walk(change: Change, words: object) -> Iterator[Looser]:
    """What may allow more at this path and below it."""
    if _same(change.before, change.after):
        return
    if isinstance(words, str):
        for path, why in wrong_way(words, change):
            yield Looser(path_text((*change.path, *path)), why)
    elif _is_table(change.after) and (_is_table(change.before) or (change.before is ABSENT and _is_table(words))):
        known = cast("dict[str, Any]", words) if _is_table(words) else {}
        for part in _parts(change):
            yield from _walk(part, known.get(part.path[-1], known.get(_ANY)))
    else:
        taken = _is_table(change.before) and _is_table(words)
        yield Looser(path_text(change.path), "it is taken away" if taken else "no stricter direction of it is declared")


def _parts(change: Change) -> Iterator[Change]:
    """The change of each key of a table; one that was absent was empty."""
    old: dict[str, Any] = {} if change.before is ABSENT else change.before
    new: dict[str, Any] = change.after
    for key in sorted(old.keys() | new.keys()):
        yield Change((*change.path, key), old.get(key, ABSENT), new.get(key, ABSENT), change.root, change.said)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _same(one: object, other: object) -> bool:
    if one is ABSENT or other is ABSENT:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
