"""`eth_sendTransaction` has one meaning or none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from safebox.firewall.core.approving import approval_data
from safebox.firewall.core.money import UNITS_MAX
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.transaction import quantity, transaction_action
from safebox.firewall.ports import RunView
from tests.calls import call, transfer
from tests.twin_desk import ADDRESS, CHAIN_ID, PAYEE, view

PLAIN: dict[str, Any] = {"from": ADDRESS, "to": PAYEE, "value": "0xde0b6b3a7640000"}
VIEW = view()


def transfer_arguments(transaction: object, of: RunView) -> dict[str, Any]:
    tool, arguments = transaction_action(transaction, of)
    assert tool == "wallet.transfer"
    return arguments


def test_a_plain_payment_is_a_transfer_of_as_many_wei() -> None:
    assert transfer_arguments(PLAIN, VIEW) == {"to": PAYEE, "amount": "1000000000000000000 wei"}


def test_everything_a_client_fills_in_is_taken_over_exactly() -> None:
    filled: dict[str, Any] = PLAIN | {
        "gas": "0x5208", "nonce": "0x0", "chainId": hex(CHAIN_ID), "type": "0x2", "data": "0x", "accessList": [],
        "maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x3b9aca00", "input": None,
    }  # fmt: skip
    assert transfer_arguments(filled, VIEW) == {
        "to": PAYEE, "amount": "1000000000000000000 wei", "gas": 21000, "nonce": 0,
        "max_fee_per_gas": "2000000000 wei", "max_priority_fee_per_gas": "1000000000 wei",
    }  # fmt: skip


def test_a_gas_price_is_the_most_that_is_offered() -> None:
    arguments = transfer_arguments(PLAIN | {"gasPrice": "0x1", "type": "0x0"}, VIEW)
    assert arguments["max_fee_per_gas"] == "1 wei"
    assert "max_priority_fee_per_gas" not in arguments


def test_no_value_is_no_money() -> None:
    assert transfer_arguments({"from": ADDRESS, "to": PAYEE}, VIEW)["amount"] == "0 wei"


REFUSED: list[dict[str, Any]] = [
    {"from": PAYEE}, {"from": None}, {"from": 1}, {"from": ADDRESS.replace("E", "e", 1)},
    {"to": None}, {"to": ""}, {"to": "0x"}, {"to": "vitalik.eth"}, {"to": PAYEE + "00"}, {"to": [PAYEE]},
    {"data": "0x00"}, {"input": "0x60"}, {"data": "0x", "input": "0x60"}, {"data": 0}, {"data": []}, {"data": "0x0"},
    {"value": 1}, {"value": 1.0}, {"value": "1"}, {"value": "0x"}, {"value": "0x01"}, {"value": "0X1"},
    {"value": "-0x1"}, {"value": "0x1 "}, {"value": "0x" + "f" * 65}, {"value": "1e18"}, {"value": "0x\u0661"},
    {"value": True}, {"value": ["0x1"]},
    {"chainId": "0x1"}, {"chainId": CHAIN_ID}, {"chainId": "0x0"},
    {"type": "0x1"}, {"type": "0x3"}, {"type": "0x4"}, {"type": "0x02"}, {"type": 2},
    {"gasPrice": "0x1", "maxFeePerGas": "0x1"}, {"gasPrice": "0x1", "type": "0x2"},
    {"type": "0x0", "maxFeePerGas": "0x1"}, {"gasPrice": 1},
    {"accessList": [{"address": PAYEE, "storageKeys": []}]}, {"accessList": {}}, {"accessList": "0x"},
    {"authorizationList": []}, {"blobVersionedHashes": []}, {"maxFeePerBlobGas": "0x1"}, {"blobs": []},
    {"gasLimit": "0x5208"}, {"Value": "0x1"}, {"sidecar": {}}, {"nonce": "0x00"}, {"gas": 21000},
]  # fmt: skip


@pytest.mark.parametrize("change", REFUSED)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        transfer_arguments(PLAIN | change, VIEW)


@pytest.mark.parametrize("transaction", [None, [], "0x", 1, [PLAIN]])
def test_what_is_no_object_is_refused(transaction: Any) -> None:
    with pytest.raises(CallerError):
        transfer_arguments(transaction, VIEW)


@given(st.integers(min_value=0, max_value=UNITS_MAX))
def test_every_quantity_is_read_exactly_and_arrives_as_the_amount_judged(units: int) -> None:
    assert quantity(hex(units), "value") == units
    transfer = TOOLS["wallet.transfer"].parse(transfer_arguments(PLAIN | {"value": hex(units)}, VIEW))
    assert transfer.amount.units == units


def test_a_run_without_a_wallet_is_left_to_policy() -> None:
    assert transfer_arguments({"from": PAYEE, "to": PAYEE}, view(wallet=None))["to"] == PAYEE


TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"


def test_one_approval_and_nothing_else_is_an_approval() -> None:
    data = call("approve(address,uint256)", PAYEE, 2**255).hex()
    tool, arguments = transaction_action({"from": ADDRESS, "to": TOKEN, "data": "0x" + data, "gas": "0xffff"}, VIEW)
    assert (tool, arguments) == (
        "wallet.approve",
        {
            "token": TOKEN, "spender": PAYEE, "standard": "erc20", "method": "approve", "amount": str(2**255),
            "gas": 65_535,
        },
    )  # fmt: skip
    assert TOOLS[tool].parse(arguments).amount.units == 2**255


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (transfer(), "0x0"),
        (call("multicall(bytes[])", [call("approve(address,uint256)", PAYEE, 1)]), "0x0"),
        (call("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
              ADDRESS, PAYEE, 1, 9, 27, b"\1" * 32, b"\1" * 32), "0x0"),
    ],
)  # fmt: skip
def test_everything_else_with_data_is_a_call(data: bytes, value: str) -> None:
    sent = {"from": ADDRESS, "to": TOKEN, "input": "0x" + data.hex(), "value": value}
    tool, arguments = transaction_action(sent, VIEW)
    assert (tool, arguments["data"]) == ("wallet.call", "0x" + data.hex())
    assert TOOLS[tool].parse(arguments).content() == data


CODED: list[tuple[dict[str, Any], str]] = [
    ({"to": None}, "call.creation"),
    ({"to": "0x"}, "call.creation"),
    ({"data": "0xa9059c"}, "call.cut_short"),
    ({"data": "0xdeadbeef"}, "call.unknown_function"),
    ({"data": "0x" + transfer().hex() + "00"}, "call.left_over"),
    ({"data": "0x" + "00" * 16_385}, "request.too_large"),
    ({"data": "0x" + transfer().hex(), "input": "0x"}, "request.invalid"),
    ({"chainId": "0x1"}, "transaction.wrong_chain"),
    ({"type": "0x1"}, "transaction.unknown_type"),
    ({"type": "0x3"}, "transaction.blob"),
    ({"type": "0x4"}, "transaction.authorization"),
    ({"accessList": [{}]}, "transaction.access_list"),
]


@pytest.mark.parametrize(("change", "code"), CODED)
def test_what_is_refused_before_it_is_asked_has_its_reason(change: dict[str, Any], code: str) -> None:
    with pytest.raises(CallerError) as caught:
        transaction_action({"from": ADDRESS, "to": TOKEN} | change, VIEW)
    assert caught.value.code == code


NUMBERS = st.integers(0, 2**64).map(hex) | st.integers(21_000, 60_000).map(hex) | st.sampled_from(["0x", "0x00", 1, ""])
DATA = st.sampled_from(
    [b"", transfer(7), call("approve(address,uint256)", PAYEE, 3), call("multicall(bytes[])", [transfer(1)])]
)
ACCESS: list[Any] = [[], None, [{"address": PAYEE, "storageKeys": []}]]
OBJECTS: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"from": st.just(ADDRESS), "to": st.sampled_from([PAYEE, TOKEN, TOKEN.lower(), ""])},
    optional={
        **dict.fromkeys(
            ("value", "gas", "nonce", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"), NUMBERS | st.none()
        ),
        **dict.fromkeys(("data", "input"), (DATA | st.binary(max_size=70)).map(lambda data: "0x" + data.hex())),
        "type": st.sampled_from(["0x0", "0x1", "0x2", "0x3", "0x4", 2, None]),
        "chainId": st.sampled_from([hex(CHAIN_ID), hex(CHAIN_ID), "0x1", None]),
        "accessList": st.sampled_from(ACCESS),
    },
)


def said(asked: dict[str, Any], name: str) -> int | None:
    """What the object says, read by Python alone."""
    return None if asked.get(name) is None else int(asked[name], 16)


@settings(max_examples=500, deadline=None)
@given(
    OBJECTS, st.sets(st.sampled_from(["type", "gasPrice", "accessList", "input", "chainId", "value", "nonce", "gas"]))
)
def test_an_object_of_any_type_is_refused_or_read_to_its_own_numbers(asked: dict[str, Any], without: set[str]) -> None:
    asked = {name: value for name, value in asked.items() if name not in without}
    try:
        tool, arguments = transaction_action(asked, VIEW)
        args = TOOLS[tool].parse(arguments)
    except CallerError:
        return
    data = bytes.fromhex((asked.get("data") or asked.get("input") or "0x")[2:])
    match tool:
        case "wallet.transfer":
            to, value, content = args.to, args.amount.units, b""
        case "wallet.approve":
            to, value, content = args.token, 0, approval_data(args)
        case _:
            to, value, content = args.to, args.value.units, args.content()
    assert (to.lower(), value, content) == (asked["to"].lower(), said(asked, "value") or 0, data)
    offered = said(asked, "gasPrice" if asked.get("gasPrice") is not None else "maxFeePerGas")
    fees = args.max_fee_per_gas, args.max_priority_fee_per_gas
    assert [each and each.units for each in fees] == [offered, said(asked, "maxPriorityFeePerGas")]
    assert (args.gas, args.nonce) == (said(asked, "gas"), said(asked, "nonce"))
    assert said(asked, "type") in (None, 0, 2)
    assert said(asked, "chainId") in (None, CHAIN_ID)
    assert not asked.get("accessList")
