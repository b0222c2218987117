"""A real feed over HTTP, or a file: what it says is followed; whatever else it does, no price comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from safebox.firewall import prices as prices_module
from safebox.firewall.metrics import Metrics
from safebox.firewall.prices import ANSWER_BYTES_MAX, Prices, open_prices

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def told(usd: object = "2500.5", at: datetime | str = NOW, **more: object) -> dict[str, Any]:
    return {"ETH": {"usd": usd, "at": at if isinstance(at, str) else at.isoformat(), **more}}


@contextlib.asynccontextmanager
async def feed(handler: Handler) -> AsyncGenerator[str]:
    application = web.Application()
    application.router.add_get("/usd.json", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/usd.json"
    finally:
        await runner.cleanup()


def prices_from(folder: Path, source: str) -> Prices:
    file = folder / "prices.toml"
    text = f'[feed]\nsource = "{source}"\nevery = "1s"\nmax_age = "5m"\n[ETH]\nfloor = "500"\nceiling = "9000"\n'
    file.write_text(text)
    return open_prices(file, lambda: int(NOW.timestamp()) * 10**9)


async def once(prices: Prices) -> dict[str, Any]:
    """What is shown after the feed was asked once."""
    work = asyncio.ensure_future(prices.follow())
    try:
        async with asyncio.timeout(5):
            while prices.shown()[0]["problem"] == "not asked yet":  # noqa: ASYNC110 - the feed is asked in the background
                await asyncio.sleep(0.01)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    return prices.shown()[0]


def saying(document: object) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=document) if isinstance(document, bytes) else web.json_response(document)

    return answer


async def test_what_a_feed_says_within_the_bounds_is_the_price(tmp_path: Path) -> None:
    async with feed(saying(told() | {"BTC": 1})) as url:
        row = await once(prices_from(tmp_path, url))
    assert (row["usd"], row["state"], row["age_s"], row["problem"]) == ("2500.5", "fresh", 0, "")


async def test_a_file_may_be_the_feed(tmp_path: Path) -> None:
    (tmp_path / "usd.json").write_text(json.dumps(told()))
    row = await once(prices_from(tmp_path, "usd.json"))
    assert (row["usd"], row["state"]) == ("2500.5", "fresh")


async def _moved(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/usd.json")


async def _failed(_: web.Request) -> web.StreamResponse:
    return web.Response(status=500)


async def _slow(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3)
    return web.json_response(told())


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (saying(told("1")), "outside floor and ceiling"),
        (saying(told("10000")), "outside floor and ceiling"),
        (saying(told("0")), "no price with its time"),
        (saying(told(2500.5)), "no price with its time"),
        (saying(told(at=NOW + timedelta(hours=1))), "from the future"),
        (saying(told(at="2026-01-01T00:00:00")), "no price with its time"),
        (saying(told(at="soon")), "no price with its time"),
        (saying({}), "the feed doesn't say"),
        (saying([]), "its answer is no price list"),
        (saying(b"[" * 60_000), "its answer is no price list"),
        (saying(b"x" * (ANSWER_BYTES_MAX + 1)), "its answer is too long"),
        (_moved, "it answered with status 302"),
        (_failed, "it answered with status 500"),
        (_slow, "it can't be reached"),
    ],
)
async def test_a_feed_that_lies_or_fails_gives_no_price(
    tmp_path: Path, handler: Handler, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices_module, "ANSWER_SECONDS", 0.3)
    async with feed(handler) as url:
        row = await once(prices_from(tmp_path, url))
    assert (row["usd"], row["state"], row["problem"]) == (None, "unpriced", problem)


async def test_a_feed_that_is_down_gives_no_price(tmp_path: Path) -> None:
    async with feed(saying(told())) as url:
        pass
    row = await once(prices_from(tmp_path, url))
    assert (row["state"], row["problem"]) == ("unpriced", "it can't be reached")


async def test_a_price_of_an_hour_ago_is_stale_and_its_metrics_say_so(tmp_path: Path) -> None:
    async with feed(saying(told(at=NOW - timedelta(hours=1)))) as url:
        prices = prices_from(tmp_path, url)
        row = await once(prices)
    assert (row["state"], row["age_s"]) == ("stale", 3600)
    metrics = Metrics()
    metrics.follow_prices(prices.gauges())
    assert metrics.registry.get_sample_value("safebox_price_usable", {"asset": "ETH"}) == 0
    assert metrics.registry.get_sample_value("safebox_price_age_seconds", {"asset": "ETH"}) == 3600
