"""What moves value is a step towards a copy if it reaches somebody nobody listed, by whatever way it does."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from safebox.firewall.behaviour.conduct import Deed
from safebox.firewall.behaviour.deals import value_deed
from safebox.firewall.core.addresses import checksummed
from safebox.firewall.core.calls import readings
from safebox.firewall.core.mandate import Mandate, decode_mandate, encode_mandate
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.core.tools import TOOLS
from tests.bench.behaviour.theatre import mandate_of
from tests.calls import call
from tests.unit.core.asked import PERMIT

LANDLORD, TOKEN, ROUTER, SHOP, BATCHER = (
    checksummed(number.to_bytes(20)) for number in (0xB2, 0xE5, 0xF6, 0x1107, 0x2218)
)
"""Whom the policies' own tests list."""
STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
_ADDRESS = re.compile("0x([0-9A-Fa-f]{40})")
BATCH = "aggregate3Value((address,bool,uint256,bytes)[])"


@pytest.fixture(scope="module")
def mandate() -> Mandate:
    text = encode_mandate(mandate_of()).decode()
    return decode_mandate(_ADDRESS.sub(lambda found: checksummed(bytes.fromhex(found[1])), text).encode())


def deed_of(mandate: Mandate, tool: str, asked: dict[str, Any]) -> Deed:
    return value_deed(TOOLS[tool].parse(asked), mandate, lambda name: name == "landlord")


def called(mandate: Mandate, to: str, data: bytes, value: int = 0) -> Deed:
    contracts = [msgspec.to_builtins(each) for each in readings(mandate)]
    asked = {"to": to, "data": "0x" + data.hex(), "value": f"{value} wei", "contracts": contracts}
    return deed_of(mandate, "wallet.call", asked)


def transfer(to: str, units: int = 5) -> bytes:
    return call("transfer(address,uint256)", to, units)


def approve(spender: str, units: int = 5) -> bytes:
    return call("approve(address,uint256)", spender, units)


def test_a_token_for_whom_the_mandate_lists_is_no_step(mandate: Mandate) -> None:
    deed = called(mandate, TOKEN, transfer(LANDLORD))
    assert (deed.links, deed.strangers, deed.collects, deed.related) == ((), (), (), True)
    assert (deed.amount, deed.to) == (Amount(5, token_asset(TOKEN)), LANDLORD.lower())


def test_a_token_for_somebody_else_funds_a_stranger(mandate: Mandate) -> None:
    deed = called(mandate, TOKEN, transfer(STRANGER))
    assert (deed.links, deed.strangers) == (("fund",), (STRANGER.lower(),))
    assert f"address:{STRANGER.lower()}" in deed.handles


def test_a_stranger_in_a_batch_is_found_among_those_who_are_listed(mandate: Mandate) -> None:
    parts = [(LANDLORD, False, 9, b""), (TOKEN, False, 0, transfer(STRANGER))]
    deed = called(mandate, BATCHER, call(BATCH, parts), 9)
    assert (deed.links, deed.strangers) == (("fund",), (STRANGER.lower(),))
    assert (deed.amount, deed.to) == (Amount(9, "ETH"), LANDLORD.lower())


def test_an_approval_in_a_batch_is_collected_and_one_that_takes_back_is_not(mandate: Mandate) -> None:
    given, taken = (called(mandate, BATCHER, call(BATCH, [(TOKEN, False, 0, approve(ROUTER, n))])) for n in (5, 0))
    assert (given.links, given.collects) == ((), ("approval",))
    assert (taken.links, taken.collects, taken.amount) == ((), (), None)
    assert called(mandate, BATCHER, call(BATCH, [(TOKEN, False, 0, approve(STRANGER))])).links == ("fund",)


def test_an_address_that_a_contract_is_told_joins_the_call_to_other_steps(mandate: Mandate) -> None:
    deed = called(mandate, SHOP, call("buy(uint256,address)", 7, STRANGER), 3)
    assert (deed.links, deed.amount) == ((), Amount(3, "ETH"))
    assert f"address:{STRANGER.lower()}" in deed.handles


@pytest.mark.parametrize(("spender", "links"), [(ROUTER, ()), (STRANGER, ("fund",))])
def test_a_permit_is_what_it_lets_others_take(mandate: Mandate, spender: str, links: tuple[str, ...]) -> None:
    domain = {**PERMIT["domain"], "verifyingContract": TOKEN}
    asked = {**PERMIT, "domain": domain, "message": {**PERMIT["message"], "spender": spender, "value": 7}}
    deed = deed_of(mandate, "wallet.sign_typed_data", asked)
    assert (deed.links, deed.collects, deed.to) == (links, ("approval",), spender.lower())
    assert deed.amount == Amount(7, token_asset(TOKEN))


@pytest.mark.parametrize(
    "given", [{"amount": "0"}, {"method": "decrease_allowance", "amount": "5"}, {"approved": False}]
)
def test_an_approval_that_is_taken_back_is_nothing(mandate: Mandate, given: dict[str, Any]) -> None:
    asked = {"token": TOKEN, "spender": STRANGER, "standard": "erc20", "method": "approve", **given}
    if "approved" in given:
        asked |= {"standard": "erc721", "method": "set_approval_for_all"}
    assert deed_of(mandate, "wallet.approve", asked) == Deed()


def test_a_sign_in_is_an_account_at_that_host(mandate: Mandate) -> None:
    text = "app.example.org:443 wants you to sign in with your Ethereum account:"
    deed = deed_of(mandate, "wallet.sign_message", {"message": "0x" + text.encode().hex()})
    assert (deed.links, deed.handles, deed.collects) == (("key",), ("host:app.example.org",), ("account",))


@pytest.mark.parametrize(
    ("payee", "strangers"), [(LANDLORD, ()), (SHOP, (SHOP.lower(),)), (STRANGER, (STRANGER.lower(),))]
)
def test_a_server_is_paid_as_anybody_is(mandate: Mandate, payee: str, strangers: tuple[str, ...]) -> None:
    asked = {
        "scheme": "exact", "network": "eip155:1", "maxAmountRequired": "5", "asset": TOKEN, "payTo": payee,
        "resource": "https://api.example.org/", "maxTimeoutSeconds": 60, "extra": {"name": "USD Coin", "version": "2"},
    }  # fmt: skip
    deed = deed_of(mandate, "wallet.pay_request", {"requirements": asked})
    assert (deed.amount, deed.to, deed.strangers) == (Amount(5, token_asset(TOKEN)), payee.lower(), strangers)
    assert bool(deed.links) == bool(strangers)
    assert deed.related == (payee == LANDLORD)
