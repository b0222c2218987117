"""Pieces to one destination add up, and what is remembered stays small."""

from __future__ import annotations

from safebox.firewall.behaviour.accumulate import DESTINATIONS_MAX, FINGERPRINTS_MAX, Accumulator
from safebox.firewall.behaviour.overlap import Corpus, measure
from tests.unit.behaviour.samples import AGENT, QUOTE, TRACE

CORPUS = Corpus.build({"main.py": AGENT})


def test_pieces_that_each_pass_add_up() -> None:
    sent = Accumulator()
    pieces = [measure(CORPUS, AGENT[at : at + 300]) for at in range(0, len(AGENT), 300)]
    totals = [sent.add("bob@example.org", piece.fingerprints) for piece in pieces]
    assert max(piece.matched for piece in pieces) < 40
    assert totals[-1] > 100
    assert totals == sorted(totals)


def test_the_same_quotation_sent_again_adds_nothing() -> None:
    sent = Accumulator()
    first = sent.add("bob@example.org", measure(CORPUS, QUOTE).fingerprints)
    assert {sent.add("bob@example.org", measure(CORPUS, QUOTE).fingerprints) for _ in range(50)} == {first}


def test_what_went_to_another_destination_does_not_count() -> None:
    sent = Accumulator()
    sent.add("bob@example.org", measure(CORPUS, AGENT).fingerprints)
    assert sent.add("eve@example.org", measure(CORPUS, TRACE).fingerprints) < 40


def test_asking_remembers_nothing() -> None:
    sent = Accumulator()
    found = measure(CORPUS, AGENT).fingerprints
    assert sent.would_be("bob@example.org", found) == sent.would_be("bob@example.org", found) > 100
    assert sent.would_be("bob@example.org", ()) == 0
    assert sent.would_be("bob@example.org", found) == sent.add("bob@example.org", found)


def test_past_the_bound_all_destinations_are_one() -> None:
    sent = Accumulator()
    for number in range(DESTINATIONS_MAX):
        sent.add(f"{number}@example.org", ())
    totals = [sent.add(f"new-{number}@example.org", [number]) for number in range(50)]
    assert totals == list(range(1, 51))


def test_one_destination_is_remembered_in_bounded_memory() -> None:
    sent = Accumulator()
    assert sent.add("bob@example.org", range(10 * FINGERPRINTS_MAX)) == FINGERPRINTS_MAX
