"""What would have to differ for another answer: a search, each hit of which was seen to work.

Only one field is changed at a time: of the mandate, the data, the facts, or the arguments of the action. What is tried
are values that stand beside it in what the rule reads (a cap for an amount, an amount for a cap), their neighbours,
and the other truth value; of numbers and amounts the one nearest to what is there is looked for. Whether it works is
asked of the policy itself.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from safebox.firewall.core.decision import Answer, Verdict
from safebox.firewall.core.money import UNITS_MAX, UNITS_WIDTH, pad
from safebox.firewall.engines.bundle import Bundle
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.engines.syntax import Path
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools.clipping import clip_at, is_private
from safebox.firewall.policytools.documents import Steps, is_list, is_object, lookup, put, remove

SECONDS_MAX: Final = 10.0
"""Of computing for a search; it takes a tenth of a second, with a document of megabytes each try does."""
LEAVES_MAX: Final = 200
"""Fields under one path that are tried."""
POOL_MAX: Final = 60
"""Values that are tried for one field."""
DATA_POOL_MAX: Final = 12
"""Values that are tried for one value of the data: each takes a compilation."""
SHOWN_MAX: Final = 3
"""Changes that are told for one reason."""
ROOTS: Final = (("mandate",), ("data",), ("facts",), ("action", "args"), ("action", "caller"), ("run",))
"""Where a change is looked for, in the order in which it is told."""
_RANK: Final = {Verdict.ALLOW: 0, Verdict.HOLD: 1, Verdict.DENY: 2}


class Flip(msgspec.Struct, frozen=True):
    """One change that takes a reason away, seen to do so; `answer` is what policy then says."""

    path: str
    before: Any
    after: Any
    answer: Answer
    absent: bool = False


class Hit(msgspec.Struct, frozen=True):
    """A field, the value it would have, and what policy then says."""

    steps: Steps
    value: Any
    answer: Answer


class Search:
    """Looks for changes of one document under one policy.

    Args:
        bundle: the policy.
        document: the whole input, parsed.
    """

    def __init__(self, bundle: Bundle, document: dict[str, Any]) -> None:
        self._bundle = bundle
        self._engine = EmbeddedEngine(bundle)
        self._world: dict[str, Any] = {"input": document, "data": json.loads(bundle.data)}
        self._until = time.process_time() + SECONDS_MAX
        self.cut_off = False
        answer = self._ask(self._world, fresh=False)
        self._worst = _RANK[answer.verdict if answer is not None else Verdict.DENY]

    def flips(self, hits: Iterable[Hit]) -> tuple[Flip, ...]:
        """Changes that were found, as they may be told."""
        return tuple(self._flip(hit) for hit in hits)

    def together(self, hits: Iterable[Hit]) -> Answer | None:
        """What policy says when all these changes are made at once."""
        world = copy.deepcopy(self._world)
        for hit in hits:
            put(world, hit.steps, hit.value)
        return self._ask(world, fresh=True)

    def hits(self, reads: Iterable[Path], gone: Callable[[Answer], bool]) -> list[Hit]:
        """The best changes of what a rule reads after which `gone` says yes of the answer."""
        paths = sorted(reads, key=lambda path: (path[0] == "data", path))  # a change of the data takes a compilation
        places = list(dict.fromkeys(place for path in paths for place in self._places(path)))
        beside = (lookup(self._world, place)[1] for place in places if not is_private(place))
        pool = [value for value in beside if value is not None]
        hits: list[Hit] = []
        for place in places:
            if time.process_time() > self._until:
                self.cut_off = True
                break
            if (hit := self._best(place, pool, gone)) is not None:
                hits.append(hit)
        hits.sort(key=lambda hit: (_RANK[hit.answer.verdict], _rank(hit.steps), len(hit.answer.reasons)))
        return hits[:SHOWN_MAX]

    def _places(self, path: Path) -> Iterator[Steps]:
        """The fields at or under a path that may be changed."""
        if _rank(path) < len(ROOTS):
            there, value = lookup(self._world, path)
            found = _leaves(path, value) if there else [path]
            yield from list(found)[:LEAVES_MAX]

    def _best(self, place: Steps, pool: Sequence[Any], gone: Callable[[Answer], bool]) -> Hit | None:
        """The change of one field that is nearest to what is there."""
        there, current = lookup(self._world, place)
        tries = _tries(current if there else None, pool)
        tries = tries[:DATA_POOL_MAX] if place[0] == "data" else tries
        hits = [hit for value in tries if (hit := self._try(place, value, gone))]
        if not hits:
            return None
        hits.sort(key=lambda hit: (_RANK[hit.answer.verdict], hit.value is None, _distance(current, hit.value)))
        return self._nearest(place, current, hits[0], gone)

    def _nearest(self, place: Steps, current: Any, hit: Hit, gone: Callable[[Answer], bool]) -> Hit:
        """Of numbers and amounts: halve the way between what is there and what works, until they are neighbours."""
        low, high = _number(current), _number(hit.value)
        if low is None or high is None or place[0] == "data":
            return hit
        while abs(high - low) > 1:
            middle = (low + high) // 2
            found = self._try(place, _like(current, middle), gone)
            low, high, hit = (low, middle, found) if found else (middle, high, hit)
        return hit

    def _try(self, place: Steps, value: Any, gone: Callable[[Answer], bool]) -> Hit | None:
        there, before = lookup(self._world, place)
        if not put(self._world, place, value):
            return None
        answer = self._ask(self._world, fresh=place[0] == "data")
        if there:
            put(self._world, place, before)
        else:
            remove(self._world, place)
        if answer is None or _RANK[answer.verdict] > self._worst or not gone(answer):
            return None
        return Hit(place, value, answer)

    def _ask(self, world: dict[str, Any], *, fresh: bool) -> Answer | None:
        engine = self._engine
        try:
            if fresh:
                engine = EmbeddedEngine(Bundle(self._bundle.modules, json.dumps(world["data"]), self._bundle.digest))
            return engine.answer(json.dumps(world["input"]).encode())
        except PolicyUnavailable:
            return None

    def _flip(self, hit: Hit) -> Flip:
        there, before = lookup(self._world, hit.steps)
        path = tuple(map(str, hit.steps))
        return Flip(
            path=".".join(path),
            before=clip_at(path, before) if there else None,
            after=clip_at(path, hit.value),
            answer=hit.answer,
            absent=not there,
        )


def _rank(steps: Sequence[str | int]) -> int:
    """How far behind its root a change is told; past the end if it isn't one to try."""
    inner = tuple(steps[1:]) if steps[0] == "input" else tuple(steps)
    found = (number for number, root in enumerate(ROOTS) if inner[: len(root)] == root and len(inner) >= len(root))
    return next(found, len(ROOTS))


