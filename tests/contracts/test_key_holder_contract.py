"""What every holder of a key must do (`ports.KeyHolder`): the key file's account, and a key service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from eth_account import Account
from eth_keys.datatypes import Signature

from safebox.firewall.accounts import CURVE_ORDER, LocalAccount, signed_transaction, unsigned_transaction
from safebox.firewall.ports import KeyHolder
from safebox.firewall.signer.kms import KeyService
from tests.key_service import SECRET, KeyServer, key_server

TOKEN = "a-token-of-some-length"
DIGESTS = [bytes([number]) * 32 for number in range(1, 9)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyServer]:
    folder = Path(tmp_path_factory.mktemp("k"))
    folder.joinpath("token").write_text(f"{TOKEN}\n")
    folder.joinpath("token").chmod(0o600)
    with key_server(folder / "kms.sock", token=TOKEN) as found:
        yield found


def account(_: KeyServer) -> KeyHolder:
    return LocalAccount(SECRET.to_bytes(32))


def over_unix(server: KeyServer) -> KeyHolder:
    return KeyService(server.service(token=server.path.with_name("token")))


def over_http(server: KeyServer) -> KeyHolder:
    return KeyService(server.service(url=f"http://127.0.0.1:{server.port}/", token=server.path.with_name("token")))


@pytest.fixture(params=[account, over_unix, over_http], ids=lambda make: str(make.__name__))
def holder(request: pytest.FixtureRequest, server: KeyServer) -> KeyHolder:
    make: Callable[[KeyServer], KeyHolder] = request.param
    return make(server)


def test_its_signatures_are_its_address_own_and_in_the_lower_half(holder: KeyHolder) -> None:
    for digest in DIGESTS:
        made = holder.sign_digest(digest)
        signature = Signature(made[:64] + bytes([made[64] - 27]))
        assert signature.recover_public_key_from_msg_hash(digest).to_checksum_address() == holder.address
        assert 0 < int.from_bytes(made[32:64]) <= CURVE_ORDER // 2, "nodes take no other (EIP-2)"


def test_it_says_whether_it_signs_the_same_way_again(holder: KeyHolder) -> None:
    assert (len({holder.sign_digest(DIGESTS[0]) for _ in range(4)}) == 1) is holder.repeats


def test_other_libraries_find_it_as_the_sender_of_a_transaction(holder: KeyHolder) -> None:
    fields = {
        "type": 2, "chainId": 31337, "nonce": 3, "to": "0x" + "22" * 20, "value": 7, "data": b"", "gas": 21_000,
        "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 1,
    }  # fmt: skip
    signed = signed_transaction(unsigned_transaction(fields), holder.sign_digest)
    assert Account.recover_transaction(signed.raw_transaction) == holder.address


def test_all_of_them_have_one_address_for_one_key(holder: KeyHolder) -> None:
    assert holder.address == Account.from_key(SECRET.to_bytes(32)).address
