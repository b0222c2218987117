"""Whatever field of the question is missing, of another type, or too many: nothing is allowed because of it.

The cases are generated. Each golden question that is allowed is taken apart: every field at every depth that a rule
looks at for that tool (`tests.unit.policy.fields` reads which off the syntax trees) is removed, and replaced by a value
of each other JSON type. What the schema allows as well is no mistake and left out. New tools, fields, rules and goldens
are covered by being there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, cast

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
READING = {"email.list", "email.read", "wallet.balance", "compute.status"}


Document = dict[str, Any]


def of_tool(*names: str) -> Callable[[Document], bool]:
    return lambda document: document["action"]["tool"] in names


def by_owner(document: Document) -> bool:
    caller: str = document["action"]["caller"]
    return caller == "owner"


def given_back_by_owner(document: Document) -> bool:
    return by_owner(document) and of_tool("compute.stop")(document)


def approved(document: Document) -> bool:
    return document["facts"]["approval"] is not None


def not_approved(document: Document) -> bool:
    return not approved(document)


class Exempt(NamedTuple):
    """A place that some rule reads and that, with what is below it, decides nothing in these questions, on purpose."""

    place: str
    why: str
    concerns: Callable[[Document], bool]


EXEMPT = (
    Exempt("facts.approval", "it is asked only of what would else be held", not_approved),
    Exempt("mandate.approvals", "it is asked only of what would else be held", not_approved),
    Exempt("mandate.approvals.needed", "silence was enough, or more people than that approved", approved),
    Exempt("mandate.wallet.approve_above", "people were asked, as they would be without it", approved),
    Exempt("mandate.wallet.challenge_above", "people were asked, as they would be without it", approved),
    Exempt("facts.expired", "things are given back at any time", of_tool("wallet.sweep", "compute.stop")),
    Exempt("mandate", "money comes home under any mandate or none", of_tool("wallet.sweep")),
    Exempt("facts.rates", "nothing limits how often the owner acts", by_owner),
    Exempt("facts", "nothing that is known keeps the owner from giving back", given_back_by_owner),
    Exempt("facts.rates.denied_10m", "denials don't keep a run from reading", of_tool(*READING)),
    Exempt("run", "listed people may be told the run's own address", of_tool("email.send")),
)

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


def exempt(document: Document, place: Place) -> list[Exempt]:
    """Why a change of this place may be allowed in this question."""
    path = ".".join(place) + "."
    return [each for each in EXEMPT if path.startswith(f"{each.place}.") and each.concerns(document)]


def test_no_change_of_a_field_that_a_rule_reads_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    bundle = load_bundle([PACK])
    rules, engine = Rules(bundle), EmbeddedEngine(bundle)
    wrongly: list[Case] = []
    asked, unread, started = 0, 0, time.perf_counter()
    for golden in allowed():
        document = json.loads(golden.document)
        read, reasons = rules.read_for(document["action"]), partial(exempt, json.loads(golden.document))
        for place, what in changes(document):
            if not read.covers(place) or reasons(place):
                unread += 1
                continue
            asked += 1
            if says_yes(engine, document) and not VALIDATOR.is_valid(document):
                wrongly.append((golden.name, place, what))
        assert document == json.loads(golden.document)
    with capsys.disabled():
        print(f"\n{asked} generated cases in {time.perf_counter() - started:.1f} s, {unread} of fields nothing reads")
    assert wrongly == []
    assert asked > 10_000


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


def test_what_is_left_out_is_left_out_for_a_reason_that_still_holds() -> None:
    engine, needless = EmbeddedEngine(load_bundle([PACK])), {each.place for each in EXEMPT}
    for golden in allowed():
        document, whole = json.loads(golden.document), json.loads(golden.document)
        for place, _ in changes(document):
            reasons = {each.place for each in exempt(whole, place)}
            if reasons & needless and says_yes(engine, document):
                needless -= reasons
    assert needless == set()


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
