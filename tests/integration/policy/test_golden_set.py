"""The golden set: each question has its answer, each tool and each reason code has questions, and one source."""

from __future__ import annotations

import json
import os
from functools import cache

import pytest

from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.policytools import reason_codes
from safebox.firewall.policytools.golden import Golden, load_golden
from tests.unit.policy import cases

PACK = pack_folder()
GOLDENS = load_golden(PACK)
NOT_WITHOUT_A_SITE = {
    "main.hold_groups",
    "launch.agent_not_listed",
    "launch.image_not_listed",
    "launch.grants_too_much",
    "behaviour.off_purpose",
    "behaviour.retains",
}
"""Codes that the pack gives only beside a site's rules or tables: it names one group, bounds no agent, and only tells
of signals."""
NEAR = (2**53, 2**64)
UNITS_MAX = 2**256 - 1


@cache
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([PACK]))


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.name)
def test_it_has_its_verdict_and_codes(golden: Golden) -> None:
    answer = engine().answer(golden.document)
    assert (answer.verdict, tuple(reason.code for reason in answer.reasons)) == (golden.verdict, golden.codes)


def test_its_generated_inputs_are_those_of_the_packs_own_tests() -> None:
    """`WRITE_GUIDES=1 pytest tests/integration/policy/test_golden_set.py -k generated` writes them anew."""
    file = PACK / "golden/inputs.json"
    generated = json.dumps({"inputs": cases.good()}, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("WRITE_GUIDES"):
        file.write_text(generated)
    assert file.read_text() == generated, "set WRITE_GUIDES=1 to write it anew"


def test_every_tool_has_one_that_is_allowed_and_one_that_is_not() -> None:
    asked = {verdict: {_tool(golden) for golden in GOLDENS if golden.verdict is verdict} for verdict in Verdict}
    assert asked[Verdict.ALLOW] >= TOOLS.keys()
    assert asked[Verdict.DENY] | asked[Verdict.HOLD] >= TOOLS.keys()


def test_every_reason_code_has_one_that_gets_it_and_nothing_else_says_it() -> None:
    given = {code for golden in GOLDENS for code in golden.codes}
    codes = {code.code for code in reason_codes([PACK])}
    assert codes - given == NOT_WITHOUT_A_SITE
    assert given - codes == {"main.no_rule_allows"}


def test_every_domain_has_one_that_is_allowed_beside_those_that_are_not() -> None:
    for domain in {code.code.split(".")[0] for code in reason_codes([PACK])}:
        verdicts = {golden.verdict for golden in GOLDENS if golden.name.startswith(f"{domain}: ")}
        assert verdicts >= {Verdict.ALLOW, Verdict.DENY}, domain


@pytest.mark.parametrize("power", NEAR)
def test_amounts_on_both_sides_of_what_engines_round_are_in_it(power: int) -> None:
    for number, verdict in ((power - 1, Verdict.ALLOW), (power, Verdict.ALLOW), (power + 1, Verdict.DENY)):
        assert any(f"{number:078d}".encode() in each.document for each in GOLDENS if each.verdict is verdict), number
    assert any(str(UNITS_MAX).encode() in golden.document for golden in GOLDENS)


def test_every_one_has_a_name_of_its_own() -> None:
    assert len({golden.name for golden in GOLDENS}) == len(GOLDENS)


def test_it_is_no_part_of_what_decides() -> None:
    assert "golden" not in load_bundle([PACK], tests=True).data


def _tool(golden: Golden) -> str:
    found: str = json.loads(golden.document)["action"]["tool"]
    return found
