"""What a server asks for with HTTP 402 is read in one way or refused, and what is signed for it is made here."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from safebox.firewall.core.digests import typed_data_digest
from safebox.firewall.core.money import UNITS_MAX, Amount, token_asset
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.core.typed_data import read_handed
from safebox.firewall.core.x402 import Authorization, PayRequest, authorised, header_value, separator
from safebox.firewall.errors import CallerError
from tests.unit.core.asked import PAYEE, TOKEN

KEY = Account.from_key(bytes([7]) * 32)
ASKED: dict[str, Any] = {
    "scheme": "exact",
    "network": "base-sepolia",
    "maxAmountRequired": "10000",
    "asset": TOKEN.lower(),
    "payTo": PAYEE.lower(),
    "resource": "https://api.example.com/premium?day=1",
    "description": "Premium data",
    "mimeType": "application/json",
    "outputSchema": None,
    "maxTimeoutSeconds": 60,
    "extra": {"name": "USD Coin", "version": "2"},
}
SECOND: dict[str, Any] = {
    key: value
    for key, value in ASKED.items()
    if key not in ("maxAmountRequired", "resource", "description", "mimeType", "outputSchema")
} | {"amount": "10000", "network": "eip155:84532"}
PLAN = Authorization(payer=KEY.address, valid_after=0, valid_before=1_790_000_060, nonce="0x" + "ab" * 32)


def read(asked: dict[str, Any] = ASKED, **changes: Any) -> PayRequest:
    whole = {key: value for key, value in (asked | changes).items() if value != ""}
    more = {} if "maxAmountRequired" in asked else {"version": 2, "resource": "https://api.example.com/premium?day=1"}
    found = TOOLS["wallet.pay_request"].parse({"requirements": whole, **more})
    assert isinstance(found, PayRequest)
    return found


@pytest.mark.parametrize("asked", [ASKED, SECOND], ids=["version 1", "version 2"])
def test_a_server_is_read_the_same_in_both_versions(asked: dict[str, Any]) -> None:
    found = read(asked)
    assert (found.chain_id, found.token, found.payee, found.timeout_s) == (84532, TOKEN, PAYEE, 60)
    assert found.amount == Amount(10_000, token_asset(TOKEN))
    assert (found.host, found.domain_name, found.domain_version) == ("api.example.com", "USD Coin", "2")


@pytest.mark.parametrize(
    "changes",
    [
        {"scheme": "upto"},
        {"network": "base-Sepolia"},
        {"network": "solana"},
        {"network": "eip155:0"},
        {"network": "eip155:084532"},
        {"network": "eip155:12345678901234567"},
        {"maxAmountRequired": "0"},
        {"maxAmountRequired": "010"},
        {"maxAmountRequired": "1e6"},
        {"maxAmountRequired": "0x10"},
        {"maxAmountRequired": "-1"},
        {"maxAmountRequired": "１"},  # noqa: RUF001 - a look-alike digit is the point
        {"maxAmountRequired": str(UNITS_MAX + 1)},
        {"maxAmountRequired": 10_000},
        {"maxAmountRequired": ""},
        {"amount": "10000"},
        {"asset": "USDC"},
        {"payTo": "acme.eth"},
        {"payTo": ""},
        {"resource": ""},
        {"resource": "/premium"},
        {"resource": "https://user:word@api.example.com/"},
        {"resource": "https://0x7f.1/"},
        {"maxTimeoutSeconds": 0},
        {"maxTimeoutSeconds": -1},
        {"maxTimeoutSeconds": "60"},
        {"maxTimeoutSeconds": 2**40},
        {"extra": None},
        {"extra": {"name": "USD Coin"}},
        {"extra": {"name": "USD Coin", "version": "2", "assetTransferMethod": "permit2"}},
        {"extra": {"name": "USD Coin", "version": "2", "nonce": "0x00"}},
        {"nonce": "0x" + "00" * 32},
        {"validBefore": 2**40},
    ],
    ids=str,
)
def test_what_has_no_single_meaning_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        read(**changes)
    assert read(), "as it is without that"


def test_a_resource_said_in_two_ways_is_refused() -> None:
    with pytest.raises(CallerError, match="two ways"):
        TOOLS["wallet.pay_request"].parse({"requirements": ASKED, "resource": "https://elsewhere.example.com/"})


def test_what_is_signed_is_a_transfer_to_the_payee_for_the_tokens_own_contract() -> None:
    data = authorised(read(), PLAN, 84532).parsed()
    handed = read_handed(data.types, data.primary_type, data.domain, data.message)
    (taking,) = handed.takings
    assert (handed.standard, handed.signer) == ("eip3009", KEY.address)
    assert (taking.token, taking.taker, taking.role) == (TOKEN, PAYEE, "payee")
    assert (taking.units, taking.until) == (10_000, PLAN.valid_before)
    assert data.primary_type == "TransferWithAuthorization"
    assert (data.domain["chainId"], data.domain["verifyingContract"]) == ("84532", TOKEN)


def test_the_digest_is_the_one_that_other_libraries_sign() -> None:
    args = read()
    signed = Account.sign_typed_data(
        KEY.key,
        domain_data={"name": "USD Coin", "version": "2", "chainId": 84532, "verifyingContract": TOKEN},
        message_types={"TransferWithAuthorization": _members()},
        message_data={
            "from": KEY.address, "to": PAYEE, "value": 10_000, "validAfter": 0,
            "validBefore": PLAN.valid_before, "nonce": bytes.fromhex("ab" * 32),
        },
    )  # fmt: skip
    assert typed_data_digest(authorised(args, PLAN, 84532).parsed()) == signed.message_hash
    whole = encode_typed_data(full_message=_whole(args))
    assert separator(args, 84532) == whole.header


def _members() -> list[dict[str, str]]:
    kinds = {"value": "uint256", "validAfter": "uint256", "validBefore": "uint256", "nonce": "bytes32"}
    names = ("from", "to", "value", "validAfter", "validBefore", "nonce")
    return [{"name": name, "type": kinds.get(name, "address")} for name in names]


def _whole(args: PayRequest) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(authorised(args, PLAN, 84532).parsed())
    return data


@pytest.mark.parametrize(
    "changes", [{"nonce": "0x00"}, {"nonce": "ab" * 32}, {"valid_after": 1_790_000_060}, {"valid_after": -1}], ids=str
)
def test_a_plan_that_is_none_makes_nothing_to_sign(changes: dict[str, Any]) -> None:
    with pytest.raises(CallerError, match="no authorisation"):
        authorised(read(), msgspec.structs.replace(PLAN, **changes), 84532)


def test_the_header_of_version_1_is_what_its_specification_says() -> None:
    document = json.loads(base64.b64decode(header_value(read(), PLAN, b"\x01" * 65)))
    assert document == {
        "x402Version": 1,
        "scheme": "exact",
        "network": "base-sepolia",
        "payload": {
            "signature": "0x" + "01" * 65,
            "authorization": {
                "from": KEY.address, "to": PAYEE, "value": "10000", "validAfter": "0",
                "validBefore": "1790000060", "nonce": "0x" + "ab" * 32,
            },
        },
    }  # fmt: skip


def test_the_header_of_version_2_repeats_what_was_accepted_to_the_letter() -> None:
    document = json.loads(base64.b64decode(header_value(read(SECOND), PLAN, b"\x01" * 65)))
    assert document["accepted"] == SECOND
    assert document["resource"] == {"url": "https://api.example.com/premium?day=1"}
    assert set(document) == {"x402Version", "resource", "accepted", "payload"}
