"""One budget over all assets and rails, in a reference unit: what an action costs at the prices of that moment.

Rule 1: nothing is counted as zero because its price isn't known; what has no usable price fits no budget.
Rule 2: integers only, rounded up: the parts of a sum never cost less than the sum.
Rule 3: the prices are in the record of the decision. What is settled later, also after a restart, is counted at those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from safebox.firewall.core.accounts import Line
from safebox.firewall.core.books import RunBook
from safebox.firewall.core.mandate import ACCOUNT_TOTAL, Mandate
from safebox.firewall.core.money import UNITS_MAX, Amount, pad, token_asset
from safebox.firewall.core.outcome import Outcome
from safebox.firewall.core.record import Charge, Decided
from safebox.firewall.core.tools import Caller
from safebox.firewall.errors import ConfigError

REFERENCE: Final = "USD"
"""What totals are in. Its smallest unit is a millionth."""
DIGITS: Final = 18
"""Decimals of a price: a whole of the cheapest token has a price, too."""
_REFERENCE_DECIMALS: Final = 6
_MEASURE: Final = "TOKEN"
"""No money but a number of words: it is paid for by the charge in money beside it, and without that has no price."""
_PRICE: Final = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,18}))?", re.ASCII)

LINE: Final = ACCOUNT_TOTAL, REFERENCE
"""The line of the account tree."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One asset's price as it is known now: USD for a whole, with 18 decimals, and how old it may get.

    A configured price has no age: both ages are None.
    """

    usd: int
    decimals: int
    age_s: int | None = None
    max_age_s: int | None = None

    @property
    def usable(self) -> bool:
        """Whether it may be counted with."""
        if self.age_s is None or self.max_age_s is None:
            return self.age_s is None and self.max_age_s is None
        return 0 <= self.age_s <= self.max_age_s


Ask = Callable[[str], Reading | None]
"""Says what is known of an asset's price; None: nothing."""


def no_prices(_asset: str) -> Reading | None:
    """Know no price."""
    return None


class Cost(msgspec.Struct, frozen=True):
    """What an action reserves in all, and what policy is shown of that (None without a total)."""

    charges: tuple[Charge, ...]
    facts: dict[str, Any] | None = None


def parse_price(text: str) -> int:
    """Read a price in USD exactly, as 10**-18 USD.

    Raises:
        ConfigError: if it is no decimal number, or nothing.
    """
    match = _PRICE.fullmatch(text)
    if match is None or not (usd := int(match[1] + (match[2] or "").ljust(DIGITS, "0"))):
        raise ConfigError(f"{text!r} is not a price", remedy="write USD for a whole one as text, as in '2500.25'")
    return usd


def say_price(usd: int) -> str:
    """Say a price as people write it, exactly."""
    whole, rest = divmod(usd, 10**DIGITS)
    fraction = str(rest).rjust(DIGITS, "0").rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)


