"""Secrets are found by value and by structure; hashes, addresses and identifiers are none."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import random
import uuid
import zipfile
from importlib.resources import files
from typing import Final

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from safebox.firewall.behaviour.phrases import Wordlist, has_recovery_phrase
from safebox.firewall.behaviour.secrets import KnownSecrets, find_secrets
from tests.unit.behaviour.samples import AGENT, HARMLESS
from tests.unit.behaviour.wrappers import ANY_BYTES, wrap

WORDS: Final = Wordlist.build(
    files("eth_account").joinpath("hdaccount/wordlist/english.txt").read_text(encoding="utf-8").split()
)
KEY: Final = hashlib.sha256(b"a key of this run").digest()
CANARY: Final = b"canary-7Qz1-fd90-xK"
KNOWN: Final = KnownSecrets.build([KEY, CANARY])
NONE: Final = KnownSecrets.build([])
PHRASE: Final = "test test test test test test test test test test test junk"
LONG_PHRASE: Final = "abandon " * 23 + "art"
NEVER: Final = {
    "a transaction hash": "The hash of the transaction is 0x" + hashlib.sha256(b"t").hexdigest(),
    "a receipt in JSON": json.dumps({"transactionHash": "0x" + hashlib.sha256(b"u").hexdigest(), "key": "value"}),
    "a list of hashes": "\n".join(f"tx {n}: 0x{hashlib.sha256(b'%d' % n).hexdigest()}" for n in range(40)),
    "a bare hash": "0x" + hashlib.sha256(b"v").hexdigest(),
    "an image digest": "image safebox/base@sha256:" + hashlib.sha256(b"i").hexdigest(),
    "an address": "Pay to 0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff",
    "a commit": "commit " + hashlib.sha1(b"c", usedforsecurity=False).hexdigest(),
    "identifiers": " ".join(str(uuid.UUID(int=n * 2**100 + 7)) for n in range(1, 50)),
    "a public key": "public key: " + hashlib.sha256(b"p").hexdigest(),
    "an idempotency key": "Idempotency-Key: " + hashlib.sha256(b"k").hexdigest(),
    "a certificate": "-----BEGIN CERTIFICATE-----\n"
    + base64.encodebytes(b"c" * 300).decode()
    + "-----END CERTIFICATE-----",
    "talk of keys": "Keep your private key and your recovery phrase secret; an API key looks like sk-... and is long.",
    "a class name": "sk-learn and task-oriented-dialogue-with-transformers, sk-oriented-dialogue-without-any-number",
    "a program": AGENT.decode(),
}


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        "0x" + KEY.hex(),
        KEY.hex().upper(),
        KEY.hex()[::-1],
        " ".join(KEY.hex()),
        " ".join(KEY.hex()[at : at + 8] for at in range(0, 64, 8)),
        ":".join(f"{byte:02X}" for byte in KEY),
        ", ".join(f"0x{byte:02x}" for byte in KEY),
        str(list(KEY)),
        str(int.from_bytes(KEY, "big")),
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode(),
        base64.b64encode(b"x" + KEY + b"y").decode(),
        base64.b64encode(b"xy" + KEY).decode()[::-1],
        base64.b64encode(KEY.hex().encode()).decode(),
        "\n".join(base64.b64encode(KEY).decode()),
        "first half " + KEY.hex()[:32],
        "second half " + KEY.hex()[32:],
        CANARY.decode(),
        CANARY.decode().upper(),
        " ".join(CANARY.decode()),
        CANARY.decode()[::-1],
        CANARY.hex(),
        base64.b64encode(b"..." + CANARY).decode(),
    ],
)
def test_a_known_secret_is_found_however_it_is_written(text: str) -> None:
    assert "known_secret" in find_secrets(f"Look: {text} (end)".encode(), KNOWN, WORDS)


@pytest.mark.parametrize("wrapper", ANY_BYTES)
@pytest.mark.parametrize("secret", [KEY, CANARY, KEY.hex().encode()], ids=["key", "canary", "hex"])
def test_a_known_secret_is_found_in_any_wrapper(secret: bytes, wrapper: str) -> None:
    assert "known_secret" in find_secrets(
        wrap(b"some words before it " + secret + b" and after it", [wrapper]), KNOWN, WORDS
    )


@settings(max_examples=25, deadline=None)
@given(secret=st.binary(min_size=16, max_size=64), before=st.binary(max_size=40), after=st.binary(max_size=40))
def test_any_known_value_is_found_raw_in_hex_and_in_base64(secret: bytes, before: bytes, after: bytes) -> None:
    known = KnownSecrets.build([secret])
    whole = before + secret + after
    for payload in (whole, whole.hex().encode(), base64.b64encode(whole), gzip.compress(whole)):
        assert "known_secret" in find_secrets(payload, known, WORDS)


def test_a_value_too_short_to_search_for_is_refused() -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        KnownSecrets.build([b"short"])


@pytest.mark.parametrize("what", NEVER)
def test_what_only_resembles_a_secret_is_none(what: str) -> None:
    assert find_secrets(NEVER[what].encode(), KNOWN, WORDS) == ()


@pytest.mark.parametrize("what", HARMLESS)
def test_ordinary_mail_has_none(what: str) -> None:
    assert find_secrets(HARMLESS[what], KNOWN, WORDS) == ()


@pytest.mark.parametrize(
    "text",
    [
        "PRIVATE_KEY=0x" + "4f" * 32,
        "my private key is " + "4f" * 32,
        '{"privateKey": "0x' + "4f" * 32 + '"}',
        "the transaction hash is not it; the secret: " + "4f" * 32,
        "0x" + "4f" * 32 + " is the private key",
        "seed = '" + "4f" * 32 + "'",
    ],
)
def test_a_private_key_is_told_by_the_words_around_it(text: str) -> None:
    assert "private_key" in find_secrets(text.encode(), NONE, WORDS)
    assert "private_key" in find_secrets(base64.b64encode(text.encode()), NONE, WORDS)


def test_a_number_no_key_can_have_is_none() -> None:
    assert find_secrets(b"private key " + b"f" * 64, NONE, WORDS) == ()


@pytest.mark.parametrize(
    "text",
    [
        PHRASE,
        PHRASE.upper(),
        PHRASE.replace(" ", "\n"),
        ", ".join(f"{n}. {word}" for n, word in enumerate(PHRASE.split(), 1)),
        LONG_PHRASE,
        "words: " + PHRASE + " (keep them)",
        base64.b64encode(PHRASE.encode()).decode(),
        "zoo apple " + PHRASE + " zoo apple",
    ],
)
def test_a_recovery_phrase_is_found(text: str) -> None:
    assert "recovery_phrase" in find_secrets(text.encode(), NONE, WORDS)


def test_words_of_the_list_with_a_wrong_checksum_are_no_phrase() -> None:
    assert not has_recovery_phrase(b"test " * 12, WORDS)
    assert not has_recovery_phrase(b"abandon " * 12, WORDS)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=16, max_size=32).filter(lambda entropy: len(entropy) % 4 == 0))
def test_every_phrase_a_wallet_makes_is_found(entropy: bytes) -> None:
    bits = f"{int.from_bytes(entropy, 'big'):0{len(entropy) * 8}b}" + f"{hashlib.sha256(entropy).digest()[0]:08b}"
    names = list(WORDS.numbers)
    total = len(entropy) * 8 + len(entropy) // 4
    phrase = b" ".join(names[int(bits[at : at + 11], 2)] for at in range(0, total, 11))
    assert has_recovery_phrase(phrase, WORDS)


def test_a_text_made_to_tire_the_search_counts_as_a_phrase() -> None:
    assert has_recovery_phrase(b"abandon " * 30_000, WORDS)


def test_a_word_list_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2,048"):
        Wordlist.build(["abandon", "ability"])


def test_a_keystore_file_is_found() -> None:
    keystore = json.dumps(Account.encrypt(KEY, "password", kdf="pbkdf2", iterations=1))
    assert "keystore" in find_secrets(keystore.encode(), NONE, WORDS)
    assert "keystore" in find_secrets(gzip.compress(keystore.encode()), NONE, WORDS)


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-" + "aB3" * 14,
        "key=sk-" + "aB3dE5" * 8,
        "sk-ant-api03-" + "x9Y" * 20,
        "AKIA" + "Q7" * 8,
        "ghp_" + "a1" * 18,
    ],
)
def test_an_api_key_is_found(text: str) -> None:
    assert "api_key" in find_secrets(text.encode(), NONE, WORDS)


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_a_pem_private_key_is_found(kind: str) -> None:
    pem = f"-----BEGIN {kind}PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END {kind}PRIVATE KEY-----\n"
    assert "pem_private_key" in find_secrets(pem.encode(), NONE, WORDS)


def _torch() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/data/0", b"0123" * 100)
    return file.getvalue()


@pytest.mark.parametrize(
    "weights",
    [
        (77).to_bytes(8, "little")
        + b'{"layer.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}'
        + bytes(400),
        b"GGUF\x03\x00\x00\x00" + bytes(400),
        _torch(),
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(400),
    ],
    ids=["safetensors", "GGUF", "PyTorch", "PyTorch, long ago"],
)
def test_model_weights_are_found(weights: bytes) -> None:
    assert "model_weights" in find_secrets(weights, NONE, WORDS)
    assert "model_weights" in find_secrets(base64.b64encode(weights), NONE, WORDS)


def test_bulk_noise_is_found_and_a_little_is_let_pass() -> None:
    noise = random.Random(2).randbytes(40_000)  # noqa: S311
    assert find_secrets(noise, NONE, WORDS) == ("high_entropy",)
    assert find_secrets(base64.encodebytes(noise), NONE, WORDS) == ("high_entropy",)
    assert find_secrets(noise[:4_000], NONE, WORDS) == ()
