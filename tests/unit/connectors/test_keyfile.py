"""Key files are those of other wallets, and a passphrase a person chose is made slow to try."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from safebox.firewall.errors import ConfigError
from safebox.firewall.keyfile import MADE_SCRYPT_N, SCRYPT_N, open_key, owner_key

FAST = 2**4


def _parameters(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["crypto"]["kdfparams"]
    return found


def test_a_key_made_here_is_opened_by_eth_account_and_the_other_way_round(tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    key = open_key(tmp_path / "k" / "mine.json", passphrase, scrypt_n=FAST)
    assert bytes(Account.decrypt((tmp_path / "k" / "mine.json").read_text(), "correct horse")) == key
    for kdf, rounds in (("scrypt", FAST), ("pbkdf2", 10)):
        theirs = tmp_path / "k" / f"{kdf}.json"
        theirs.write_text(json.dumps(Account.encrypt(key, "correct horse", kdf=kdf, iterations=rounds)))  # type: ignore[arg-type]
        theirs.chmod(0o600)
        assert open_key(theirs, passphrase) == key


def test_only_a_passphrase_made_here_is_quick_to_try(tmp_path: Path) -> None:
    owner_key(tmp_path / "made")
    assert _parameters(tmp_path / "made" / "keystore" / "owner.json")["n"] == MADE_SCRYPT_N
    assert len(bytes.fromhex((tmp_path / "made" / "passphrase").read_text())) == 32
    chosen = tmp_path / "chosen" / "passphrase"
    chosen.parent.mkdir()
    chosen.write_text("correct horse\n")
    chosen.chmod(0o600)
    owner_key(tmp_path / "chosen")
    assert _parameters(tmp_path / "chosen" / "keystore" / "owner.json")["n"] == SCRYPT_N


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"crypto": {"cipher": "aes-128-cbc"}},
        {"crypto": {"kdf": "none"}},
        {"crypto": {"mac": "00" * 32}},
        {"crypto": {"ciphertext": "zz"}},
        {"crypto": {"kdfparams": {"dklen": 16, "n": 16, "r": 8, "p": 1, "salt": "00"}}},
        {"crypto": {"kdfparams": {"dklen": 32, "n": 2**40, "r": 8, "p": 1, "salt": "00"}}},
    ],
)
def test_a_changed_key_file_opens_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    path, passphrase = tmp_path / "owner.json", tmp_path / "passphrase"
    open_key(path, passphrase, scrypt_n=FAST)
    document = json.loads(path.read_text())
    crypto = {**document["crypto"], **change.pop("crypto", {})}
    path.write_text(json.dumps({**document, "crypto": crypto, **change}))
    with pytest.raises(ConfigError, match="could not be opened"):
        open_key(path, passphrase)
