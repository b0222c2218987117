"""Addresses have one spelling, the one eth-utils gives them."""

from __future__ import annotations

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core.addresses import checksummed, keccak256


@given(st.binary(max_size=400))
def test_the_hash_is_ethereums(data: bytes) -> None:
    assert keccak256(data) == keccak(data)


@given(st.binary(min_size=20, max_size=20))
def test_the_checksum_is_that_of_eip_55(address: bytes) -> None:
    assert checksummed(address) == to_checksum_address(address)


@pytest.mark.parametrize("length", [0, 19, 21, 32])
def test_anything_but_twenty_bytes_is_no_address(length: int) -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        checksummed(b"\1" * length)
