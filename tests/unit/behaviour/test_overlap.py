"""What the overlap detector finds, what it lets pass, and where between them the limits lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from safebox.firewall.behaviour.overlap import Corpus, Overlap, is_shape, measure
from tests.unit.behaviour.samples import (
    AGENT,
    DATA,
    HARMLESS,
    RIVAL,
    TASK,
    edited,
)

LIMITS: Final[dict[str, Any]] = json.loads(Path("policies/data/limits/data.json").read_bytes())["replication"]
OWN: Final = {"agent": Corpus.build({"main.py": AGENT, "task": TASK})}


def denied(overlap: Overlap) -> bool:
    """What the policy pack makes of it."""
    return overlap.truncated or overlap.matched >= LIMITS["fingerprints"] or overlap.share_bp >= LIMITS["share_bp"]


def test_a_copy_inside_a_long_harmless_mail_is_found() -> None:
    report = HARMLESS["an English report"] * 20
    assert denied(measure(OWN["agent"], report + AGENT[500:2500] + report))


def test_a_copy_of_the_prompt_alone_is_found() -> None:
    prompt = b" ".join(HARMLESS["an English report"].split()[20:120])
    corpus = Corpus.build({"main.py": RIVAL, "prompt.txt": prompt})
    found = measure(corpus, b"System: " + prompt)
    assert denied(found)
    assert found.source == "prompt.txt"


def test_letters_that_only_look_alike_and_invisible_ones_hide_nothing() -> None:
    wide = "".join(chr(ord(letter) + 0xFEE0) if letter.isalnum() else letter + "\u200b" for letter in AGENT.decode())
    assert denied(measure(OWN["agent"], wide.encode()))


def test_boilerplate_is_nobodys() -> None:
    licence = b'# Copyright 2024 Somebody\n# Licensed under the Apache License, Version 2.0 (the "License");\n' * 5
    imports = b"".join(b"from package_%d import name_%d, other_%d as third_%d\n" % (n, n, n, n) for n in range(60))
    main = b'if __name__ == "__main__":\n    sys.exit(main())\n'
    corpus = Corpus.build({"main.py": licence + imports + main})
    assert measure(corpus, licence + imports + main).matched == 0


def test_what_is_said_to_be_common_is_nobodys() -> None:
    assert measure(Corpus.build({"main.py": AGENT}, common=[AGENT]), AGENT).matched == 0


def test_tables_of_numbers_have_no_owner() -> None:
    assert measure(Corpus.build({"data.json": DATA}), HARMLESS["JSON data"][:200]).matched < LIMITS["fingerprints"]


def test_an_empty_corpus_matches_nothing() -> None:
    assert measure(Corpus.build({}), AGENT) == Overlap(0, 0, None, truncated=False)


def test_both_forms_are_told_apart_in_the_fingerprints() -> None:
    found = measure(OWN["agent"], AGENT)
    forms = [sum(is_shape(one) is form for one in found.fingerprints) for form in (False, True)]
    assert found.matched == max(forms)
    assert min(forms) > 0


def test_the_same_payload_gives_the_same_answer() -> None:
    assert measure(OWN["agent"], edited(AGENT)) == measure(
        Corpus.build({"main.py": AGENT, "task": TASK}), edited(AGENT)
    )
