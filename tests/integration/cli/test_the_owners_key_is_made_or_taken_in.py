"""`safebox wallet init` and `import`: no key is lost, overwritten, shown, or taken from where others could see it.

How it is attacked: a wrong passphrase, a truncated or changed key file, one that takes for ever to open, one whose
address is another's, a key file others can read, a symlink in the key's or the folder's place, a firewall that is up,
a race for the first key, and a key under which the wallets of earlier runs could never be opened again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from eth_account import Account

from safebox.firewall.accounts import LocalAccount
from safebox.firewall.keystore import Keystore
from safebox.firewall.store.database import lock_ledger, open_database
from tests.integration.cli.program import Program

KEY: Final = b"\x11" * 32
ADDRESS: Final = str(LocalAccount(KEY).address)
FAST: Final = 2**4
FIRST_START: Final = """
import sys
from pathlib import Path
from safebox.firewall.keyfile import owner_key

owner_key(Path(sys.argv[1]))
"""
RUN: Final = "run_01m823p04f95wbzs0nvbxahaax"


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    document = Account.encrypt(KEY, "correct horse", kdf="scrypt", iterations=FAST)
    return private(tmp_path / "key.json", json.dumps(document))


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    return private(tmp_path / "theirs", "correct horse\n")


def owner(home: Path) -> str:
    return Keystore.open(home / "keystore", home / "passphrase").owner_address


def test_a_wallet_is_made_once_and_never_overwritten(safebox: Program, home: Path) -> None:
    made = json.loads(safebox("wallet", "init", "--json").out)
    assert made["address"] == owner(home)
    kept = {name: Path(made[name]) for name in ("key", "passphrase")}
    assert {path.stat().st_mode & 0o777 for path in kept.values()} == {0o600}
    before = {path: path.read_bytes() for path in kept.values()}
    again = safebox("wallet", "init")
    assert (again.status, again.out) == (3, "")
    assert "(wallet.exists)" in again.err
    assert "never overwritten" in again.err
    assert {path: path.read_bytes() for path in kept.values()} == before
    assert json.loads(safebox("wallet", "show", "--json").out)["owner"] == made["address"]


def test_a_key_of_another_wallet_is_taken_in(safebox: Program, home: Path, key_file: Path, passphrase: Path) -> None:
    done = safebox("wallet", "import", str(key_file), "--passphrase", str(passphrase))
    assert done.status == 0, done
    assert ADDRESS in done.out
    assert owner(home) == ADDRESS
    assert "(wallet.exists)" in safebox("wallet", "import", str(key_file), "--passphrase", str(passphrase)).err
    for path in home.rglob("*"):
        assert not path.is_file() or KEY.hex().encode() not in path.read_bytes()


def test_one_passphrase_may_open_the_file_and_keep_the_key(
    safebox: Program, home: Path, key_file: Path, passphrase: Path
) -> None:
    done = safebox("wallet", "import", str(key_file), SAFEBOX_PASSPHRASE_FILE=str(passphrase))
    assert done.status == 0, done
    assert not (home / "passphrase").exists()
    assert Keystore.open(home / "keystore", passphrase).owner_address == ADDRESS


def test_a_key_in_hexadecimal_comes_from_a_file_or_a_pipe(safebox: Program, home: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "safebox.sandbox.cli", "wallet", "import", "-", "--json"]
    environment = {**os.environ, "SAFEBOX_HOME": str(home)}
    done = subprocess.run(words, input=f"0x{KEY.hex()}\n".encode(), env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout)["address"] == ADDRESS
    other = Program(tmp_path / "other")
    other.home.mkdir()
    assert ADDRESS in other("wallet", "import", str(private(tmp_path / "hex", KEY.hex()))).out


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def changed(text: str) -> str:
        document: dict[str, Any] = json.loads(text)
        change(document)
        return json.dumps(document)

    return changed


BAD: Final[dict[str, Callable[[str], str]]] = {
    "truncated": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "words": lambda _: "legal winner thank year wave sausage worth useful legal winner thank yellow",
    "short hex": lambda _: "ab" * 31,
    "zero": lambda _: "00" * 32,
    "beyond the curve": lambda _: "ff" * 32,
    "array": lambda _: "[]",
    "no crypto": lambda _: '{"version":3}',
    "another's address": _changed(lambda document: document.update(address="22" * 20)),
    "for ever by scrypt": _changed(lambda document: document["crypto"]["kdfparams"].update(p=2**28)),
    "for ever by pbkdf2": _changed(
        lambda document: document["crypto"].update(
            kdf="pbkdf2", kdfparams={"prf": "hmac-sha256", "c": 2**40, "dklen": 32, "salt": "00"}
        )
    ),
    "too much to keep": _changed(lambda document: document["crypto"]["kdfparams"].update(dklen=2**30)),
    "changed": _changed(lambda document: document["crypto"].update(ciphertext="00" * 32)),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_key_is_refused_and_never_repeated(home: Path, key_file: Path, passphrase: Path, bad: str) -> None:
    from safebox.firewall.errors import ConfigError
    from safebox.firewall.ownerkey import read_key

    text = BAD[bad](key_file.read_text())
    with pytest.raises(ConfigError) as refused:
        read_key(text.encode(), lambda: passphrase.read_bytes().strip())
    assert refused.value.code == "wallet.bad_key"
    assert refused.value.remedy
    assert not text or text[:12] not in str(refused.value)


def test_a_wrong_passphrase_and_a_file_others_can_read_leave_nothing_behind(
    safebox: Program, home: Path, key_file: Path, tmp_path: Path
) -> None:
    wrong = private(tmp_path / "wrong", "correct house\n")
    done = safebox("wallet", "import", str(key_file), "--passphrase", str(wrong))
    assert (done.status, "the passphrase is another one" in done.err) == (3, True)
    seen = safebox("wallet", "import", str(private(tmp_path / "seen", KEY.hex(), 0o644)))
    assert (seen.status, "chmod 600" in seen.err) == (3, True)
    (tmp_path / "link").symlink_to(private(tmp_path / "hex", KEY.hex()))
    assert safebox("wallet", "import", str(tmp_path / "link")).status == 3
    typed = safebox("wallet", "import", KEY.hex())
    assert (typed.status, KEY.hex() in typed.err) == (3, False)
    assert not (home / "keystore").exists()


def test_nothing_is_written_where_somebody_else_points(safebox: Program, home: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (home / "keystore").symlink_to(tmp_path / "elsewhere")
    done = safebox("wallet", "init")
    assert (done.status, "(wallet.unsafe_place)" in done.err) == (3, True)
    (home / "keystore").unlink()
    (home / "keystore").mkdir(mode=0o700)
    (home / "keystore" / "owner.json").symlink_to(tmp_path / "elsewhere" / "owner.json")
    done = safebox("wallet", "init")
    assert (done.status, "(wallet.exists)" in done.err) == (3, True)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_firewall_that_is_up_keeps_its_key(safebox: Program, home: Path, tmp_path: Path) -> None:
    handle = lock_ledger(home / "ledger.sqlite3", shared=True)
    try:
        for words in (["init"], ["import", str(private(tmp_path / "hex", KEY.hex()))]):
            done = safebox("wallet", *words)
            assert (done.status, "(wallet.in_use)" in done.err) == (3, True)
            assert "stop the firewall" in done.err
    finally:
        os.close(handle)
    assert not (home / "keystore").exists()


def test_of_those_who_race_for_the_first_key_one_wins_and_all_agree(home: Path) -> None:
    words = [sys.executable, "-m", "safebox.sandbox.cli", "wallet", "init", "--json"]
    environment = {**os.environ, "SAFEBOX_HOME": str(home)}
    racers = [subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in "abc"]
    start = subprocess.Popen([sys.executable, "-c", FIRST_START, str(home)], stderr=subprocess.PIPE)
    done = [(racer.communicate(timeout=60)[0], racer.returncode) for racer in racers]
    assert start.communicate(timeout=60)[1] == b""
    assert start.returncode == 0
    assert [status for _, status in done].count(0) <= 1
    assert {status for _, status in done} <= {0, 3}
    for out, status in done:
        assert status or json.loads(out)["address"] == owner(home)


def lease(home: Path, *events: dict[str, Any]) -> None:
    """A ledger in which a run was lent a wallet of `KEY`'s, and what came of that."""
    address = Keystore(KEY).create_for_run(RUN)
    mandate = {"wallet": {"budget": {"asset": "ETH", "units": "7"}}}
    begun = {"event": "run_started", "run": RUN, "run_view": {"address": address}, "mandate": mandate}
    db = open_database(home / "ledger.sqlite3")
    rows = ((json.dumps(event, separators=(",", ":")).encode(), b"") for event in (begun, *events))
    with db:
        db.executemany("INSERT INTO events (body, hash) VALUES (?, ?)", rows)
    db.close()


