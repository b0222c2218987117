"""`eth_sendTransaction` has one meaning or none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core.money import UNITS_MAX
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.transaction import quantity, transfer_arguments
from tests.twin_desk import ADDRESS, CHAIN_ID, PAYEE, view

PLAIN: dict[str, Any] = {"from": ADDRESS, "to": PAYEE, "value": "0xde0b6b3a7640000"}
VIEW = view()


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
    {"data": "0x00"}, {"input": "0x60"}, {"data": "0x", "input": "0x60"}, {"data": 0}, {"data": []},
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
