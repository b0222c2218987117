"""Signed transactions of three types are read to the last byte; all others are refused with their reasons."""

from __future__ import annotations

from typing import Any, Final

import pytest
from eth_account import Account
from eth_keys.constants import SECPK1_N

from safebox.firewall.accounts import signer_of_digest
from safebox.firewall.core.envelope import RAW_MAX, Envelope, read_envelope
from safebox.firewall.core.rlp import read_rlp, write_rlp
from safebox.firewall.errors import CallerError
from tests.calls import PAYEE, RLP, TOKEN, transfer

ACCOUNT: Final = Account.from_key(b"\x07" * 32)
BASE: Final[dict[str, Any]] = {
    "chainId": 1337, "nonce": 0, "gas": 60_000, "to": TOKEN, "value": 2**255 + 1, "data": transfer(),
}  # fmt: skip
KINDS: Final[dict[str, dict[str, Any]]] = {
    "legacy": {"gasPrice": 10**9},
    "2930": {"gasPrice": 10**9, "type": 1, "accessList": [{"address": PAYEE, "storageKeys": ["0x" + "01" * 32]}]},
    "1559": {"maxFeePerGas": 2 * 10**9, "maxPriorityFeePerGas": 0, "type": 2, "accessList": []},
}


def raw(kind: str, **changes: Any) -> bytes:
    return bytes(ACCOUNT.sign_transaction(BASE | KINDS[kind] | changes).raw_transaction)


def refused(content: bytes) -> str:
    with pytest.raises(CallerError) as caught:
        read_envelope(content)
    return caught.value.code


@pytest.mark.parametrize("kind", KINDS)
def test_each_type_is_read_as_eth_account_signed_it(kind: str) -> None:
    signed = ACCOUNT.sign_transaction(BASE | KINDS[kind])
    found = read_envelope(bytes(signed.raw_transaction))
    assert (found.chain_id, found.nonce, found.gas, found.to) == (1337, 0, 60_000, TOKEN)
    assert (found.value, found.data, found.hash) == (2**255 + 1, transfer(), bytes(signed.hash))
    assert signer_of_digest(found.digest, found.signature) == ACCOUNT.address


def test_fees_are_named_alike_whatever_the_type() -> None:
    def offered(found: Envelope) -> tuple[int, int]:
        return found.max_fee_per_gas, found.max_priority_fee_per_gas

    assert offered(read_envelope(raw("legacy"))) == (10**9, 10**9)
    assert offered(read_envelope(raw("1559"))) == (2 * 10**9, 0)
    assert read_envelope(raw("2930")).access_list == ((PAYEE, (b"\x01" * 32,)),)


def test_a_legacy_transaction_without_a_chain_is_for_any_chain() -> None:
    fields = {name: value for name, value in BASE.items() if name != "chainId"}
    signed = ACCOUNT.sign_transaction(fields | KINDS["legacy"])
    assert refused(bytes(signed.raw_transaction)) == "transaction.no_chain"
    assert refused(raw("1559", chainId=0)) == "transaction.no_chain"


def test_other_types_have_their_own_reasons() -> None:
    body = raw("1559")[1:]
    assert refused(b"\x03" + body) == "transaction.blob"
    assert refused(b"\x04" + body) == "transaction.authorization"
    for first in (b"\x00", b"\x05", b"\x7f", b"\x80", b"\xbf", b""):
        assert refused(first + body if first else b"") == "transaction.unknown_type"


def test_a_transaction_without_a_payee_creates_a_contract() -> None:
    assert refused(raw("1559", to="")) == "call.creation"
    assert refused(raw("legacy", to="")) == "call.creation"


def changed(kind: str, **changes: Any) -> bytes:
    """The bytes with one part replaced, in the same encoding."""
    content = raw(kind)
    head, body = (b"", content) if kind == "legacy" else (content[:1], content[1:])
    parts: list[Any] = list(RLP.decode(body))
    for place, value in changes.items():
        parts[int(place[1:])] = value
    return head + bytes(RLP.encode(parts))


MALFORMED = {
    "a byte behind it": raw("1559") + b"\0",
    "a byte less": raw("1559")[:-1],
    "its type alone": b"\x02",
    "no list": b"\x02\x80",
    "one field more": b"\x02" + RLP.encode([*RLP.decode(raw("1559")[1:]), b""]),
    "one field less": b"\x02" + RLP.encode(RLP.decode(raw("1559")[1:])[:-1]),
    "a number with a zero before it": changed("1559", _1=b"\0\1"),
    "a number of 33 bytes": changed("1559", _6=b"\1" * 33),
    "a number that is a list": changed("1559", _6=[]),
    "a payee of 19 bytes": changed("1559", _5=b"\1" * 19),
    "a payee that is a list": changed("1559", _5=[b"\1" * 20]),
    "data that are a list": changed("1559", _7=[]),
    "an access list that is none": changed("1559", _8=b"\1"),
    "an access list of addresses": changed("1559", _8=[b"\1" * 20]),
    "an access list with a short key": changed("1559", _8=[[b"\1" * 20, [b"\1"]]]),
    "a parity of 2": changed("1559", _9=b"\2"),
    "no r": changed("1559", _10=b""),
    "an s in the upper half": changed("1559", _11=(SECPK1_N - 1).to_bytes(32)),
    "a length with a zero": b"\x02\xf9\x00" + raw("1559")[2:],
    "a short length said long": write_rlp((b"\1",) * 9).replace(b"\xc9", b"\xf8\x09"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_second_way_to_write_a_transaction_is_refused(name: str) -> None:
    assert refused(MALFORMED[name]) == "transaction.malformed"


def test_a_transaction_longer_than_nodes_take_is_refused() -> None:
    assert refused(b"\x02" + bytes(RAW_MAX)) == "request.too_large"


@pytest.mark.parametrize("value", [b"", b"\0", b"\x7f", b"\x80", b"x" * 55, b"x" * 56, (), ((), (b"", (b"x" * 300,)))])
def test_lists_and_texts_are_written_as_rlp_writes_them(value: Any) -> None:
    assert write_rlp(value) == bytes(RLP.encode(value))
    assert read_rlp(write_rlp(value)) == value


@pytest.mark.parametrize("content", [b"", b"\x81\x7f", b"\xb8\x01x", b"\xb9\x00\x38" + b"x" * 56, b"\xc1", b"\xc1\x81"])
def test_rlp_with_a_second_encoding_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"encoding|early"):
        read_rlp(content)


def test_rlp_nested_deeper_than_a_transaction_is_refused() -> None:
    with pytest.raises(ValueError, match="deeply"):
        read_rlp(b"\xc5\xc4\xc3\xc2\xc1\xc0")