def _leaves(path: Steps, value: Any) -> Iterator[Steps]:
    """A value's own place if it is plain, an amount or a list; and the places of all that is in it."""
    items: list[tuple[str | int, Any]] = []
    if is_object(value) and _number(value) is None:
        items = list(value.items())
    elif is_list(value):
        items = list(enumerate(value))
    if not items or is_list(value):
        yield path
    for key, item in items:
        yield from _leaves((*path, key), item)


def _tries(current: Any, pool: Sequence[Any]) -> list[Any]:
    """Values to try in place of another, of its kind."""
    number = _number(current)
    if isinstance(current, bool):
        return [not current]
    if number is not None:
        return [None, *(_like(current, each) for each in _numbers(number, type(current) is int, pool))]
    if is_list(current):
        texts = [value for value in pool if _is_word(value) and value not in current]
        return [[], *([*current, text] for text in texts[:POOL_MAX])]
    if isinstance(current, str):
        return [None, *[value for value in pool if _is_word(value) and value != current][:POOL_MAX]]
    return [True, False, 0, "", [], {}, *pool[:POOL_MAX]]


def _numbers(number: int, plain: bool, pool: Sequence[Any]) -> list[int]:
    """Numbers to try in place of one: those beside it, if they are money as it is, or plain as it is."""
    values = [value for value in pool if (type(value) is int) == plain]
    others = [other for value in values if (other := _number(value)) is not None]
    near = [other + step for other in others for step in (0, -1, 1)] + [0, number + 1, number - 1, 2 * number]
    return [each for each in dict.fromkeys(near) if 0 <= each <= UNITS_MAX and each != number][:POOL_MAX]


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and _number(value) is None


def _number(value: Any) -> int | None:
    """The number that a number, 78 digits or an amount is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) == UNITS_WIDTH and value.isascii() and value.isdigit():
        return int(value)
    return _number(value["units"]) if is_object(value) and value.keys() == {"asset", "units"} else None


def _like(value: Any, number: int) -> Any:
    """A number in the form of another value."""
    if isinstance(value, str):
        return pad(number)
    return {**value, "units": pad(number)} if is_object(value) else number


def _distance(current: Any, value: Any) -> int:
    first, second = _number(current), _number(value)
    return abs(first - second) if first is not None and second is not None else 0
