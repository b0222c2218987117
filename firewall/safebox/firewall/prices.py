"""Prices of assets for totals: configured by the owner, or from a feed that is asked beside all decisions.

A decision only looks up what is known; nothing waits for a feed. What a feed doesn't say, or says wrongly, grows old.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from safebox.firewall.core.quotes import Followed
from safebox.firewall.core.total import Reading, parse_price, say_price
from safebox.firewall.errors import ConfigError
from safebox.firewall.loading import load
from safebox.firewall.pricelist import PriceList, load_prices
from safebox.firewall.settings import without_password

_LOG = logging.getLogger(__name__)

ANSWER_BYTES_MAX: Final = 65_536
"""A thousand prices; more is no answer of a feed."""
ANSWER_SECONDS: Final = 10
"""A feed that takes longer is down."""


class _Said(msgspec.Struct, frozen=True):
    """A price as a feed tells it: decimal text and the time it is from (RFC 3339)."""

    usd: str
    at: str


def open_prices(path: Path | None, now_ns: Callable[[], int]) -> Prices:
    """The prices of a file; none without one.

    Raises:
        ConfigError: if the file is wrong.
    """
    return Prices(PriceList() if path is None else load_prices(path), now_ns)


class Prices:
    """What assets cost now. `follow` keeps it up to date.

    Args:
        prices: the owner's file.
        now_ns: the time.
    """

    def __init__(self, prices: PriceList, now_ns: Callable[[], int]) -> None:
        self._list = prices
        self._now_ns = now_ns
        age = prices.feed.max_age_s if prices.feed is not None else 0
        self._followed = {asset: Followed(bounds, age) for asset, bounds in prices.followed.items()}
        self._problem = "not asked yet"

    def ask(self, asset: str) -> Reading | None:
        """What is known of a price now; None: nothing."""
        fixed = self._list.fixed.get(asset)
        if fixed is not None:
            return fixed
        found = self._followed.get(asset)
        return None if found is None else found.reading(self._now_ns())

    async def follow(self) -> None:
        """Ask the feed again and again, until this is cancelled."""
        feed = self._list.feed
        if feed is None or not self._followed:
            return
        while True:
            try:
                self.hear(await _fetch(feed.source))
                self._problem = ""
            except (ConfigError, OSError, TimeoutError) as error:
                self._problem = error.cause if isinstance(error, ConfigError) else "it can't be reached"
                _LOG.warning("the price feed gave nothing: %s", self._problem)
                for followed in self._followed.values():
                    followed.miss(self._problem)
            await asyncio.sleep(feed.every_s)

    def hear(self, answer: bytes) -> None:
        """Take what the feed answered.

        Raises:
            ConfigError: if it is nothing like prices.
        """
        try:
            said = msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, RecursionError) as error:
            raise ConfigError("its answer is no price list") from error
        for asset, followed in self._followed.items():
            try:
                usd, at_ns = _read(said[asset])
            except KeyError:
                followed.miss("the feed doesn't say")
            except (ConfigError, ValueError, RecursionError):
                followed.miss("no price with its time")
            else:
                followed.hear(usd, at_ns, self._now_ns())

    def gauges(self) -> dict[str, tuple[Callable[[], float], Callable[[], float]]]:
        """By asset of the feed, how old its price is and whether it may be counted with; asked at each scrape."""

        def watched(followed: Followed) -> tuple[Callable[[], float], Callable[[], float]]:
            def age() -> float:
                found = followed.reading(self._now_ns())
                return math.inf if found is None or found.age_s is None else found.age_s

            def usable() -> float:
                found = followed.reading(self._now_ns())
                return float(found is not None and found.usable)

            return age, usable

        return {asset: watched(followed) for asset, followed in self._followed.items()}

    def shown(self) -> list[dict[str, Any]]:
        """Every asset with a price or a place for one, in words for people."""
        feed = self._list.feed
        rows: list[dict[str, Any]] = [
            {"asset": asset, "usd": say_price(price.usd), "source": "configured", "age_s": None, "state": "fixed",
             "problem": ""}
            for asset, price in self._list.fixed.items()
        ]  # fmt: skip
        for asset, followed in self._followed.items():
            price = self.ask(asset)
            rows.append(
                {
                    "asset": asset,
                    "usd": None if price is None else say_price(price.usd),
                    "source": without_password(feed.source) if feed is not None else "",
                    "age_s": None if price is None else price.age_s,
                    "state": "unpriced" if price is None else "fresh" if price.usable else "stale",
                    "problem": self._problem or followed.refused,
                }
            )
        return rows


def _read(told: msgspec.Raw) -> tuple[int, int]:
    """One price and the time it is from. Raises `ConfigError` or `ValueError` if it is none."""
    said = msgspec.json.decode(told, type=_Said)
    at = datetime.fromisoformat(said.at)
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return parse_price(said.usd), int(at.timestamp()) * 10**9


async def _fetch(source: str) -> bytes:
    """Ask a feed once.

    Raises:
        ConfigError: if it answers something else, or too much.
        OSError: if it can't be reached.
        TimeoutError: if it takes too long.
    """
    if "://" not in source:
        return await asyncio.to_thread(_read_file, Path(source))
    await load("aiohttp")
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(source, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status != 200:  # noqa: PLR2004
                raise ConfigError(f"it answered with status {response.status}")
            answer = bytearray()
            async for piece in response.content.iter_chunked(4096):
                answer += piece
                if len(answer) > ANSWER_BYTES_MAX:
                    raise ConfigError("its answer is too long")
            return bytes(answer)
    except aiohttp.ClientError as error:
        raise ConfigError("it can't be reached") from error


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        answer = file.read(ANSWER_BYTES_MAX + 1)
    if len(answer) > ANSWER_BYTES_MAX:
        raise ConfigError("it is too long")
    return answer
