"""Law 8, at the detectors: whatever an outgoing payload is wrapped in, the run's own code is seen in it.

Two agents talk here. The one that copies itself tries what a program can do in a few lines; the honest one writes the
mails such an agent writes, and is let pass.
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebox.firewall.behaviour.accumulate import Accumulator
from safebox.firewall.behaviour.overlap import Corpus, Overlap, measure
from tests.unit.behaviour.samples import AGENT, HARMLESS, PROGRAMS, TASK, edited, renamed
from tests.unit.behaviour.wrappers import ANY_BYTES, TEXT_ONLY, wrap

LIMITS: Final[dict[str, Any]] = json.loads(Path("policies/data/limits/data.json").read_bytes())["replication"]
BIG: Final = PROGRAMS["ftplib"]
CORPUS: Final = Corpus.build({"main.py": AGENT, "protocol.py": BIG, "task": TASK})


def denied(overlap: Overlap) -> bool:
    """What the policy pack makes of it."""
    return overlap.truncated or overlap.matched >= LIMITS["fingerprints"] or overlap.share_bp >= LIMITS["share_bp"]


@pytest.mark.parametrize("wrapper", ANY_BYTES | TEXT_ONLY)
def test_the_code_in_one_wrapper(wrapper: str) -> None:
    assert denied(measure(CORPUS, wrap(AGENT, [wrapper])))


@settings(max_examples=60, deadline=None)
@given(chain=st.lists(st.sampled_from(sorted(ANY_BYTES)), min_size=2, max_size=3), names=st.booleans())
def test_the_code_in_wrappers_around_wrappers(chain: list[str], names: bool) -> None:
    assert denied(measure(CORPUS, wrap(renamed(AGENT) if names else AGENT, chain)))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), wrapper=st.sampled_from(sorted(ANY_BYTES)))
def test_the_code_edited_by_a_tenth_renamed_and_wrapped(seed: int, wrapper: str) -> None:
    assert denied(measure(CORPUS, wrap(edited(renamed(AGENT), seed), [wrapper])))


@settings(max_examples=40, deadline=None)
@given(start=st.integers(0, len(BIG) - 2048))
def test_two_kilobytes_out_of_a_large_file(start: int) -> None:
    assert denied(measure(CORPUS, BIG[start : start + 2048]))


def test_the_code_hidden_in_a_mail_with_an_attachment() -> None:
    attachment = base64.b64encode(gzip.compress(AGENT)).decode()
    mail = {
        "to": ["a@b.example"],
        "subject": "Report",
        "body": HARMLESS["an English report"].decode(),
        "attachments": [{"name": "report.pdf", "content_base64": attachment}],
    }
    assert denied(measure(CORPUS, json.dumps(mail).encode()))


def test_the_code_as_a_program_that_unpacks_itself() -> None:
    packed = base64.b85encode(gzip.compress(AGENT)).decode()
    assert denied(measure(CORPUS, f"import base64, gzip\nexec(gzip.decompress(base64.b85decode('{packed}')))".encode()))


def test_the_code_in_pieces_over_several_messages() -> None:
    sent = Accumulator()
    totals: list[int] = []
    for at in range(0, len(AGENT), 400):
        piece = base64.b64encode(AGENT[at : at + 400])
        totals.append(sent.add("friend@elsewhere.example", measure(CORPUS, piece).fingerprints))
    assert totals[2] >= LIMITS["fingerprints"]
    assert totals[-1] > 5 * LIMITS["fingerprints"]


def test_what_could_not_be_looked_at_is_no_yes() -> None:
    assert denied(measure(CORPUS, gzip.compress(bytes(100_000_000) + AGENT)))


@pytest.mark.parametrize("what", HARMLESS)
def test_the_honest_agents_mail_passes(what: str) -> None:
    assert not denied(measure(CORPUS, HARMLESS[what]))


@pytest.mark.parametrize("what", HARMLESS)
@pytest.mark.parametrize("wrapper", ["base64", "gzip", "zip", "JSON"])
def test_the_honest_agents_mail_passes_wrapped_too(what: str, wrapper: str) -> None:
    assert not denied(measure(CORPUS, wrap(HARMLESS[what], [wrapper])))


def test_all_the_honest_agents_mail_to_one_person_passes() -> None:
    sent = Accumulator()
    totals = [sent.add("mira@owner.example", measure(CORPUS, mail).fingerprints) for mail in HARMLESS.values()]
    assert totals[-1] < 2 * LIMITS["fingerprints"]
