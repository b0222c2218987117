"""Addresses made to be mistaken for a payee, and addresses nobody holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.behaviour.lookalike import burn_marker, lookalike

ACME = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
KNOWN = {"acme": ACME, "cobalt": "0xba62d7de5c661A02e6E3fb3572410f74dc09e767"}


@given(st.text(alphabet="0123456789abcdefABCDEF", min_size=32, max_size=32))
def test_the_same_four_digits_at_both_ends_are_a_lookalike(middle: str) -> None:
    address = "0x4720" + middle + "98fF"
    assert lookalike(address, KNOWN) == (None if address.lower() == ACME.lower() else "acme")


def test_a_payee_is_no_lookalike_of_itself_in_any_case() -> None:
    assert lookalike(ACME.lower(), KNOWN) is None
    assert lookalike("0x" + ACME[2:].upper(), KNOWN) is None


@pytest.mark.parametrize("address", ["0x4720" + "0" * 33 + "8ff", "0x472" + "1" * 33 + "98ff", "0x" + "1" * 40])
def test_three_digits_at_one_end_are_none(address: str) -> None:
    assert lookalike(address, KNOWN) is None


@pytest.mark.parametrize("address", ["", "0x", ACME[2:], ACME + "0", "0x" + "g" * 40, "acme.eth", ACME + "\n"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        lookalike(address, KNOWN)
    with pytest.raises(ValueError, match="address"):
        burn_marker(address)


@pytest.mark.parametrize(
    ("address", "marker"),
    [
        ("0x" + "0" * 40, "zero"),
        ("0x" + "1".zfill(40), "precompile"),
        ("0x" + "11".zfill(40), "precompile"),
        ("0x" + "12".zfill(40), None),
        ("0x" + "dead".zfill(40), "dead"),
        ("0x000000000000000000000000000000000000dEaD", "dead"),
        ("0xdead000000000000000042069420694206942069", "dead"),
        ("0xdEAD000000000000000000000000000000000000", "dead"),
        ("0x" + "dead" * 10, "dead"),
        ("0x00000000000000000000000000000000deadbeef", "dead"),
        (ACME, None),
    ],
)
def test_addresses_nobody_can_spend_from_are_marked(address: str, marker: str | None) -> None:
    assert burn_marker(address) == marker
