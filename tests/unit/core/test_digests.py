"""What is signed of messages and typed data is what every wallet signs."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message, encode_defunct, encode_typed_data  # pyright: ignore[reportPrivateUsage]
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core.digests import message_digest, typed_data_digest
from safebox.firewall.core.tools import TOOLS

MAIL: dict[str, Any] = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
    },
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}
BASICS: dict[str, Any] = {
    "uint8": st.integers(0, 255),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "uint256": st.integers(0, 2**256 - 1),
    "int256": st.integers(-(2**255), 2**255 - 1),
    "bool": st.booleans(),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    "bytes": st.binary(max_size=70).map(lambda value: "0x" + value.hex()),
    "bytes4": st.binary(min_size=4, max_size=4).map(lambda value: "0x" + value.hex()),
    "bytes32": st.binary(min_size=32, max_size=32).map(lambda value: "0x" + value.hex()),
    "address": st.binary(min_size=20, max_size=20).map(lambda value: "0x" + value.hex()),
    "uint256[]": st.lists(st.integers(0, 2**256 - 1), max_size=4),
    "string[2]": st.lists(st.text("ab\u00e9", max_size=5), min_size=2, max_size=2),
}


def digest(asked: dict[str, Any]) -> bytes:
    return typed_data_digest(TOOLS["wallet.sign_typed_data"].parse(asked).parsed())


def test_the_example_of_eip_712_has_its_digest() -> None:
    assert digest(MAIL).hex() == "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"


@given(st.data(), st.lists(st.sampled_from(sorted(BASICS)), min_size=1, max_size=6))
def test_any_struct_has_the_digest_that_eth_account_gives_it(data: st.DataObject, kinds: list[str]) -> None:
    members = [{"name": f"m{number}", "type": kind} for number, kind in enumerate(kinds)]
    message = {each["name"]: data.draw(BASICS[each["type"]]) for each in members}
    types = {"EIP712Domain": [{"name": "chainId", "type": "uint256"}], "Thing": members, "Box": [
        {"name": "thing", "type": "Thing"}, {"name": "things", "type": "Thing[]"}]}  # fmt: skip
    boxed = {"thing": message, "things": [message, message]}
    asked: dict[str, Any] = {"types": types, "primaryType": "Box", "domain": {"chainId": 5}, "message": boxed}
    assert digest(asked) == _hash_eip191_message(encode_typed_data(full_message=asked))


@pytest.mark.parametrize("content", [b"", b"I agree.", "\u00e9\u4e2d".encode(), b"x" * 1000])
def test_a_message_has_the_digest_that_eth_account_gives_it(content: bytes) -> None:
    assert message_digest(content) == _hash_eip191_message(encode_defunct(content))
