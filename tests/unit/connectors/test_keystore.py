"""The keystore makes keys once, keeps them private, and signs only whole transactions."""

from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from safebox.firewall.errors import ConfigError
from safebox.firewall.keyfile import passphrase_path
from safebox.firewall.keystore import OWNER, Keystore

FAST = 2**4
TRANSACTION: dict[str, Any] = {
    "type": 2,
    "chainId": 31337,
    "nonce": 0,
    "to": "0x" + "22" * 20,
    "value": 2**70,
    "data": b"",
    "gas": 21_000,
    "maxFeePerGas": 10**9,
    "maxPriorityFeePerGas": 1,
}


def _open(state: Path) -> Keystore:
    return Keystore.open(state / "keystore", state / "passphrase", scrypt_n=FAST)


def test_the_owner_and_every_run_keep_their_address_after_a_restart(tmp_path: Path) -> None:
    first, second = _open(tmp_path), _open(tmp_path)
    assert first.owner_address == second.owner_address
    assert first.create_for_run("run_1") == second.create_for_run("run_1")


def test_every_run_has_a_key_of_its_own(tmp_path: Path) -> None:
    keystore = _open(tmp_path)
    addresses = {keystore.create_for_run(f"run_{number}") for number in range(50)} | {keystore.owner_address}
    assert len(addresses) == 51


def test_files_are_private_and_nothing_secret_is_printed(tmp_path: Path) -> None:
    keystore = _open(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["passphrase", "owner.json"] or len(files) == 2
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert repr(keystore) == f"Keystore(owner={keystore.owner_address})"


def test_a_signature_recovers_to_the_run_and_is_the_same_every_time(tmp_path: Path) -> None:
    keystore = _open(tmp_path)
    address = keystore.create_for_run("run_1")
    signed = keystore.sign_transaction("run_1", TRANSACTION)
    assert Account.recover_transaction(signed.raw_transaction) == address
    assert keystore.sign_transaction("run_1", TRANSACTION).hash == signed.hash
    assert Account.recover_transaction(keystore.sign_transaction(OWNER, TRANSACTION).raw_transaction) != address


@pytest.mark.parametrize("change", [{"type": 0}, {"chainId": None}, {"accessList": []}, {"gasPrice": 1}])
def test_anything_but_a_whole_transaction_bound_to_a_chain_is_not_signed(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    changed = {key: value for key, value in {**TRANSACTION, **change}.items() if value is not None}
    with pytest.raises(ValueError, match="EIP-1559"):
        _open(tmp_path).sign_transaction(OWNER, changed)


def test_an_unknown_run_signs_nothing_and_no_run_is_called_owner(tmp_path: Path) -> None:
    keystore = _open(tmp_path)
    with pytest.raises(KeyError):
        keystore.sign_transaction("run_9", TRANSACTION)
    with pytest.raises(ValueError, match="no run"):
        keystore.create_for_run(OWNER)
    keystore.create_for_run("run_9")
    keystore.forget_run("run_9")
    with pytest.raises(KeyError):
        keystore.address_of("run_9")


def test_a_wrong_passphrase_or_a_readable_file_opens_nothing(tmp_path: Path) -> None:
    _open(tmp_path)
    passphrase = tmp_path / "passphrase"
    passphrase.chmod(0o644)
    with pytest.raises(ConfigError, match="only its owner"):
        _open(tmp_path)
    passphrase.chmod(0o600)
    passphrase.write_text("another\n")
    with pytest.raises(ConfigError, match="could not be opened"):
        _open(tmp_path)
    passphrase.write_text("\n")
    with pytest.raises(ConfigError, match="empty"):
        _open(tmp_path)


def test_a_lost_passphrase_is_never_replaced_by_a_new_one(tmp_path: Path) -> None:
    _open(tmp_path)
    (tmp_path / "passphrase").unlink()
    with pytest.raises(ConfigError):
        _open(tmp_path)
    assert not (tmp_path / "passphrase").exists()


def test_a_damaged_key_file_is_an_error_without_its_content(tmp_path: Path) -> None:
    _open(tmp_path)
    (tmp_path / "keystore" / "owner.json").write_text('{"version": 3, "crypto": "secret words"}')
    with pytest.raises(ConfigError) as caught:
        _open(tmp_path)
    assert "secret words" not in str(caught.value)


def test_the_environment_can_name_the_passphrase_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAFEBOX_PASSPHRASE_FILE", raising=False)
    assert passphrase_path(tmp_path) == tmp_path / "passphrase"
    monkeypatch.setenv("SAFEBOX_PASSPHRASE_FILE", "/run/secrets/safebox")
    assert passphrase_path(tmp_path) == Path("/run/secrets/safebox")
