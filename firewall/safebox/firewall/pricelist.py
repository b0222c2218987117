"""The owner's price file, read strictly: what assets cost, or which feed says so within which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from safebox.firewall.core.arguments import parse_address
from safebox.firewall.core.money import DECIMALS, token_asset
from safebox.firewall.core.quotes import Bounds
from safebox.firewall.core.total import Reading, parse_price
from safebox.firewall.errors import CallerError, ConfigError
from safebox.firewall.mandate.section import MandateErrors, Problem, Report, Section, show
from safebox.firewall.mandate.toml import BYTES_MAX, TomlError, parse

MAX_AGE_MAX: Final = 86_400
"""A price of yesterday says nothing about today."""
EVERY_MAX: Final = 3600
DECIMALS_MAX: Final = 36
FALL: Final = "1.5"
"""What a feed may say at once: a third less than before."""
_FEED: Final = "feed"
_KEYS: Final = ("usd", "decimals", "floor", "ceiling", "fall")
_COINS: Final = ("ETH",)
"""Assets whose decimals are known; all else is a token, by its contract."""


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """Where prices are asked for: an http(s) address or a file, how often, and how old they may get."""

    source: str
    every_s: int
    max_age_s: int


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's price file: prices that stand, and those that a feed says within bounds."""

    fixed: Mapping[str, Reading] = {}
    followed: Mapping[str, Bounds] = {}
    feed: Feed | None = None


def load_prices(path: Path) -> PriceList:
    """Read the price file.

    Raises:
        ConfigError: if it can't be read, or anything in it is wrong; names every mistake.
    """
    try:
        with path.open("rb") as file:
            text = file.read(BYTES_MAX + 1).decode("utf-8")
        document = parse(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read as prices", remedy="name a readable TOML file") from error
    except TomlError as error:
        raise MandateErrors(str(path), [_problem(error)]) from error
    report = Report(document)
    feed = _feed(report, document.values, path.parent)
    fixed: dict[str, Reading] = {}
    followed: dict[str, Bounds] = {}
    for asset, value in document.values.items():
        if asset != _FEED:
            _asset(report, asset, value, fixed, followed)
    if followed and feed is None:
        report.wrong((), "there is no section [feed]", "[feed] with source, every and max_age, for floor and ceiling")
    if report.problems:
        raise MandateErrors(str(path), report.problems)
    return PriceList(fixed=fixed, followed=followed, feed=feed)


def _problem(error: TomlError) -> Problem:
    return Problem(line=error.line, key="", cause=error.cause, expected=error.expected)


def _feed(report: Report, values: dict[str, Any], beside: Path) -> Feed | None:
    table = _table(report, values, _FEED) if _FEED in values else None
    if table is None:
        return None
    section = Section(report, (_FEED,), table, ("source", "every", "max_age"))
    source = section.text("source", "an http(s) address or a file", most=2_000)
    if "://" not in source:
        source = str(beside.absolute() / source)
    elif not source.startswith(("https://", "http://")):
        section.wrong("source", f"{show(source)} is not accepted", "an http(s) address or a file")
    feed = Feed(
        source=source, every_s=section.seconds("every", EVERY_MAX), max_age_s=section.seconds("max_age", MAX_AGE_MAX)
    )
    if feed.every_s > feed.max_age_s:
        section.wrong("every", "prices would be too old before they are asked for again", "at most max_age")
    return feed


def _asset(report: Report, asset: str, value: Any, fixed: dict[str, Reading], followed: dict[str, Bounds]) -> None:
    if asset not in _COINS and not _is_token(asset):
        report.wrong((asset,), f"{show(asset)} is no asset", "ETH, or a token as erc20:0x… with a checksummed address")
        return
    table = _table(report, {asset: value}, asset)
    if table is None:
        return
    section = Section(report, (asset,), table, _KEYS)
    decimals = _decimals(section, asset)
    if "usd" in section:
        fixed[asset] = Reading(usd=_usd(section, "usd"), decimals=decimals)
        for key in {"floor", "ceiling", "fall"} & table.keys():
            section.wrong(key, "a price that stands has no bounds", "either usd, or floor and ceiling")
    else:
        followed[asset] = _bounds(section, decimals)


def _decimals(section: Section, asset: str) -> int:
    if asset not in _COINS:
        return section.whole("decimals", 0, DECIMALS_MAX)
    if "decimals" in section:
        section.wrong("decimals", f"those of {asset} are known", "nothing")
    return DECIMALS[asset]


def _bounds(section: Section, decimals: int) -> Bounds:
    fall = _usd(section, "fall") if "fall" in section else parse_price(FALL)
    bounds = Bounds(decimals=decimals, floor=_usd(section, "floor"), ceiling=_usd(section, "ceiling"), fall=fall)
    if bounds.floor > bounds.ceiling:
        section.wrong("floor", "it is above the ceiling", "at most the ceiling")
    if bounds.fall < parse_price("1"):
        section.wrong("fall", "it is less than 1", "a factor from 1")
    return bounds


def _is_token(asset: str) -> bool:
    try:
        return asset == token_asset(parse_address(asset.removeprefix("erc20:")))
    except CallerError:
        return False


def _table(report: Report, values: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = values[name]
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    report.wrong((name,), f"{show(value)} is not accepted", f"a table [{name}]")
    return None


def _usd(section: Section, key: str) -> int:
    expected = 'USD for a whole one as text, as in "2500.25"'

    def check(path: Any, value: Any) -> int | None:
        try:
            return parse_price(value if isinstance(value, str) else "")
        except ConfigError:
            section.wrong(key, f"{show(value)} is not accepted", expected)
            return None

    return section.read(key, expected, 1, check)
