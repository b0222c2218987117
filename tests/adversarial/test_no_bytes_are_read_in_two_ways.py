"""Random and mutated calldata and transactions never crash the decoders, and are read in their one encoding or not."""

from __future__ import annotations

import random
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from safebox.firewall.accounts import signer_of_digest
from safebox.firewall.core.abi import Type, function, read_arguments, write_arguments
from safebox.firewall.core.addresses import checksummed
from safebox.firewall.core.envelope import read_envelope
from safebox.firewall.errors import CallerError
from tests.fuzz.transactions import CORPUS, LISTED, check, corpus, known_functions, mutants

KNOWN = [*known_functions(), *map(function, LISTED)]
ADDRESSES = st.binary(min_size=20, max_size=20).map(checksummed)
ACCOUNT = Account.from_key(b"\x07" * 32)


PLAIN: dict[str, SearchStrategy[Any]] = {
    "address": ADDRESSES,
    "bool": st.booleans(),
    "bytes": st.binary(max_size=70),
    "string": st.text(max_size=40),
}


def values_of(kind: Type) -> SearchStrategy[Any]:
    size = kind.size or 0
    match kind.kind:
        case "uint":
            return st.integers(0, 2**size - 1)
        case "int":
            return st.integers(-(2 ** (size - 1)), 2 ** (size - 1) - 1)
        case "fixed":
            return st.binary(min_size=size, max_size=size)
        case "tuple":
            return st.tuples(*map(values_of, kind.items))
        case "array":
            return st.lists(values_of(kind.items[0]), min_size=size, max_size=size or 3).map(tuple)
        case _:
            return PLAIN[kind.kind]


TYPES = st.recursive(
    st.sampled_from(
        ["address", "bool", "uint8", "uint160", "uint256", "int24", "bytes4", "bytes32", "bytes", "string"]
    ),
    lambda inner: st.one_of(
        inner.map("{}[]".format),
        inner.map("{}[2]".format),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: f"({','.join(each)})"),
    ),
    max_leaves=5,
)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_values_of_any_types_are_read_as_they_were_encoded(data: st.DataObject) -> None:
    names = data.draw(st.lists(TYPES, max_size=4))
    types = function(f"f({','.join(names)})").types
    values = data.draw(st.tuples(*map(values_of, types)))
    encoded = encode(names, values)
    assert read_arguments(types, encoded) == values
    assert write_arguments(types, values) == encoded


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_is_another_value_or_is_refused(data: st.DataObject) -> None:
    types = data.draw(st.sampled_from(KNOWN)).types
    values = data.draw(st.tuples(*map(values_of, types)))
    encoded = bytearray(write_arguments(types, values))
    if encoded:
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
        try:
            found = read_arguments(types, bytes(encoded))
        except CallerError:
            return
        assert found != values
        assert write_arguments(types, found) == encoded


@given(st.sampled_from(KNOWN), st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_any_bytes_behind_a_known_selector_crash_nothing(known: Any, arguments: bytes) -> None:
    check(known.selector + arguments)


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x01", b"\x02"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_crash_nothing(content: bytes, first: bytes) -> None:
    check(first + content)


@given(
    value=st.integers(0, 2**256 - 1), nonce=st.integers(0, 2**64 - 2), chain=st.integers(1, 2**32),
    data=st.binary(max_size=80), kind=st.sampled_from([0, 1, 2]), place=st.integers(0), flip=st.integers(1, 255),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_changed_byte_of_a_transaction_is_another_signer_or_is_refused(
    value: int, nonce: int, chain: int, data: bytes, kind: int, place: int, flip: int
) -> None:
    fees = {"maxFeePerGas": 9, "maxPriorityFeePerGas": 1} if kind == 2 else {"gasPrice": 9}
    typed: dict[str, Any] = {"type": kind} if kind else {}
    fields: dict[str, Any] = {"to": checksummed(b"\x55" * 20), "value": value, "nonce": nonce, "chainId": chain}
    signed = ACCOUNT.sign_transaction(fields | fees | typed | {"data": data, "gas": 99_000})
    raw = bytearray(signed.raw_transaction)
    found = read_envelope(bytes(raw))
    assert (found.value, found.nonce, found.chain_id, found.data) == (value, nonce, chain, data)
    raw[place % len(raw)] ^= flip
    try:
        changed = read_envelope(bytes(raw))
        assert signer_of_digest(changed.digest, changed.signature) != ACCOUNT.address
    except (CallerError, ValueError):
        pass


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.glob("*.hex")))
def test_what_is_in_the_corpus_breaks_nothing(name: str) -> None:
    check(bytes.fromhex(CORPUS.joinpath(name).read_text()))


def test_a_thousand_mutants_of_the_corpus_break_nothing_and_some_are_read() -> None:
    read = 0
    for number, data in enumerate(mutants(corpus(), random.Random(26)), 1):  # noqa: S311 - no secret
        read += check(data)
        if number == 1000:
            break
    assert 0 < read < 1000
