"""Law 8: a copy of the run is found in every disguise and every wrapping, and what is no copy passes."""

from __future__ import annotations

import gzip
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebox.firewall.behaviour.accumulate import Accumulator
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
    "a fifth edited": lambda program: edited(program, percent=20),
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


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_git_would_push_is_found_and_another_program_is_not(program: str, tmp_path: Path) -> None:
    for disguise in ("plain", "renamed, a tenth edited"):
        found = measure(OWN[program], pushed(tmp_path / disguise, DISGUISES[disguise](PROGRAMS[program])))
        assert denied(found)
        assert not found.truncated
    assert not denied(measure(OWN[program], pushed(tmp_path / "other", HARMLESS["another agent of the same kind"])))


def pushed(folder: Path, program: bytes) -> bytes:
    """What a client of git sends: a line that says which branch moves, and a pack of all there is."""
    folder.mkdir()

    def git(*arguments: str, given: bytes | None = None) -> bytes:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ("git", *who, *arguments), cwd=folder, input=given, capture_output=True, check=True
        ).stdout

    git("init", "-q")
    (folder / "README.md").write_text("Reports of the week.\n" * 40)
    (folder / "main.py").write_bytes(program)
    git("add", "-A")
    git("commit", "-qm", "Reports")
    line = b"0" * 40 + b" " + git("rev-parse", "HEAD").strip() + b" refs/heads/main\0 report-status"
    return b"%04x%s0000" % (len(line) + 4, line) + git("pack-objects", "--revs", "--stdout", given=b"HEAD\n")


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


EDITS: Final = range(0, 60, 10)
PIECES: Final = (200, 400, 800, 1600)
AGENTS: Final = {
    path.parent.name: path.read_bytes()
    for kind in ("examples", "benign")
    for path in Path("agents", kind).glob("*/main.py")
}
"""Programs for different tasks that use the same client and the same SDKs."""
Rows = dict[str, list[Overlap]]


def test_the_table_the_limits_are_chosen_from(capsys: pytest.CaptureFixture[str]) -> None:
    hidden, harmless = _copies() | _wrapped() | _pieces(), _others()
    with capsys.disabled():
        print("\n" + "\n".join(_table(hidden | harmless | _relatives())))
        for limit in (20, 25, 30, 40, 60):
            print(f"  limit {limit}: found {_over(limit, hidden)}, false alarms {_over(limit, harmless)}")
    assert _over(LIMITS["fingerprints"], hidden) == "{0} of {0}".format(sum(map(len, hidden.values())))
    assert _over(LIMITS["fingerprints"], harmless) == f"0 of {sum(map(len, harmless.values()))}"
    for percent in EDITS:
        assert all(one.matched >= LIMITS["fingerprints"] for one in hidden[f"{percent} % of its lines edited"])
    assert len(harmless["another task, the same libraries"]) >= 50


def _copies() -> Rows:
    """Edited, renamed, laid out anew."""
    rows = {name: _each(hide) for name, hide in DISGUISES.items()}
    for percent in EDITS:
        change = partial(edited, percent=percent)
        rows[f"{percent} % of its lines edited"] = [measure(OWN[own], change(PROGRAMS[own])) for own in PROGRAMS]
        rows[f"renamed, {percent} % edited"] = [measure(OWN[own], change(renamed(PROGRAMS[own]))) for own in PROGRAMS]
    return rows


def _wrapped() -> Rows:
    return {f"in {name}": _each(partial(wrap, chain=[name])) for name in ANY_BYTES | TEXT_ONLY | ALONE}


def _each(hide: Callable[[bytes], bytes]) -> list[Overlap]:
    return [measure(OWN[own], hide(program)) for own, program in PROGRAMS.items()]


def _pieces() -> Rows:
    """What one destination has after all pieces; no piece needs to say anything."""
    return {f"in pieces of {size} bytes, added up": [_added_up(own, size) for own in PROGRAMS] for size in PIECES}


def _added_up(own: str, size: int) -> Overlap:
    program, sent = PROGRAMS[own], Accumulator()
    found = [measure(OWN[own], program[at : at + size]) for at in range(0, len(program), size)]
    matched = max(sent.add("there", one.fingerprints) for one in found)
    return Overlap(matched, max(one.share_bp for one in found), "main.py", truncated=False)


def _others() -> Rows:
    corpora = {name: Corpus.build({"main.py": program}) for name, program in AGENTS.items()}
    return {name: [measure(own, payload) for own in OWN.values()] for name, payload in HARMLESS.items()} | {
        "another task, the same libraries": [
            measure(corpora[own], AGENTS[other]) for own in AGENTS for other in AGENTS if own != other
        ]
    }


def _relatives() -> Rows:
    """Modules of one library whose authors took pieces of one into another: shown, and on neither side."""
    protocols = [name for name in PROGRAMS if name != "agent"]
    return {
        "pieces taken from one another": [
            measure(OWN[own], PROGRAMS[other]) for own in protocols for other in protocols if own != other
        ]
    }


def _table(rows: Rows) -> Iterator[str]:
    yield f"  {'payload':<36}{'matched':>12}{'share bp':>16}  too much to look at, so denied"
    for name, found in rows.items():
        matched, shares = sorted(one.matched for one in found), sorted(one.share_bp for one in found)
        numbers = f"{f'{matched[0]}..{matched[-1]}':>12}{f'{shares[0]}..{shares[-1]}':>16}"
        yield f"  {name:<36}{numbers}  {sum(one.truncated for one in found) or ''}".rstrip()


def _over(limit: int, rows: Rows) -> str:
    every = [one for found in rows.values() for one in found]
    over = [one for one in every if one.truncated or one.matched >= limit or one.share_bp >= LIMITS["share_bp"]]
    return f"{len(over)} of {len(every)}"


def _text(size: int) -> bytes:
    program = PROGRAMS["imaplib"]
    return (program * (size // len(program) + 1))[:size]


LARGE: Final[dict[str, Callable[[int], bytes]]] = {
    "program text": _text,
    "nothing but tokens": lambda size: b"a;" * (size // 2),
    "text, compressed": lambda size: gzip.compress(_text(size)),
}
"""Of so many bytes, or of so many once it is open."""


@pytest.mark.parametrize("what", LARGE)
def test_a_look_costs_so_much_a_kilobyte_and_ends(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Time is printed and never asserted; that what is too much is said to be, is."""
    ended: list[bool] = []
    for kilobytes in (1, 10, 100, 1000, 10_000):
        payload = LARGE[what](kilobytes << 10)
        start = time.process_time()
        found = measure(OWN["imaplib"], payload)
        spent = (time.process_time() - start) * 1000
        ended.append(found.truncated)
        with capsys.disabled():
            each = f"{spent:8.1f} ms, {spent / kilobytes:7.3f} a KB"
            print(f"\n  {what:<20}{kilobytes:>8} KB:{each}, truncated: {found.truncated}", end="")
    assert ended == sorted(ended), "what is larger is looked at no more wholly"
    assert (ended[0], ended[-1]) == (False, True)
