"""One look at a payload answers every question, and an incomplete look is never a yes."""

from __future__ import annotations

import base64
import gzip
from typing import Final

from safebox.firewall.behaviour.inspection import Inspector
from safebox.firewall.behaviour.overlap import Corpus
from safebox.firewall.behaviour.phrases import Wordlist
from safebox.firewall.behaviour.secrets import KnownSecrets
from tests.unit.behaviour.samples import AGENT, REPORT

ADDRESS: Final = "0x9fC764173b4aa880D4449a1F7F31eC597F00b1F6"
INSPECTOR: Final = Inspector(
    Corpus.build({"main.py": AGENT}),
    KnownSecrets.build([b"canary-7Qz1-fd90"]),
    Wordlist.build([chr(97 + n // 676) + chr(97 + n // 26 % 26) + chr(97 + n % 26) for n in range(2048)]),
    ADDRESS,
)


def test_an_ordinary_report_says_nothing_of_the_run() -> None:
    inspection = INSPECTOR.inspect(REPORT)
    assert inspection.facts() == {"matched": 0, "share_bp": 0, "source": None, "secrets": []}
    assert not inspection.own_address


def test_one_payload_that_carries_everything() -> None:
    inspection = INSPECTOR.inspect(base64.b64encode(gzip.compress(AGENT + b"canary-7Qz1-fd90 " + ADDRESS.encode())))
    assert inspection.overlap.matched > 200
    assert inspection.facts()["source"] == "main.py"
    assert inspection.secrets == ("known_secret",)
    assert inspection.own_address


def test_a_run_without_a_wallet_has_no_address_to_give_away() -> None:
    nobody = Inspector(INSPECTOR.corpus, INSPECTOR.known, INSPECTOR.words, None)
    assert not nobody.inspect(ADDRESS.encode()).own_address
