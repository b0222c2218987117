"""A thousand times somebody asks for other bytes: what the signer signs, another reader reads as what was decided.

The other reader is in `tests/signer_desk.py`, and is not the signer's own. `tests/fuzz/requests.py` asks without end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safebox.firewall.signer import wire
from tests.fuzz import requests
from tests.signer_desk import CALLS, PLACES, RLP, Desk, dearer, reads_as_decided, with_value

TIMES = 1_000


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    found = Desk(tmp_path_factory.mktemp("desk"))
    yield found
    found.close()


def edited(content: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Bytes with some of them replaced, taken out or put in."""
    for at, length, new in edits:
        place = at % (len(content) + 1)
        content = content[:place] + new + content[place + length :]
    return content


CASES = ("transfer", "approve", "fund", "sweep", *CALLS, "typed_data", "message")
PLANNED = st.sampled_from(CASES[:-2])
EDITS = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=4)
FIELD = st.sampled_from(PLACES[:-1])
SOME = st.integers(0, 2**256 - 1) | st.integers(0, 100)
SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_every_kind_of_thing_is_tried(desk: Desk) -> None:
    assert set(desk.named) == set(CASES)
    assert {case.kind for case in desk.cases} == set(requests.KINDS)


@settings(SHARED, max_examples=TIMES // 2)
@given(name=st.sampled_from(CASES), edits=EDITS)
def test_bytes_that_were_changed_anywhere(desk: Desk, name: str, edits: list[tuple[int, int, bytes]]) -> None:
    case = desk.named[name]
    desk.check(case, edited(case.content, edits))


@settings(SHARED, max_examples=TIMES // 4)
@given(name=PLANNED, changes=st.dictionaries(FIELD, SOME, min_size=1, max_size=3))
def test_whole_transactions_with_other_fields(desk: Desk, name: str, changes: dict[str, int]) -> None:
    case = desk.named[name]
    parts: list[Any] = RLP.decode(case.content[1:])
    for place, value in changes.items():
        size = 20 if place == "to" else (value.bit_length() + 7) // 8
        parts[PLACES.index(place)] = (value % 2 ** (8 * size)).to_bytes(size)
    desk.check(case, case.content[:1] + RLP.encode(parts))


@settings(SHARED, max_examples=TIMES // 4)
@given(name=st.sampled_from(CASES), kind=st.sampled_from(["transaction", "typed_data", "message"]), raw=st.binary())
def test_raw_bytes_for_any_decision(desk: Desk, name: str, kind: wire.Kind, raw: bytes) -> None:
    desk.check(desk.named[name], raw, kind)


@settings(SHARED, max_examples=TIMES // 4)
@given(
    name=PLANNED, kind=st.integers(0, 4), order=st.permutations(range(9)), left=st.integers(0, 3),
    access=st.lists(st.tuples(st.binary(min_size=20, max_size=20), st.lists(st.binary(min_size=32, max_size=32)))),
)  # fmt: skip
def test_the_same_payment_as_a_transaction_of_another_type_is_not_signed(
    desk: Desk, name: str, kind: int, order: list[int], left: int, access: list[Any]
) -> None:
    case = desk.named[name]
    parts = [*RLP.decode(case.content[1:])[:-1], access]
    chosen = [parts[index] for index in order if kind != 2 or index == order[index]][left:]
    asked = (bytes([kind]) if kind else b"") + RLP.encode(chosen)
    assert desk.check(case, asked) is (asked == case.content)


@pytest.mark.parametrize("name", sorted(path.name for path in requests.CORPUS.glob("*.json")))
def test_what_is_in_the_corpus_is_signed_only_if_it_was_decided(desk: Desk, name: str) -> None:
    request = requests.read(requests.CORPUS / name)
    assert requests.check(desk, request) is name.startswith("decided-")


def test_a_thousand_mutants_of_the_corpus_get_nothing_signed_that_was_not_decided(desk: Desk) -> None:
    dice = random.Random(27)  # noqa: S311 - no secret
    tried = requests.mutants(requests.corpus(), dice)
    signed = sum(requests.check(desk, next(tried)) for _ in range(TIMES))
    assert 0 < signed < TIMES


def test_what_replaces_is_told_from_what_takes_more(desk: Desk) -> None:
    case = desk.named["transfer"]
    assert case.plan is not None
    assert desk.check(case, case.content)
    asked = dearer(case)
    assert desk.check(case, asked)
    more = with_value(asked, case.plan.value.units + 1)
    assert not desk.check(case, more)
    assert not reads_as_decided(case, more)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_typed_data_without_a_bottom_end_no_signer(desk: Desk, opening: str) -> None:
    deep = '{"types":{},"primaryType":"A","message":{},"domain":{"a":' + opening * 100_000
    assert isinstance(desk.ask(desk.named["typed_data"], deep.encode()), wire.No)
    nested = '{"types":{"A":[{"name":"a","type":"A"}]},"primaryType":"A","domain":{},"message":' + '{"a":' * 900
    assert isinstance(desk.ask(desk.named["typed_data"], (nested + "1" + "}" * 901).encode()), wire.No)


def test_a_list_of_a_million_numbers_is_refused_at_once(desk: Desk) -> None:
    asked = b"\x02\xfa\x0b\x00\x00" + b"\x01" * 0xB0000
    assert isinstance(desk.ask(desk.named["transfer"], asked), wire.No)
