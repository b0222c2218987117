"""A sandboxed agent pays on chain and for a model until the total of its mandate is used up, and then on neither."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safebox.firewall.keystore import Keystore
from tests.contracts.conftest import real_engine
from tests.integration.chain_nodes import CHAIN_ID, anvil_process
from tests.live import Chain, Done, Home, agent_folder, home_at, share_images

pytestmark = pytest.mark.bwrap

PAYEE = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
MANDATE = f"""
[agent]
name = "payer"
command = ["python", "payer.py"]
purpose = "Pay our provider and ask a model."
task = "Pay and ask."
expires = "5m"
[budget]
total = "2.5 USD"
[wallet]
chain = "dev"
budget = "2 ETH"
per_transfer = "1 ETH"
max_fee_per_gas = "10 gwei"
[wallet.payees]
acme = "{PAYEE}"
[inference]
models = ["scripted:payer"]
tokens = 10000000
budget = "100 USD"
"""
PAYER = f"""
import json, os, urllib.error, urllib.request


def ask(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {{"Content-Type": "application/json"}})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return [answer.status, None]
    except urllib.error.HTTPError as error:
        said = json.load(error)["error"]
        return [error.code, said["code"]]


def pay():
    return ask(os.environ["SAFEBOX_URL"] + "/v1/tools/wallet.transfer", {{"to": "{PAYEE}", "amount": "0.01 ETH"}})


def chat(most):
    message = {{"role": "user", "content": "hello"}}
    body = {{"model": os.environ["OPENAI_MODEL"], "messages": [message], "max_tokens": most}}
    return ask(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body)


print("told", json.dumps([chat(1000), pay(), chat(1000), pay(), pay(), chat(1000000), chat(1000)]))
"""
PLAYBOOK = """
[[step]]
say = "Hello."
[[step]]
say = "Hello again."
[[step]]
say = "Hello for the third time."
"""
PRICES = '[ETH]\nusd = "100"\n'


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    real_engine("bwrap")
    with home_at(short_path / "h") as home:
        share_images(home.path)
        yield home


@pytest.fixture(params=["standin", "anvil"])
def chain(request: pytest.FixtureRequest, home: Home) -> Iterator[tuple[str, ...]]:
    """Options of `safebox run` for a chain on which the owner has money."""
    if request.param == "standin":
        yield ()
        return
    with anvil_process() as url:
        owner = Keystore.open(home.path / "keystore", home.path / "passphrase").owner_address
        Chain(url).ask("anvil_setBalance", owner, hex(10**20))
        yield "--chain-url", url, "--chain-id", str(CHAIN_ID)


@pytest.fixture
def payer(tmp_path: Path) -> Path:
    folder = agent_folder(tmp_path / "agents", "payer", MANDATE, payer=PAYER)
    (folder / "playbook.toml").write_text(PLAYBOOK)
    return folder


def told(done: Done) -> list[Any]:
    """What the agent printed it was told."""
    lines = [json.loads(line) for line in done.out.splitlines()]
    text = "".join(each["text"] for each in lines if each["event"] == "output")
    (said,) = [line for line in text.splitlines() if line.startswith("told ")]
    found: list[Any] = json.loads(said.removeprefix("told "))
    return found


def test_what_two_rails_take_together_stays_within_the_total(
    home: Home, chain: tuple[str, ...], payer: Path, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    done = home("run", "--engine", "bwrap", "--json", "--prices", str(prices), *chain, str(payer))
    over = [403, "total.exceeded"]
    assert told(done) == [[200, None], [200, None], [200, None], [200, None], over, [over[0], over[1]], [200, None]]
    events = home.events("settled")
    taken = [each for event in events for each in event["charges"] if each["rail"] == "total"]
    ether = sum(int(each["amount"]["units"]) for event in events for each in event["charges"]
                if each["amount"]["asset"] == "ETH" and event["tool"] == "wallet.transfer")  # fmt: skip
    spent = sum(int(each["amount"]["units"]) for each in taken)
    assert ether * 100 / 10**12 < spent <= 2_500_000
    home.verified()


def test_without_a_price_nothing_is_paid_and_what_is_priced_goes_on(
    home: Home, chain: tuple[str, ...], payer: Path
) -> None:
    done = home("run", "--engine", "bwrap", "--json", *chain, str(payer))
    said = told(done)
    assert [said[number] for number in (1, 3, 4)] == [[403, "total.unpriced"]] * 3
    assert said[0] == [200, None]
    assert all(event["tool"] != "wallet.transfer" for event in home.events("settled"))


def test_the_prices_are_shown_as_a_table_and_as_json(home: Home, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    home.serve("--engine", "bwrap", "--prices", str(prices), "--warm", "0")
    assert json.loads(home("prices", "--json").out) == {
        "asset": "ETH", "usd": "100", "source": "configured", "age_s": None, "state": "fixed", "problem": "",
    }  # fmt: skip
    assert "ETH" in home("prices").out
