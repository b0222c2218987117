"""Arguments are read in their one encoding, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import decode, encode

from safebox.firewall.core.abi import addresses_in, function, plain, read_arguments, write_arguments
from safebox.firewall.errors import CallerError
from tests.calls import PAYEE, TOKEN

WORD = 32
VALUES: list[tuple[str, tuple[Any, ...]]] = [
    ("f()", ()),
    ("f(address,uint256)", (PAYEE, 2**256 - 1)),
    ("f(bool,int8,int256,bytes4,bytes32)", (True, -128, -1, b"\x01\x02\x03\x04", b"\xff" * 32)),
    ("f(bytes)", (b"",)),
    ("f(bytes,string)", (b"x" * 33, "grüße")),
    ("f(uint8[])", ((),)),
    ("f(uint16[3],address[])", ((1, 2, 3), (PAYEE, TOKEN))),
    ("f((address,(bytes,uint8)[])[2])", (((PAYEE, ((b"a", 1),)), (TOKEN, ())),)),
    ("f(bytes[][],string)", (((b"a", b"b" * 40), ()), "end")),
]


@pytest.mark.parametrize(("signature", "values"), VALUES)
def test_what_eth_abi_encodes_is_read_and_written_the_same(signature: str, values: tuple[Any, ...]) -> None:
    types = function(signature).types
    data = encode([each.name for each in types], values)
    assert read_arguments(types, data) == values
    assert write_arguments(types, values) == data


def test_the_selector_is_the_one_everybody_uses() -> None:
    assert function("transfer(address,uint256)").selector.hex() == "a9059cbb"


@pytest.mark.parametrize(
    "signature",
    [
        "", "f", "f(", "f(uint256", "f)", "(uint256)", "f(uint)", "f(uint7)", "f(uint264)", "f(bytes33)", "f(bytes0)",
        "f( uint256)", "f(uint256 )", "f(uint256 x)", "f(uint256,)", "f(,uint256)", "f(address payable)",
        "f(uint256[0])", "f(uint256[65])",
        "f(uint256[64][64])", "f(()[])", "f(uint256)f", "f(uint256)[]", "f(Foo)", "1f()", "f(fixed)",
        "f" * 600 + "()", "f(" + "(" * 9 + ")" * 9 + ")", "f(bytes" + "[]" * 40 + ")",
        "\u017f(uint256)", "f(uint\u0662\u0665\u0666)",
    ],
)  # fmt: skip
def test_a_signature_that_is_none_is_refused(signature: str) -> None:
    with pytest.raises(CallerError, match="signature"):
        function(signature)


def _word(number: int) -> bytes:
    return number.to_bytes(WORD)


OFF = [
    ("cut short in a head", "f(uint256,uint256)", _word(1), "call.cut_short"),
    ("no arguments at all", "f(uint256)", b"", "call.cut_short"),
    ("cut short in a length", "f(bytes)", _word(32), "call.cut_short"),
    ("cut short in the content", "f(bytes)", _word(32) + _word(5), "call.cut_short"),
    ("an endless length", "f(bytes)", _word(32) + _word(2**256 - 1), "call.cut_short"),
    ("a byte behind the arguments", "f(uint256)", _word(1) + b"\0", "call.left_over"),
    ("a word behind the arguments", "f(bytes)", _word(32) + _word(0) + _word(0), "call.left_over"),
    ("arguments of a function without any", "f()", b"\0", "call.left_over"),
    ("an address with a 21st byte", "f(address)", _word(2**160), "call.padding"),
    ("a truth value of 2", "f(bool)", _word(2), "call.padding"),
    ("a truth value of 256 and 1", "f(bool)", _word(257), "call.padding"),
    ("a uint8 of 256", "f(uint8)", _word(256), "call.padding"),
    ("an int8 of 255 without its sign", "f(int8)", _word(255), "call.padding"),
    ("bytes4 with a fifth byte", "f(bytes4)", b"\x01" * 5 + bytes(27), "call.padding"),
    ("bytes with dirt behind them", "f(bytes)", _word(32) + _word(1) + b"\x01\x02" + bytes(30), "call.padding"),
    ("an offset of nothing", "f(bytes)", _word(0) + _word(0), "call.offset"),
    ("an offset with a gap", "f(bytes)", _word(64) + _word(0) + _word(0), "call.offset"),
    ("an offset beyond 64 bits", "f(bytes)", _word(2**64 + 32) + _word(0), "call.offset"),
    ("two offsets into one value", "f(bytes,bytes)", _word(64) + _word(64) + _word(0), "call.offset"),
    ("offsets in the other order", "f(bytes,bytes)", _word(96) + _word(64) + _word(0) + _word(0), "call.offset"),
    ("an offset back in a list", "f(bytes[])", _word(32) + _word(1) + _word(0), "call.offset"),
    ("a list without end", "f(uint256[])", _word(32) + _word(2**255), "call.too_many"),
    ("a list shorter than it says", "f(uint256[])", _word(32) + _word(2) + _word(1), "call.cut_short"),
    ("a string that is no text", "f(string)", _word(32) + _word(1) + b"\xff" + bytes(31), "request.invalid"),
]


@pytest.mark.parametrize(("signature", "data", "code"), [each[1:] for each in OFF], ids=[each[0] for each in OFF])
def test_any_other_encoding_is_refused_with_its_reason(signature: str, data: bytes, code: str) -> None:
    with pytest.raises(CallerError) as caught:
        read_arguments(function(signature).types, data)
    assert caught.value.code == code


def test_what_is_left_over_passes_in_eth_abi() -> None:
    """The reason why it isn't used here."""
    assert decode(["uint256"], _word(1) + b"more") == (1,)


def test_values_are_said_as_json_has_them_and_every_address_in_them_is_found() -> None:
    kind = function("f((address,uint256,bytes2,bool,address[])[])").types[0]
    value = ((PAYEE, 2**200, b"\x01\x02", True, (TOKEN,)),)
    assert plain(kind, value) == [[PAYEE, str(2**200), "0x0102", True, [TOKEN]]]
    assert list(addresses_in(kind, value)) == [PAYEE, TOKEN]
