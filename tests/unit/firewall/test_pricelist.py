"""The owner's price file is read strictly, and every mistake in it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from safebox.firewall.core.total import parse_price
from safebox.firewall.errors import ConfigError
from safebox.firewall.pricelist import PriceList, load_prices

TOKEN = "erc20:0x52908400098527886E0F7030069857D2E4169EE7"
FEED = '[feed]\nsource = "https://prices.example/usd.json"\nevery = "30s"\nmax_age = "5m"\n'


def read(folder: Path, text: str) -> PriceList:
    (folder / "prices.toml").write_text(text)
    return load_prices(folder / "prices.toml")


def test_prices_that_stand_and_prices_of_a_feed_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, f'{FEED}[ETH]\nfloor = "500"\nceiling = "9000"\n["{TOKEN}"]\nusd = "1.01"\ndecimals = 6\n')
    assert (found.fixed[TOKEN].usd, found.fixed[TOKEN].decimals) == (parse_price("1.01"), 6)
    assert (found.followed["ETH"].decimals, found.followed["ETH"].fall) == (18, parse_price("1.5"))
    assert found.feed is not None
    assert (found.feed.every_s, found.feed.max_age_s) == (30, 300)


def test_a_file_may_be_the_feed_and_lies_beside_the_price_file(tmp_path: Path) -> None:
    found = read(tmp_path, FEED.replace("https://prices.example/usd.json", "usd.json"))
    assert found.feed is not None
    assert found.feed.source == str(tmp_path / "usd.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[ETH]\nusd = "0"\n', "ETH.usd"),
        ("[ETH]\nusd = 2500.5\n", "ETH.usd"),
        ("[ETH]\n", "floor is missing"),
        ('[ETH]\nusd = "1"\ndecimals = 18\n', "ETH.decimals"),
        ('[ETH]\nusd = "1"\nfloor = "1"\n', "has no bounds"),
        ('[ETH]\nfloor = "1"\nceiling = "2"\n', "no section [feed]"),
        (f'{FEED}[ETH]\nfloor = "3"\nceiling = "2"\n', "above the ceiling"),
        (f'{FEED}[ETH]\nfloor = "1"\nceiling = "2"\nfall = "0.5"\n', "less than 1"),
        (f'{FEED}[ETH]\nceiling = "2"\n', "floor is missing"),
        ('[USD]\nusd = "2"\n', "is no asset"),
        ('[TOKEN]\nusd = "2"\n', "is no asset"),
        ('[USDC]\nusd = "1"\ndecimals = 6\n', "is no asset"),
        (f'["{TOKEN.lower()}"]\nusd = "1"\ndecimals = 6\n', "is no asset"),
        (f'["{TOKEN}"]\nusd = "1"\n', "decimals is missing"),
        ("ETH = 1\n", "expected a table"),
        (FEED.replace("https", "ftp"), "feed.source"),
        (FEED.replace("30s", "10m"), "feed.every"),
        (FEED.replace("5m", "7d"), "feed.max_age"),
        (FEED + 'secret = "x"\n', "there is no key"),
        ("[ETH\n", "prices.toml:1"),
    ],
)
def test_every_mistake_is_refused_and_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    assert said in refused.value.cause


def test_a_file_that_is_not_there_is_no_empty_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        load_prices(tmp_path / "none.toml")
