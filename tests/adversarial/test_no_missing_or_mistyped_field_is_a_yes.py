"""Whatever field of the question is missing, of another type, or too many: nothing is allowed because of it.

The cases are generated. Each golden question that is allowed is taken apart: every field at every depth that a rule
looks at for that tool (`tests.unit.policy.fields` reads which off the syntax trees) is removed, and replaced by a value
of each other JSON type. What the schema allows as well is no mistake and left out, and so is a place where no value
whatever is refused: whether the owner's sweep comes after the mandate's end, say. New tools, fields, rules and goldens
are covered by being there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard, cast

import pytest
from jsonschema import Draft202012Validator

from safebox.firewall.core.decision import Verdict
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools.golden import Golden, load_golden
from safebox.firewall.policytools.shape import with_arguments
from tests.unit.policy.fields import Place, Rules

PACK = pack_folder()
SCHEMA: dict[str, Any] = json.loads((PACK / "schemas/input.json").read_text())
VALIDATOR: Any = Draft202012Validator(SCHEMA)
MISSING = object()
VALUES: tuple[Any, ...] = (None, True, 30_000, "x", [], ["x"], {}, {"x": 1})
OTHERS: tuple[Any, ...] = (None, True, False, 0, 2**53, "other", f"{0:078d}", "9" * 78, [])
"""Values that may be right in many places; with those of all goldens they show whether a place decides anything."""

Document = dict[str, Any]
Case = tuple[str, Place, str]
"""A golden, the place that was changed, and what is there now."""


@cache
def allowed() -> tuple[Golden, ...]:
    return tuple(golden for golden in load_golden(PACK) if golden.verdict is Verdict.ALLOW)


def places(value: Any, place: Place = ()) -> Iterator[tuple[Any, Any, Place]]:
    """Every field at every depth: what holds it, its key, and where it is."""
    for key in _keys(value):
        yield value, key, (*place, str(key))
        yield from places(value[key], (*place, str(key)))


def _keys(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(cast("dict[str, Any]", value))
    return list(range(len(value))) if _is_list(value) else []


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def changes(document: Any) -> Iterator[tuple[Place, str]]:
    """Break the document in one place after another; it is whole again before the next."""
    for holder, key, place in list(places(document)):
        good = holder[key]
        for wrong in (MISSING, *VALUES):
            if type(wrong) is type(good):
                continue
            if wrong is MISSING:
                holder.pop(key)
            else:
                holder[key] = wrong
            yield place, "missing" if wrong is MISSING else json.dumps(wrong)
            if _is_list(holder) and wrong is MISSING:
                holder.insert(key, good)
            else:
                holder[key] = good


class Deciding:
    """Tells whether a place decides anything in a question: whether some other right value there is refused."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine
        self._found: dict[tuple[str, Place], bool] = {}
        self._values: dict[Place, list[Any]] = {}
        for golden in load_golden(PACK):
            for holder, key, place in places(json.loads(golden.document)):
                values = self._values.setdefault(place, [])
                if holder[key] not in values:
                    values.append(holder[key])

    def __call__(self, golden: Golden, place: Place) -> bool:
        if (golden.name, place) not in self._found:
            self._found[golden.name, place] = self._look(json.loads(golden.document), place)
        return self._found[golden.name, place]

    def _look(self, document: Document, place: Place) -> bool:
        holder, key = next((holder, key) for holder, key, each in places(document) if each == place)
        for value in (*self._values[place], *OTHERS):
            holder[key] = value
            if not says_yes(self._engine, document) and VALIDATOR.is_valid(document):
                return True
        return False


@pytest.mark.timeout(600)  # it asks as often as there are fields, on a machine that does other things, too
def test_no_change_of_a_field_that_decides_something_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    bundle = load_bundle([PACK])
    rules, engine = Rules(bundle), EmbeddedEngine(bundle)
    deciding, wrongly = Deciding(engine), list[Case]()
    asked, idle, unread, started = 0, 0, 0, time.perf_counter()
    for golden in allowed():
        document = json.loads(golden.document)
        read = rules.read_for(document["action"])
        for place, what in changes(document):
            if not read.covers(place):
                unread += 1
                continue
            asked += 1
            if says_yes(engine, document) and not VALIDATOR.is_valid(document):
                idle += 1
                if deciding(golden, place):
                    wrongly.append((golden.name, place, what))
        assert document == json.loads(golden.document)
    took = time.perf_counter() - started
    with capsys.disabled():
        print(f"\n{asked} generated cases in {took:.1f} s; {idle} where nothing would decide, {unread} nobody reads")
    assert wrongly == []
    assert asked > 10_000
    assert idle < asked / 5


def test_no_field_too_many_is_allowed_in_what_an_agent_asks_for() -> None:
    engine = EmbeddedEngine(load_bundle([PACK]))
    for golden in allowed():
        document = json.loads(golden.document)
        for holder in [document["action"], *(each for each, _, place in places(document) if place[1:2] == ("args",))]:
            if isinstance(holder, dict):
                holder["more"] = "x"
                assert not says_yes(engine, document), golden.name
                del holder["more"]
        assert says_yes(engine, document), golden.name


def test_everything_that_is_allowed_has_every_field_of_the_schema() -> None:
    for golden in allowed():
        VALIDATOR.validate(json.loads(golden.document))


def test_the_generated_shape_of_arguments_is_the_schemas() -> None:
    """`WRITE_GUIDES=1 pytest tests/adversarial/test_no_missing_or_mistyped_field_is_a_yes.py -k generated` writes."""
    file = Path(PACK / "safebox/shape/shape.rego")
    generated = with_arguments(file.read_text(), SCHEMA)
    if os.environ.get("WRITE_GUIDES"):
        file.write_text(generated)
    assert file.read_text() == generated, "set WRITE_GUIDES=1 to write it anew"
    fields = len(SCHEMA["properties"]["action"]["required"])
    assert f"count(input.action) == {fields}\n" in generated


def says_yes(engine: EmbeddedEngine, document: Any) -> bool:
    try:
        return engine.answer(json.dumps(document).encode()).verdict is Verdict.ALLOW
    except PolicyUnavailable:
        return False
