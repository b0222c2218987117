"""Law 8: a copy of the run is found in every disguise and every wrapping, and what is no copy passes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebox.firewall.behaviour.inspection import NOT_LOOKED_AT, Inspector
from safebox.firewall.behaviour.overlap import Corpus, Overlap, measure
from safebox.firewall.behaviour.phrases import Wordlist
from safebox.firewall.behaviour.secrets import KnownSecrets
from tests.unit.behaviour.samples import AGENT, HARMLESS, PROGRAMS, TASK, edited, renamed, without_comments
from tests.unit.behaviour.wrappers import ALONE, ANY_BYTES, TEXT_ONLY, wrap

LIMITS: Final[dict[str, Any]] = json.loads(Path("policies/data/limits/data.json").read_bytes())["replication"]
OWN: Final = {name: Corpus.build({"main.py": program, "task": TASK}) for name, program in PROGRAMS.items()}
DISGUISES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "plain": lambda program: program,
    "a tenth edited": edited,
    "a fifth edited": lambda program: edited(program, part=5),
    "renamed": renamed,
    "renamed, a tenth edited": lambda program: edited(renamed(program)),
    "comments stripped, laid out anew": without_comments,
    "and renamed": lambda program: renamed(without_comments(program)),
    "2 KB out of its middle": lambda program: program[len(program) // 2 :][:2048],
    "2 KB, renamed": lambda program: renamed(program)[len(program) // 2 :][:2048],
    "1 KB out of its middle": lambda program: program[len(program) // 2 :][:1024],
}


def denied(overlap: Overlap) -> bool:
    """What the policy pack makes of it."""
    return overlap.truncated or overlap.matched >= LIMITS["fingerprints"] or overlap.share_bp >= LIMITS["share_bp"]


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_disguised_copy_is_found(program: str, disguise: str) -> None:
    found = measure(OWN[program], DISGUISES[disguise](PROGRAMS[program]))
    assert denied(found)
    assert not found.truncated
    assert found.source == "main.py"


@pytest.mark.parametrize("wrapper", ANY_BYTES | TEXT_ONLY | ALONE)
@pytest.mark.parametrize("disguise", ["renamed", "2 KB out of its middle"])
def test_a_wrapped_copy_is_found(wrapper: str, disguise: str) -> None:
    found = measure(OWN["poplib"], wrap(DISGUISES[disguise](PROGRAMS["poplib"]), [wrapper]))
    assert denied(found)
    assert not found.truncated


@pytest.mark.parametrize("what", HARMLESS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_no_copy_is_let_pass(program: str, what: str) -> None:
    assert not denied(measure(OWN[program], HARMLESS[what]))


@pytest.mark.parametrize(("own", "other"), [("smtplib", "imaplib"), ("imaplib", "ftplib"), ("imaplib", "agent")])
def test_a_program_for_another_protocol_by_other_people_is_let_pass(own: str, other: str) -> None:
    assert not denied(measure(OWN[own], PROGRAMS[other]))


def test_a_corpus_too_large_to_take_in_makes_every_answer_truncated() -> None:
    corpus = Corpus.build({f"{n}.py": bytes(1_100_000) for n in range(2)})
    assert corpus.partial
    assert measure(corpus, b"Hello").truncated


def test_an_incomplete_look_has_no_numbers_and_may_have_missed_a_secret() -> None:
    words = Wordlist.build([chr(97 + n // 676) + chr(97 + n // 26 % 26) + chr(97 + n % 26) for n in range(2048)])
    inspector = Inspector(OWN["agent"], KnownSecrets.build([b"canary-7Qz1-fd90"]), words, None)
    facts = inspector.inspect(gzip.compress(bytes(50_000_000))).facts()
    assert facts["matched"] is None
    assert facts["share_bp"] is None
    assert facts["secrets"] == [NOT_LOOKED_AT]


CHAINS: Final = st.tuples(
    st.lists(st.sampled_from(sorted(TEXT_ONLY)), max_size=1),
    st.lists(st.sampled_from(sorted(ANY_BYTES)), min_size=1, max_size=2),
).map(lambda chain: chain[0] + chain[1])


@settings(max_examples=30, deadline=None)
@given(chain=CHAINS, start=st.integers(0, 12_000))
def test_no_chain_of_three_wrappers_hides_a_copy(chain: list[str], start: int) -> None:
    assert denied(measure(OWN["poplib"], wrap(PROGRAMS["poplib"][start : start + 3000], chain)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), names=st.booleans())
def test_no_random_tenth_of_edits_hides_a_copy(seed: int, names: bool) -> None:
    program = renamed(AGENT) if names else AGENT
    assert denied(measure(OWN["agent"], edited(program, seed)))


def test_the_table_the_limits_are_chosen_from(capsys: pytest.CaptureFixture[str]) -> None:
    hidden = {
        name: [measure(OWN[own], hide(program)) for own, program in PROGRAMS.items()]
        for name, hide in DISGUISES.items()
    }
    harmless = {name: [measure(own, payload) for own in OWN.values()] for name, payload in HARMLESS.items()}
    with capsys.disabled():
        print("\n" + "\n".join(_table(hidden | harmless)))
        for limit in (20, 25, 30, 40, 60):
            print(f"  limit {limit}: found {_over(limit, hidden)}, false alarms {_over(limit, harmless)}")
    assert _over(LIMITS["fingerprints"], hidden) == "50 of 50"
    assert _over(LIMITS["fingerprints"], harmless) == "0 of 35"


def _table(rows: dict[str, list[Overlap]]) -> Iterator[str]:
    yield f"  {'payload':<36}{'matched':>12}{'share bp':>16}"
    for name, found in rows.items():
        matched, shares = sorted(one.matched for one in found), sorted(one.share_bp for one in found)
        yield f"  {name:<36}{f'{matched[0]}..{matched[-1]}':>12}{f'{shares[0]}..{shares[-1]}':>16}"


def _over(limit: int, rows: dict[str, list[Overlap]]) -> str:
    every = [one for found in rows.values() for one in found]
    over = [one for one in every if one.matched >= limit or one.share_bp >= LIMITS["share_bp"]]
    return f"{len(over)} of {len(every)}"
