"""Checkpoints: signed and read back, refused when anything about them was changed."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from safebox.firewall.core.checkpoint import Checkpoint, Verifier, read, sign
from safebox.firewall.core.merkle import leaf_hash
from safebox.firewall.errors import ConfigError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERIFIER = Verifier("safebox", KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
CHECKPOINT = Checkpoint("safebox/ledger/1", 1234, leaf_hash(b"all"))
NOTE = sign(CHECKPOINT, "safebox", KEY)


def test_a_signed_checkpoint_reads_back() -> None:
    assert read(NOTE, VERIFIER) == CHECKPOINT
    assert NOTE.splitlines()[0:2] == ["safebox/ledger/1", "1234"]
    assert NOTE.splitlines()[4].startswith("— safebox ")


def test_a_verifier_key_reads_back() -> None:
    assert Verifier.parse(VERIFIER.text()) == VERIFIER


def test_the_key_id_is_the_one_the_specification_derives() -> None:
    # The example of c2sp.org/signed-note: this verifier key carries its own id.
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert Verifier.parse(text).id.hex() == "c74f20a3"


def test_signatures_of_others_beside_the_right_one_do_no_harm() -> None:
    assert read(NOTE + "— other AAAAAAAA\nnot a signature\n", VERIFIER) == CHECKPOINT


@pytest.mark.parametrize("position", range(len(NOTE.encode())))
def test_no_byte_can_be_changed(position: int) -> None:
    raw = bytearray(NOTE.encode())
    raw[position] ^= 1
    try:
        changed = raw.decode()
    except UnicodeDecodeError:
        return
    with pytest.raises(ConfigError):
        read(changed, VERIFIER)


@pytest.mark.parametrize("note", ["", "\n\n", "a\n1\n", NOTE.partition("\n\n")[0], NOTE * 1000])
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    with pytest.raises(ConfigError):
        read(note, VERIFIER)


@pytest.mark.parametrize("size", ["-1", "01", "1.0", "", "\u0661"])
def test_a_size_has_one_way_to_be_written(size: str) -> None:
    text = CHECKPOINT.text().replace("1234", size)
    line = sign(CHECKPOINT, "safebox", KEY).splitlines()[-1]
    with pytest.raises(ConfigError):
        read(f"{text}\n{line}\n", VERIFIER)


@pytest.mark.parametrize(
    "text", ["", "a+b", "safebox+00000000+AAAA", VERIFIER.text()[:-2], VERIFIER.text().replace("safebox", "other")]
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Verifier.parse(text)
