"""Money is exact to the smallest unit up to 2^256-1, or it is refused."""

import contextlib
import copy
import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core.money import (
    DECIMALS,
    UNITS_MAX,
    UNITS_WIDTH,
    Amount,
    decode_amount,
    encode_amount,
    format_units,
    pad,
    parse_amount,
)
from safebox.firewall.errors import ConfigError

assets = st.sampled_from(sorted(DECIMALS))
units = st.integers(0, UNITS_MAX) | st.sampled_from(
    [0, 1, 2**53, 2**53 + 1, 2**63, 2**64, 2**128, 2**255, 2**256 - 2, UNITS_MAX]
)


@given(units, assets)
def test_what_is_said_is_read_back_to_the_smallest_unit(value: int, asset: str) -> None:
    assert parse_amount(format_units(value, asset), asset=asset) == Amount(value, asset)


@given(units, assets)
def test_json_carries_every_amount_unchanged(value: int, asset: str) -> None:
    amount = Amount(value, asset)
    document = msgspec.json.encode(amount, enc_hook=encode_amount)
    assert msgspec.json.decode(document, type=Amount, dec_hook=decode_amount) == amount
    assert len(msgspec.json.decode(document)["units"]) == UNITS_WIDTH


@given(units, units)
def test_padded_text_is_ordered_like_the_numbers(one: int, other: int) -> None:
    assert (pad(one) < pad(other)) == (one < other)
    assert (pad(one) == pad(other)) == (one == other)


@given(st.text())
def test_any_text_is_an_exact_amount_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert 0 <= parse_amount(text).units <= UNITS_MAX


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 ETH", Amount(0, "ETH")),
        ("0.1 ETH", Amount(10**17, "ETH")),
        ("0.000000000000000001 ETH", Amount(1, "ETH")),
        ("20 gwei", Amount(20 * 10**9, "ETH")),
        ("0.000000001 Gwei", Amount(1, "ETH")),
        ("7 wei", Amount(7, "ETH")),
        (f"{UNITS_MAX} wei", Amount(UNITS_MAX, "ETH")),
        ("3.25 USD", Amount(3_250_000, "USD")),
        ("1 token", Amount(1, "TOKEN")),
        ("200000 tokens", Amount(200_000, "TOKEN")),
    ],
)
def test_units_have_their_decimals(text: str, expected: Amount) -> None:
    assert parse_amount(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "ETH",
        "1ETH",
        "1  ETH",
        " 1 ETH",
        "1 ETH ",
        "1 ETH\n",
        "1\tETH",
        "1\xa0ETH",
        "-1 ETH",
        "+1 ETH",
        "01 ETH",
        "1. ETH",
        ".5 ETH",
        "1,5 ETH",
        "1_000 ETH",
        "1e18 wei",
        "0x10 wei",
        "NaN ETH",
        "Infinity ETH",
        "\uff11 ETH",
        "\u0661 ETH",
        "1 \uff25TH",
        "0.0000000000000000001 ETH",
        "0.0000000001 gwei",
        "0.5 wei",
        "0.0 wei",
        "0.5 tokens",
        "0.0000001 USD",
        "1 BTC",
        "1 USDT",
        f"{UNITS_MAX + 1} wei",
        f"{UNITS_MAX} gwei",
        f"{UNITS_MAX} ETH",
        "9" * 79 + " wei",
        "9" * 5000 + " wei",
    ],
)
def test_what_is_not_exact_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_amount(text)


def test_an_amount_of_another_asset_is_refused_where_one_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="expected ETH"):
        parse_amount("1 USD", asset="ETH")


@pytest.mark.parametrize("value", [-1, UNITS_MAX + 1, 1.0, "1", None, True, False, b"1"])
def test_no_amount_is_made_of_anything_but_a_256_bit_integer(value: object) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        Amount(value, "ETH")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("asset", ["", "eth", "BTC", "ETH "])
def test_no_amount_is_made_of_an_asset_that_is_not_configured(asset: str) -> None:
    with pytest.raises(ValueError, match="unknown asset"):
        Amount(1, asset)


@pytest.mark.parametrize(
    "value",
    [
        1,
        "1",
        None,
        [],
        {},
        {"asset": "ETH", "units": 1},
        {"asset": "ETH", "units": "1"},
        {"asset": "ETH", "units": "0" * 77},
        {"asset": "ETH", "units": "0" * 79},
        {"asset": "ETH", "units": "-" + "0" * 77},
        {"asset": "ETH", "units": "\u0660" * 78},
        {"asset": "ETH", "units": "0" * 78 + "\n"},
        {"asset": "ETH", "units": "9" * 78},
        {"asset": "BTC", "units": "0" * 78},
        {"asset": None, "units": "0" * 78},
        {"units": "0" * 78},
        {"asset": "ETH", "units": "0" * 78, "more": 1},
    ],
)
def test_json_that_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, Amount, dec_hook=decode_amount)


def test_an_amount_cannot_be_changed() -> None:
    amount = Amount(1, "ETH")
    with pytest.raises(AttributeError):
        amount.units = 2
    with pytest.raises(AttributeError):
        amount.more = 2  # pyright: ignore[reportAttributeAccessIssue]


def test_amounts_are_compared_whole_and_survive_copying() -> None:
    amount = Amount(1, "ETH")
    assert amount == Amount(1, "ETH")
    assert amount != Amount(1, "USD")
    assert amount != 1
    assert len({amount, Amount(1, "ETH"), Amount(1, "USD")}) == 2
    assert pickle.loads(pickle.dumps(amount)) == copy.deepcopy(amount) == amount  # noqa: S301


def test_people_read_amounts_without_trailing_zeros() -> None:
    assert str(Amount(5 * 10**17, "ETH")) == "0.5 ETH"
    assert str(Amount(10**18, "ETH")) == "1 ETH"
    assert str(Amount(1, "TOKEN")) == "1 token"
    assert str(Amount(2, "TOKEN")) == "2 tokens"
