"""Whatever data the strictness check lets an overlay change, no question of the golden set has a looser answer.

The check goes by words beside the numbers; this goes by what the rules make of the numbers. A word that points the
wrong way is found here.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import pytest

from safebox.firewall.core.decision import Answer, Verdict
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.engines.strictness import looser_data
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools.golden import Golden, load_golden
from tests.unit.policy import cases

Tree = dict[str, Any]
EACH = 6
"""Changes of one path: those that are let in are much alike."""
ORDER = {Verdict.ALLOW: 0, Verdict.HOLD: 1, Verdict.DENY: 2}
WINDOW = {"days": ["Monday", "Thursday"], "from": "06:00", "until": "22:00"}
VALUES: tuple[Any, ...] = (
    0, 1, 2, 3, 40, 100, 3_600, 10_000, 2**53, -1, True, False, None, "", "0", "x", "always", "monitor", "enforce",
    "allow", "hold", "deny", "owners", [], {}, [""], ["all"], ["transfer"], ["email", "web"], ["agent"],
    ["agent", "owner"],
    [0], [443], [80, 443], [WINDOW], [WINDOW, WINDOW], [{**WINDOW, "days": []}], [{**WINDOW, "until": "24:00"}],
    {"minute": 0}, {"hour": 1, "day": 5}, {"hour": None}, {"asset": "ETH", "units": "0" * 78},
    {"asset": "ETH", "units": "9" * 78}, {"group": "owners", "approvals": 2, "expires_s": 60},
    {"group": "owners", "challenge_s": 2, "expires_s": 60}, {"group": "owners", "approvals": 1, "expires_s": 3600},
    {"kind": "email", "effects": ["outward"], "callers": ["agent"], "after_expiry": True},
)  # fmt: skip
KEYS = ("x", "email", "transfer", "email.send", "site.x", "transfer.approve_above", "email.recipient_not_listed", "*")


@pytest.fixture(scope="module")
def questions() -> list[bytes]:
    goldens: list[Golden] = load_golden(pack_folder())
    return [each.document for each in goldens] + [cases.encode(each) for each in cases.good().values()]


def places(tree: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of the data with its path; below tables also paths that are not there yet."""
    for key, value in tree.items():
        if isinstance(value, dict):
            table = cast(Tree, value)
            yield from places(table, (*at, key))
            yield from (((*at, key, new), None) for new in KEYS)
        else:
            yield (*at, key), value


def candidates(base: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Changes to try: each value beside each, and numbers a little and a lot to both sides."""
    for path, value in places(base):
        if path[1] not in ("strict", "tools"):
            number = isinstance(value, int) and not isinstance(value, bool)
            near = (value - 1, value + 1, value * 10) if number else ()
            yield from ((path, each) for each in (*near, *VALUES))
            if isinstance(value, list) and value:
                items = cast("list[object]", value)
                yield from ((path, each) for each in (items[1:], [*items, "all"], [*items, 22]))


def changed(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The data with an overlay's value merged in, as bundles do it."""
    result = copy.deepcopy(tree)
    place = result
    for key in path[:-1]:
        if not isinstance(place.get(key), dict):
            place[key] = {}
        place = place[key]
    old = place.get(path[-1])
    both = isinstance(old, dict) and isinstance(value, dict)
    place[path[-1]] = cast(Tree, old) | cast(Tree, value) if both else value
    return result


def strictness(answer: Answer | None) -> tuple[int, int]:
    """How little an answer lets happen; none at all is a no."""
    if answer is None:
        return ORDER[Verdict.DENY], 0
    hold: dict[str, Any] = answer.obligations.get("hold") or {}
    return ORDER[answer.verdict], int(hold.get("approvals", 0)) if answer.verdict is Verdict.HOLD else 0


def answers(engine: EmbeddedEngine, data: str, questions: list[bytes]) -> list[tuple[int, int]]:
    """How strict each answer is under other data; the rules stay compiled."""
    engine._machine.set_data_json(data)  # pyright: ignore[reportPrivateUsage]
    found: list[tuple[int, int]] = []
    for document in questions:
        try:
            found.append(strictness(engine.answer(document)))
        except PolicyUnavailable:
            found.append(strictness(None))
    return found


def _but_our_own(code: str) -> bool:
    """Whether rules of the pack may say a code."""
    return code != "site.x"


def test_no_accepted_change_of_data_makes_an_answer_looser(questions: list[bytes]) -> None:
    pack = load_bundle([pack_folder()])
    base = json.loads(pack.data)
    directions = base["data"]["strict"]
    engine = EmbeddedEngine(pack)
    before = answers(engine, pack.data, questions)
    assert {first for first, _ in before} == set(ORDER.values())
    tried: set[str] = set()
    counts: Counter[tuple[str, ...]] = Counter()
    stricter = 0
    for path, value in candidates(base):
        after = changed(base, path, value)
        data = json.dumps(after, sort_keys=True)
        if data in tried or counts[path] == EACH or looser_data(base, after, directions, said=_but_our_own):
            continue
        tried.add(data)
        counts[path] += 1
        now = answers(engine, data, questions)
        looser = [index for index, (new, old) in enumerate(zip(now, before, strict=True)) if new < old]
        assert looser == [], f"{path} = {value!r} lets more through: {questions[looser[0]].decode()}"
        stricter += now != before
    print(f"{len(tried)} changes were let in, {stricter} of them changed an answer")
    assert stricter > 20
