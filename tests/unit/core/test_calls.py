"""A call as an action: all that it does, what of it is known, and what it costs at worst."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from safebox.firewall.core.calls import CallContract, call_facts, let, moved, outflow, read_again, readings
from safebox.firewall.core.mandate import ContractGrant, Mandate, Named, TokenGrant, WalletGrant
from safebox.firewall.core.money import UNITS_MAX, Amount, token_asset
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.errors import CallerError
from tests.calls import BATCHER, OWN, PAYEE, SHOP, THING, TOKEN, call, transfer

VALUED = "aggregate3Value((address,bool,uint256,bytes)[])"
BUY = "buy(uint256,address)"
ROUTER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


def eth(units: int) -> Amount:
    return Amount(units, "ETH")


def of(units: int) -> Amount:
    return Amount(units, token_asset(TOKEN))


MANDATE = Mandate(
    agent="a",
    purpose="p",
    task_digest="sha256:0",
    expires="2099-01-01T00:00:00Z",
    wallet=WalletGrant(
        chain="dev", chain_id=1, budget=eth(9), per_transfer=eth(9), ceiling=None, max_fee_per_gas=None,
        payees={"landlord": PAYEE},
    ),
    tokens=(
        TokenGrant(
            name="USD", address=TOKEN, decimals=6, budget=of(9), per_approval=of(9), per_transfer=of(9),
            spenders=(Named(name="router", address=ROUTER),), payees=(Named(name="acme", address=PAYEE),),
        ),
        TokenGrant(
            name="PUNK", address=THING, decimals=0, budget=of(0), per_approval=of(0), spenders=(), standard="erc721",
        ),
    ),
    contracts=(
        ContractGrant(name="shop", address=SHOP, functions=(BUY,), value=eth(5)),
        ContractGrant(name="batcher", address=BATCHER, functions=(VALUED,), value=eth(0)),
    ),
)  # fmt: skip


def ask(data: bytes, to: str = TOKEN, value: int = 0) -> CallContract:
    contracts = [msgspec.to_builtins(each) for each in readings(MANDATE)]
    asked: dict[str, Any] = {"to": to, "data": "0x" + data.hex(), "value": f"{value} wei", "contracts": contracts}
    parsed: CallContract = TOOLS["wallet.call"].parse(asked)
    return parsed


def facts(args: CallContract) -> dict[str, Any]:
    return call_facts(args, MANDATE, OWN, {TOKEN: True, SHOP: True, BATCHER: True})


BATCH = call(
    VALUED,
    [
        (PAYEE, False, 3, b""),
        (TOKEN, False, 0, transfer()),
        (TOKEN, False, 0, call("approve(address,uint256)", ROUTER, 2)),
        (TOKEN, False, 0, call("decreaseAllowance(address,uint256)", ROUTER, 2**200)),
        (SHOP, False, 4, call(BUY, 7, OWN)),
    ],
)


def test_sums_say_what_leaves_and_what_others_may_take() -> None:
    leaves = ask(BATCH, BATCHER, 7).leaves
    assert moved(leaves) == [eth(7), of(5)]
    assert let(leaves) == [of(2)]
    assert outflow(leaves) == [eth(7), of(7)]


def test_sums_beyond_what_there_can_be_stay_there() -> None:
    most = transfer(UNITS_MAX)
    leaves = ask(call(VALUED, [(TOKEN, False, 0, most)] * 2), BATCHER).leaves
    assert outflow(leaves) == [of(UNITS_MAX)]


def test_each_leaf_has_its_facts() -> None:
    pay, token, approval, less, shop = facts(ask(BATCH, BATCHER, 7))["leaves"]
    assert (pay["other"]["name"], pay["token"], pay["contract"]) == ("landlord", None, None)
    assert (token["other"]["name"], token["token"]["name"]) == ("acme", "USD")
    assert (approval["other"]["name"], less["other"]["listed"]) == ("router", True)
    assert shop["contract"] == {
        "address": SHOP, "name": "shop", "listed": True, "function_listed": True, "is_contract": True, "value": eth(5),
    }  # fmt: skip
    assert all(each["addresses_listed"] and each["owner_self"] and not each["burns"] for each in (pay, token, shop))
    assert shop["carriers"] == [{"address": BATCHER, "method": VALUED, "listed": True}]


def test_the_wallets_payees_are_not_the_tokens() -> None:
    stranger = "0x" + "77" * 20
    (leaf,) = facts(ask(transfer(to=stranger)))["leaves"]
    assert (leaf["other"]["listed"], leaf["other"]["lookalike"]) == (False, None)
    bare = msgspec.structs.replace(MANDATE, tokens=())
    (leaf,) = call_facts(ask(transfer()), bare, OWN, {})["leaves"]
    assert (leaf["other"]["listed"], leaf["token"]["listed"]) == (False, False)


@pytest.mark.parametrize(
    "to", ["0x" + "00" * 20, "0x" + "00" * 19 + "0a", "0x000000000000000000000000000000000000dEaD", TOKEN]
)
def test_what_nobody_can_use_again_burns(to: str) -> None:
    assert facts(ask(transfer(to=to)))["leaves"][0]["burns"] is True


def test_what_is_anothers_and_who_is_unknown_is_seen() -> None:
    (leaf,) = facts(ask(call("transferFrom(address,address,uint256)", PAYEE, PAYEE, 1)))["leaves"]
    assert leaf["owner_self"] is False
    (leaf,) = facts(ask(call(BUY, 7, "0x" + "77" * 20), SHOP))["leaves"]
    assert leaf["addresses_listed"] is False


def test_a_reading_of_the_askers_own_lists_nothing() -> None:
    asked = {
        "to": SHOP,
        "data": "0x" + call("drain()").hex(),
        "contracts": [{"address": SHOP, "functions": ["drain()"]}],
    }
    (leaf,) = facts(TOOLS["wallet.call"].parse(asked))["leaves"]
    assert (leaf["contract"]["listed"], leaf["contract"]["function_listed"]) == (True, False)


def test_what_is_signed_is_read_again_as_it_was_judged() -> None:
    for args in (ask(BATCH, BATCHER, 7), ask(call("transferFrom(address,address,uint256)", OWN, PAYEE, 1), THING)):
        assert read_again(args) == args.leaves
    args = ask(BATCH, BATCHER, 7)
    assert (
        read_again(msgspec.structs.replace(args, data="0x" + transfer(6).hex(), to=TOKEN, value=eth(0))) != args.leaves
    )


@pytest.mark.parametrize(
    "change", [{"data": "a9059cbb"}, {"data": "0xa9059cb"}, {"to": "vitalik.eth"}, {"value": "1e18 wei"}, {"more": 1}]
)
def test_what_is_no_call_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        TOOLS["wallet.call"].parse({"to": TOKEN, "data": "0x" + transfer().hex(), **change})
