"""Exact money: non-negative integers in an asset's smallest unit, up to 2**256 - 1.

Text amounts carry their unit (`0.5 ETH`, `20 gwei`, `3 USDC`) and are read exactly or refused: no float, no exponent,
no digit below the smallest unit. In JSON an amount is `{"asset": ..., "units": "<78 digits>"}`: fixed-width decimal
strings compare correctly in every policy engine, integers above 64 bit do not.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

from safebox.firewall.errors import ConfigError

UNITS_MAX: Final = 2**256 - 1
"""The largest amount an EVM word holds."""
UNITS_WIDTH: Final = len(str(UNITS_MAX))
"""78 digits: every amount as text has this width, so that text order is numeric order."""

DECIMALS: Final[dict[str, int]] = {"ETH": 18, "USD": 6, "TOKEN": 0}
"""Assets known by configuration: the number of decimals is never taken from an agent or a chain."""

_UNITS: Final[dict[str, tuple[str, int]]] = {
    "ETH": ("ETH", 18),
    "GWEI": ("ETH", 9),
    "WEI": ("ETH", 0),
    "USD": ("USD", 6),
    "TOKEN": ("TOKEN", 0),
    "TOKENS": ("TOKEN", 0),
}
_TEXT: Final = re.compile(r"(0|[1-9][0-9]{0,77})(?:\.([0-9]{1,18}))? ([A-Za-z]{1,12})", re.ASCII)
_PADDED: Final = re.compile(r"[0-9]{78}", re.ASCII)
_TOKEN_TEXT: Final = re.compile(r"(0|[1-9][0-9]{0,77})(?:\.([0-9]{1,36}))? (\S{1,32})", re.ASCII)
_TOKEN_PREFIX: Final = "erc20:"  # noqa: S105 -- the beginning of an asset
_TOKEN_ASSET: Final = re.compile(r"erc20:0x[0-9a-fA-F]{40}", re.ASCII)
"""A token is named by its contract. Symbols are anybody's choice, and two contracts may have the same."""


class Amount:
    """A quantity of one asset in its smallest unit.

    Raises:
        ValueError: if `units` is no integer within 0..2**256-1, or the asset is not configured.
    """

    __slots__ = ("asset", "units")
    units: int
    asset: str

    def __init__(self, units: int, asset: str) -> None:
        if type(units) is not int or not 0 <= units <= UNITS_MAX:
            raise ValueError(f"not an amount: {units!r}")
        if asset not in DECIMALS and _TOKEN_ASSET.fullmatch(asset) is None:
            raise ValueError(f"unknown asset {asset!r}")
        object.__setattr__(self, "units", units)
        object.__setattr__(self, "asset", asset)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an Amount is immutable")

    def __reduce__(self) -> tuple[type[Amount], tuple[int, str]]:
        return Amount, (self.units, self.asset)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Amount) and other.units == self.units and other.asset == self.asset

    def __hash__(self) -> int:
        return hash((self.units, self.asset))

    def __repr__(self) -> str:
        return f"Amount({self.units}, {self.asset!r})"

    def __str__(self) -> str:
        return format_units(self.units, self.asset)


def parse_amount(text: str, *, asset: str | None = None) -> Amount:
    """Read `<decimal> <unit>` exactly.

    Args:
        text: for instance `0.5 ETH`, `20 gwei` or `3 USD`.
        asset: the asset it must be in, if only one will do.

    Raises:
        ConfigError: if the text is no exact amount, or of another asset.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is not an amount", remedy="write a number, a space and a unit, as in '0.5 ETH'")
    whole, fraction, unit = match[1], match[2] or "", match[3]
    if unit.upper() not in _UNITS:
        raise ConfigError(f"{unit!r} is not a unit", remedy="known units: ETH, gwei, wei, USD, tokens")
    found, decimals = _UNITS[unit.upper()]
    if asset is not None and found != asset:
        raise ConfigError(f"{text!r} is an amount of {found}, expected {asset}", remedy=f"write it in {asset}")
    if len(fraction) > decimals:
        raise ConfigError(f"{text!r} is finer than the smallest unit", remedy=f"{unit} has {decimals} decimals")
    units = int(whole + fraction.ljust(decimals, "0"))
    if units > UNITS_MAX:
        raise ConfigError(f"{text!r} is more than 2^256-1 smallest units", remedy="write a smaller amount")
    return Amount(units, found)


def token_asset(address: str) -> str:
    """The asset of a token: its contract's checksummed address."""
    return f"{_TOKEN_PREFIX}{address}"


def token_of(asset: str) -> str | None:
    """The contract of a token; None for what is none."""
    return asset.removeprefix(_TOKEN_PREFIX) if asset.startswith(_TOKEN_PREFIX) else None


def parse_token_amount(text: str, *, name: str, decimals: int, address: str) -> Amount:
    """Read `<decimal> <name>` exactly, with the decimals the owner configured for this token.

    Raises:
        ConfigError: if the text is no exact amount of this token.
    """
    match = _TOKEN_TEXT.fullmatch(text)
    if match is None or match[3] != name:
        raise ConfigError(f"{text!r} is not an amount of {name}", remedy=f"write a number, a space and {name}")
    fraction = match[2] or ""
    if len(fraction) > decimals:
        raise ConfigError(f"{text!r} is finer than the smallest unit", remedy=f"{name} has {decimals} decimals")
    units = int(match[1] + fraction.ljust(decimals, "0"))
    if units > UNITS_MAX:
        raise ConfigError(f"{text!r} is more than 2^256-1 smallest units", remedy="write a smaller amount")
    return Amount(units, token_asset(address))


def format_token(amount: Amount, *, name: str, decimals: int) -> str:
    """Say an amount of a token by its configured name, exact and without trailing zeros."""
    whole, rest = divmod(amount.units, 10**decimals)
    fraction = str(rest).rjust(decimals, "0").rstrip("0") if rest else ""
    return f"{whole}.{fraction} {name}" if fraction else f"{whole} {name}"


def format_units(units: int, asset: str) -> str:
    """Say an amount as people write it, exact and without trailing zeros; a token's in its smallest units."""
    if asset not in DECIMALS:
        return f"{units} units of {asset}"
    decimals = DECIMALS[asset]
    if not decimals:
        return f"{units} {asset.lower()}{'' if units == 1 else 's'}"
    whole, rest = divmod(units, 10**decimals)
    fraction = str(rest).rjust(decimals, "0").rstrip("0")
    return f"{whole}.{fraction} {asset}" if fraction else f"{whole} {asset}"


def pad(units: int) -> str:
    """Say an integer amount as 78 decimal digits."""
    return str(units).rjust(UNITS_WIDTH, "0")


def encode_amount(value: Any) -> Any:
    """Serve as msgspec's `enc_hook`: an `Amount` as its JSON object."""
    if isinstance(value, Amount):
        return {"asset": value.asset, "units": pad(value.units)}
    raise NotImplementedError(f"cannot encode {type(value).__name__}")


def decode_amount(kind: type, value: Any) -> Any:
    """Serve as msgspec's `dec_hook`: the JSON object of an amount as an `Amount`."""
    if kind is not Amount:
        raise NotImplementedError(f"cannot decode {kind.__name__}")
    if type(value) is dict:  # this way rather than by `match`: a third of the time
        shown = cast("dict[str, object]", value)
        units, asset = shown.get("units"), shown.get("asset")
        if type(units) is str and type(asset) is str and len(shown) == 2 and _PADDED.fullmatch(units):  # noqa: PLR2004
            return Amount(int(units), asset)
    if isinstance(value, Amount):
        return value
    raise ValueError("not an amount")
