"""A thousand times somebody asks for other bytes: what the signer signs, another reader reads as what was decided.

The other reader is not the signer's own: RLP by the library of that name, JSON by Python's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import rlp  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safebox.firewall.accounts import unsigned_transaction
from safebox.firewall.connectors.transaction import Offer, Payment
from safebox.firewall.core.record import Decided
from safebox.firewall.signer import wire
from safebox.firewall.signer.server import Signer
from safebox.firewall.signer.watermark import Watermark
from tests.signers import FEE, TIP, Book, wei

RLP: Any = rlp
TIMES = 1_000
Case = tuple[Decided, wire.Kind, bytes]
PLACES = ("chain_id", "nonce", "tip", "fee", "gas", "to", "value", "data", "access")


class Desk:
    """A ledger with one allow of each kind, and a signer in this process."""

    def __init__(self, book: Book) -> None:
        self.book = book
        watermark = Watermark.open(book.folder / "signer")
        notary = book.folder / "keystore" / "checkpoint.pub"
        self.signer = Signer(book.keystore, book.ledger, notary, watermark)
        paid, self.payment = book.transfer(book.run(), replacements=(DEARER,))
        approved, self.call = book.approval(book.run())
        typed, data = book.typed(book.run())
        said, message = book.message(book.run(), b"I agree to the terms of 2026.")
        self.plans: dict[str, Payment] = {paid.decision: self.payment, approved.decision: self.call}
        self.cases: list[Case] = [
            (paid, "transaction", unsigned_transaction(self.payment.fields())),
            (approved, "transaction", unsigned_transaction(self.call.fields())),
            (typed, "typed_data", data.typed_data.encode()),
            (said, "message", message.content()),
        ]

    def ask(self, decided: Decided, kind: wire.Kind, content: bytes) -> wire.Answer:
        return self.signer.answer(wire.Sign(decision=decided.decision, signer=decided.run, kind=kind, content=content))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    book = Book(tmp_path_factory.mktemp("desk"))
    yield Desk(book)
    book.close()


def edited(content: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Bytes with some of them replaced, taken out or put in."""
    for at, length, new in edits:
        place = at % (len(content) + 1)
        content = content[:place] + new + content[place + length :]
    return content


EDITS = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=4)
FIELD = st.sampled_from(PLACES[:-1])
DEARER = Offer(max_fee_per_gas=wei(3 * FEE), max_priority_fee_per_gas=wei(3 * TIP))
NUMBERS = st.integers(0, 2**256 - 1) | st.integers(0, 100)


@settings(max_examples=TIMES // 2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 3), edits=EDITS)
def test_bytes_that_were_changed_anywhere(desk: Desk, number: int, edits: list[tuple[int, int, bytes]]) -> None:
    decided, kind, content = desk.cases[number]
    asked = edited(content, edits)
    answer = desk.ask(decided, kind, asked)
    if isinstance(answer, wire.Signed):
        assert reads_as_decided(desk, decided, kind, asked, content)
    else:
        assert isinstance(answer, wire.No)
        assert asked != content
        assert not answer.later


@settings(max_examples=TIMES // 4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 1), changes=st.dictionaries(FIELD, NUMBERS, min_size=1, max_size=3))
def test_whole_transactions_with_other_fields(desk: Desk, number: int, changes: dict[str, int]) -> None:
    decided, kind, content = desk.cases[number]
    parts: list[Any] = RLP.decode(content[1:])
    for place, value in changes.items():
        size = 20 if place == "to" else (value.bit_length() + 7) // 8
        parts[PLACES.index(place)] = (value % 2 ** (8 * size)).to_bytes(size)
    asked = content[:1] + RLP.encode(parts)
    if isinstance(desk.ask(decided, kind, asked), wire.Signed):
        assert reads_as_decided(desk, decided, kind, asked, content)


@settings(max_examples=TIMES // 4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 3), kind=st.sampled_from(["transaction", "typed_data", "message"]), raw=st.binary())
def test_raw_bytes_for_any_decision(desk: Desk, number: int, kind: wire.Kind, raw: bytes) -> None:
    decided, _, content = desk.cases[number]
    if isinstance(desk.ask(decided, kind, raw), wire.Signed):
        assert raw == content


def reads_as_decided(desk: Desk, decided: Decided, kind: wire.Kind, asked: bytes, content: bytes) -> bool:
    """Whether another reader finds in the bytes what was decided, or what was decided in its place."""
    if kind == "typed_data":
        return bool(json.loads(asked) == json.loads(content))
    if kind == "message":
        return asked == content
    plan = desk.plans[decided.decision]
    found = dict(zip(PLACES, RLP.decode(asked[1:]), strict=True))
    number = {name: int.from_bytes(found[name]) for name in PLACES[:5]}
    offers = (Offer(max_fee_per_gas=plan.max_fee_per_gas, max_priority_fee_per_gas=plan.max_priority_fee_per_gas),)
    fees = {(each.max_fee_per_gas.units, each.max_priority_fee_per_gas.units) for each in offers + plan.replacements}
    named = (number["chain_id"], number["nonce"], found["access"]) == (plan.chain_id, plan.nonce, [])
    planned = (plan.to.lower(), plan.value.units, plan.data, plan.gas)
    said = ("0x" + found["to"].hex(), int.from_bytes(found["value"]), "0x" + found["data"].hex(), number["gas"])
    return named and (number["fee"], number["tip"]) in fees and said == planned


def test_what_replaces_is_told_from_what_takes_more(desk: Desk) -> None:
    decided, kind, content = desk.cases[0]
    assert isinstance(desk.ask(decided, kind, content), wire.Signed)
    _, dearer = desk.payment.variants()
    asked = unsigned_transaction(dearer.fields())
    assert isinstance(desk.ask(decided, kind, asked), wire.Signed)
    assert reads_as_decided(desk, decided, kind, asked, content)
    more = unsigned_transaction(msgspec.structs.replace(dearer, value=wei(dearer.value.units + 1)).fields())
    assert not isinstance(desk.ask(decided, kind, more), wire.Signed)
    assert not reads_as_decided(desk, decided, kind, more, content)