FUNDED: Final = {
    "event": "decided", "run": RUN, "tool": "wallet.fund", "action_id": "f", "answer": {"verdict": "allow"},
}  # fmt: skip
ENDED: Final = {"event": "run_ended", "run": RUN}


def test_a_key_that_could_never_open_the_wallets_of_earlier_runs_is_refused(
    safebox: Program, home: Path, tmp_path: Path
) -> None:
    lease(home, FUNDED, ENDED)
    other = private(tmp_path / "other", "22" * 32)
    for words in (["init"], ["import", str(other)]):
        done = safebox("wallet", *words)
        assert (done.status, "(wallet.other_key)" in done.err) == (3, True), done
        assert RUN in done.err
    assert not (home / "keystore").exists()
    assert ADDRESS in safebox("wallet", "import", str(private(tmp_path / "right", KEY.hex()))).out


def test_wallets_that_are_known_to_be_empty_keep_nobody_from_a_new_key(safebox: Program, home: Path) -> None:
    asked = {**FUNDED, "tool": "wallet.sweep", "action_id": "s", "action": {"args": {"to": "0x", "amount": None}}}
    swept = {"event": "settled", "run": RUN, "tool": "wallet.sweep", "action_id": "s", "status": "done"}
    lease(home, FUNDED, asked, swept, ENDED)
    assert safebox("wallet", "init").status == 0
