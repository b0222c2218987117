"""Law 13, at the detectors: nobody's payload keeps the firewall busy for others.

Work is bounded in bytes, streams and tokens. What each megabyte cost is printed (`-s`);
time is measured, never asserted.
"""

from __future__ import annotations

import gzip
import resource
import time
from typing import Final

import pytest

from safebox.firewall.behaviour.overlap import Corpus, measure_layers
from safebox.firewall.behaviour.phrases import Wordlist
from safebox.firewall.behaviour.secrets import KnownSecrets, find_secrets
from safebox.firewall.behaviour.unwrap import unwrap
from safebox.firewall.behaviour.work import LAYERS_MAX, OUTPUT_BYTES_MAX
from tests.unit.behaviour.samples import PROGRAMS

MEGABYTE: Final = 1 << 20
CORPUS: Final = Corpus.build(PROGRAMS)
KNOWN: Final = KnownSecrets.build([bytes(range(number, number + 32)) for number in range(8)])
WORDS: Final = Wordlist.build([chr(97 + n // 676) + chr(97 + n // 26 % 26) + chr(97 + n % 26) for n in range(2048)])

HOSTILE: Final = {
    "20 KB of program text": PROGRAMS["smtplib"][:20_000],
    "a megabyte of program text": PROGRAMS["smtplib"] * (MEGABYTE // len(PROGRAMS["smtplib"])),
    "tokens": b"a;" * (MEGABYTE // 2),
    "escapes": b"\\u0041" * (MEGABYTE // 6),
    "percent signs": b"%25" * (MEGABYTE // 3),
    "ampersands": b"&amp;" * (MEGABYTE // 5),
    "stream heads": b"x\x9c" * (MEGABYTE // 2),
    "gzip heads": b"\x1f\x8b\x08\x00" * (MEGABYTE // 4),
    "archive heads": b"PK\x03\x04" * (MEGABYTE // 4),
    "quotes": b"\"+'" * (MEGABYTE // 3),
    "one letter": b"a" * MEGABYTE,
    "equal signs": b"=" * MEGABYTE,
    "lines": b"\n" * MEGABYTE,
    "small streams": gzip.compress(b"a" * 40) * (MEGABYTE // 30),
    "short runs": (b"A" * 16 + b"\n") * (MEGABYTE // 17),
    "base85": bytes(33 + number * 7 % 84 for number in range(MEGABYTE)),
    "phrases": "\ufdfa".encode() * (MEGABYTE // 3),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_the_work_on_a_hostile_megabyte_is_bounded(what: str) -> None:
    payload = HOSTILE[what]
    start = time.process_time()
    unwrapped = unwrap(payload)
    opened = time.process_time()
    overlap = measure_layers(CORPUS, unwrapped)
    compared = time.process_time()
    find_secrets(unwrapped, KNOWN, WORDS)
    ended = time.process_time()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{what:<28} {len(payload) >> 10:>5} KB: unwrap {(opened - start) * 1000:>5.0f} ms,"
        f" overlap {(compared - opened) * 1000:>5.0f} ms, secrets {(ended - compared) * 1000:>5.0f} ms,"
        f" {memory} MB, truncated: {overlap.truncated}"
    )
    assert len(unwrapped.layers) <= LAYERS_MAX
    assert sum(map(len, unwrapped.layers)) <= MEGABYTE + 2 * OUTPUT_BYTES_MAX
    assert sum(map(len, unwrapped.texts)) <= 3 * (MEGABYTE + 2 * OUTPUT_BYTES_MAX)