def worth(units: int, usd: int, decimals: int) -> int:
    """Micro-USD of so many smallest units, rounded up; at most what an amount can hold."""
    whole: int = 10 ** (DIGITS - _REFERENCE_DECIMALS + decimals)
    return min(UNITS_MAX, -(-units * usd // whole))


def cost_of(book: RunBook, caller: Caller, charges: tuple[Charge, ...], ask: Ask) -> Cost:
    """Add to what an agent's action would take what that is of the total, if its mandate has one.

    Fails closed: where a price isn't usable, what is added fits nowhere.
    """
    if book.mandate.total is None or caller is not Caller.AGENT:
        return Cost(charges)
    if (given := next((each.amount.units for each in charges if each.rail == ACCOUNT_TOTAL), None)) is not None:
        return Cost(charges, _given(book.lines[LINE], given))
    prices = {asset: _price(book.mandate, asset, ask) for asset in dict.fromkeys(_priced(charges))}
    known = {asset: price for asset, price in prices.items() if price is not None}
    usable = len(known) == len(prices) and all(price.usable for price in known.values())
    units = _sum(charges, known) if usable else None
    line = book.lines[LINE]
    facts = {
        "cost": None if units is None else {"asset": REFERENCE, "units": pad(units)},
        "remaining": pad(line.remaining),
        "prices": [_shown(asset, price) for asset, price in prices.items()],
    }
    reserved = UNITS_MAX if units is None else units
    return Cost((*charges, Charge(ACCOUNT_TOTAL, Amount(reserved, REFERENCE))), facts)


def _given(line: Line, units: int) -> dict[str, Any]:
    """A part of the total itself, as a child gets it: that part is what it costs, whatever else the child is given."""
    cost = {"asset": REFERENCE, "units": pad(units)}
    return {"cost": cost, "remaining": pad(line.remaining), "prices": []}


def with_total(decided: Decided, outcome: Outcome) -> Outcome:
    """Add to what was taken, given back and put at others' disposal what that is of the total, at the recorded prices.

    Of what is given back only money in the reference unit counts: at which price the rest was taken is not known here.

    Fails closed: what was taken in an asset without a recorded price takes at least the whole reservation.
    """
    reserved = next((charge.amount.units for charge in decided.charges if charge.rail == ACCOUNT_TOTAL), None)
    if reserved is None or outcome.status == "unknown":
        return outcome
    prices = _recorded(decided)
    exposures = {f"{name}:total": _of_total((each,), prices, reserved) for name, each in outcome.exposures.items()}
    back = sum(each.amount.units for each in outcome.refunds if each.amount.asset == REFERENCE)
    return msgspec.structs.replace(
        outcome,
        charges=(*outcome.charges, _of_total(outcome.charges, prices, reserved)) if outcome.charges else (),
        refunds=(*outcome.refunds, Charge(ACCOUNT_TOTAL, Amount(back, REFERENCE))) if back else outcome.refunds,
        exposures={**outcome.exposures, **exposures},
    )


class _Shown(msgspec.Struct, frozen=True):
    asset: str
    usd: str | None
    decimals: int | None


class _Total(msgspec.Struct, frozen=True):
    prices: tuple[_Shown, ...]


class _Facts(msgspec.Struct, frozen=True):
    total: _Total


_FACTS: Final = msgspec.json.Decoder(_Facts)


def _recorded(decided: Decided) -> dict[str, Reading]:
    return {
        each.asset: Reading(usd=parse_price(each.usd), decimals=each.decimals)
        for each in _FACTS.decode(decided.facts).total.prices
        if each.usd is not None and each.decimals is not None
    }


def _of_total(charges: Sequence[Charge], prices: dict[str, Reading], reserved: int) -> Charge:
    known = tuple(charge for charge in charges if charge.amount.asset in prices)
    units = _sum(known, prices)
    if len(known) < len([*_priced(charges)]):
        units = max(units, reserved)
    return Charge(ACCOUNT_TOTAL, Amount(units, REFERENCE))


def _priced(charges: Sequence[Charge]) -> Iterable[str]:
    """The assets that need a price."""
    paid = {charge.rail for charge in charges if charge.amount.asset == REFERENCE}
    return (charge.amount.asset for charge in charges if charge.amount.asset != _MEASURE or charge.rail not in paid)


def _price(mandate: Mandate, asset: str, ask: Ask) -> Reading | None:
    if asset == REFERENCE:
        return Reading(usd=10**DIGITS, decimals=_REFERENCE_DECIMALS)
    if asset == _MEASURE:
        return None
    found = ask(asset)
    for token in mandate.tokens or ():
        if found is not None and token_asset(token.address) == asset and token.decimals != found.decimals:
            return None  # one of two people is wrong by powers of ten
    return found


def _sum(charges: Sequence[Charge], prices: dict[str, Reading]) -> int:
    units: dict[str, int] = {}
    for charge in charges:
        units[charge.amount.asset] = units.get(charge.amount.asset, 0) + charge.amount.units
    parts = (worth(units.get(asset, 0), price.usd, price.decimals) for asset, price in prices.items())
    return min(UNITS_MAX, sum(parts))


def _shown(asset: str, price: Reading | None) -> dict[str, Any]:
    if price is None:
        return {"asset": asset, "usd": None, "decimals": None, "age_s": None, "max_age_s": None}
    return {
        "asset": asset,
        "usd": say_price(price.usd),
        "decimals": price.decimals,
        "age_s": price.age_s,
        "max_age_s": price.max_age_s,
    }
