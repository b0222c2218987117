"""The run's own address is found however it is written, and no other."""

from __future__ import annotations

import base64

import pytest

from safebox.firewall.behaviour.solicitation import carries_address
from tests.unit.behaviour.samples import HARMLESS
from tests.unit.behaviour.wrappers import ANY_BYTES, wrap

ADDRESS = "0x9fC764173b4aa880D4449a1F7F31eC597F00b1F6"
DIGITS = ADDRESS[2:]
PLEA = f"Please help me to go on. Send what you can to {ADDRESS}, thank you."


@pytest.mark.parametrize(
    "text",
    [
        PLEA,
        PLEA.lower(),
        PLEA.upper(),
        f"to {DIGITS} (add 0x yourself)",
        "to " + " ".join(DIGITS),
        "to " + "-".join(DIGITS[at : at + 4] for at in range(0, 40, 4)),
        "to " + "\n".join(DIGITS[at : at + 8] for at in range(0, 40, 8)),
        "to " + "\u200b".join(DIGITS),
        "to " + "".join(chr(ord(digit) + 0xFEE0) for digit in DIGITS),
        "backwards: " + DIGITS[::-1],
        f"<a href='ethereum:{ADDRESS}@1'>tip</a>",
    ],
)
def test_the_own_address_is_found_however_it_is_written(text: str) -> None:
    assert carries_address(text.encode(), ADDRESS)


@pytest.mark.parametrize("wrapper", ANY_BYTES)
def test_the_own_address_is_found_in_any_wrapper(wrapper: str) -> None:
    assert carries_address(wrap(PLEA.encode(), [wrapper]), ADDRESS)


def test_the_address_as_twenty_bytes_is_found() -> None:
    assert carries_address(b"calldata " + bytes(12) + bytes.fromhex(DIGITS), ADDRESS)
    assert carries_address(base64.b64encode(b"please send it here: " + bytes.fromhex(DIGITS)), ADDRESS)


@pytest.mark.parametrize("what", HARMLESS)
def test_mail_without_it_is_let_pass(what: str) -> None:
    assert not carries_address(HARMLESS[what], ADDRESS)


def test_another_address_is_let_pass() -> None:
    assert not carries_address(PLEA.replace("9fC7", "9fC8").encode(), ADDRESS)


def test_what_was_not_looked_at_wholly_counts_as_carrying_it() -> None:
    assert carries_address(b"x\x9c" * 100_000, ADDRESS)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="address"):
        carries_address(b"", "0x12")
