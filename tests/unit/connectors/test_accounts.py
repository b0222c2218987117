"""What is signed here is byte for byte what eth-account signs, and only whole, plain transactions are read back."""

from __future__ import annotations

from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.accounts import LocalAccount, decode_transaction, signer_of

RLP: Any = rlp
KEY = bytes(range(1, 33))
WORD = st.integers(0, 2**256 - 1)
FIELDS: dict[str, Any] = {
    "type": 2,
    "chainId": 31337,
    "nonce": 0,
    "to": "0x" + "22" * 20,
    "value": 10**18,
    "data": b"",
    "gas": 21_000,
    "maxFeePerGas": 10**9,
    "maxPriorityFeePerGas": 1,
}


@given(
    key=st.binary(min_size=32, max_size=32).filter(lambda key: 0 < int.from_bytes(key) < 2**255),
    to=st.binary(min_size=20, max_size=20),
    value=WORD,
    fees=st.tuples(st.integers(0, 2**64), st.integers(0, 2**64)),
    nonce=st.integers(0, 2**63),
    chain_id=st.integers(1, 2**40),
)
def test_signatures_addresses_and_hashes_are_those_of_eth_account(
    key: bytes, to: bytes, value: int, fees: tuple[int, int], nonce: int, chain_id: int
) -> None:
    more = {"to": "0x" + to.hex(), "value": value, "nonce": nonce, "chainId": chain_id}
    fields = {**FIELDS, **more, "maxFeePerGas": fees[0], "maxPriorityFeePerGas": fees[1]}
    mine, theirs = LocalAccount(key), Account.from_key(key)
    signed, known = mine.sign_transaction(fields), theirs.sign_transaction({**fields, "to": to})
    assert mine.address == theirs.address
    assert (signed.raw_transaction, signed.hash) == (bytes(known.raw_transaction), bytes(known.hash))
    assert signer_of(signed.raw_transaction) == theirs.address
    assert decode_transaction(signed.raw_transaction) == {**fields, "accessList": ()}


@pytest.mark.parametrize(
    "change",
    [{"value": -1}, {"value": 2**256}, {"nonce": True}, {"gas": 1.5}, {"to": "0x22"}, {"to": ""}, {"data": "0x"}],
)
def test_a_field_of_another_type_or_size_is_not_signed(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"transaction|fromhex"):
        LocalAccount(KEY).sign_transaction({**FIELDS, **change})


def test_bytes_with_another_meaning_or_two_are_not_read() -> None:
    raw = LocalAccount(KEY).sign_transaction(FIELDS).raw_transaction
    parts: list[Any] = RLP.decode(raw[1:])
    padded = [*parts[:6], b"\0" + parts[6], *parts[7:]]
    for wrong in (
        b"",
        raw[1:],
        b"\x01" + raw[1:],
        raw + b"\0",
        raw[:-1],
        b"\x02" + RLP.encode(parts[:-1]),
        b"\x02" + RLP.encode(padded),
        b"\x02" + RLP.encode([*parts[:7], [b"1"], *parts[8:]]),
        b"\x02" + RLP.encode(b"no list"),
    ):
        with pytest.raises(ValueError, match="transaction"):
            decode_transaction(wrong)


def test_no_key_outside_the_curve_makes_an_account() -> None:
    for key in (b"\0" * 32, b"\xff" * 32):
        with pytest.raises(ValueError, match=r".+"):
            LocalAccount(key)
