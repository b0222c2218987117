"""The pack on OPA itself: the same tests pass, and the same questions have the same answers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.engines.machine import new_interpreter
from safebox.firewall.policytools import check, reason_codes
from tests import real_parts
from tests.unit.policy import cases

pytestmark = pytest.mark.opa
PACK = pack_folder()
PATIENCE_S = 600
"""A hang is ended. OPA runs all tests of the pack in 40 s on a quiet machine, in several times that on a busy one."""
PATIENCE_PER_TEST = "60s"
"""OPA ends a test after 5 s by itself; the longest take 3 s on a quiet machine."""


@pytest.fixture(scope="module")
def opa() -> str:
    return real_parts.require("opa")


def run(opa: str, *words: str) -> str:
    done = subprocess.run([opa, *words], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_formatted_and_strictly_checked(opa: str) -> None:
    assert run(opa, "fmt", "--list", str(PACK)) == ""
    run(opa, "check", "--strict", str(PACK))
    run(opa, "check", "--strict", "--bundle", str(PACK))


@pytest.mark.parametrize(
    ("body", "strict"),
    [
        ("p if {\n\tx := 1\n\tx == 1\n}", True),
        ("p if {\n\tx := 1\n}", False),
        ("p if {\n\tsome x in input.action.effects\n}", True),
        ("p if {\n\tsome x in input.action.effects\n\tx == 1\n}", True),
        ("p if {\n\tsome _, x in input.action.effects\n\tx == 1\n}", True),
        ("p if {\n\tsome i\n\tinput.action.effects[i] == 1\n}", True),
        ("p if {\n\tevery x in input.action.effects {\n\t\tx == 1\n\t}\n}", True),
        ("p if {\n\tevery k, x in input.action.effects {\n\t\tx == 1\n\t}\n}", False),
        ("p(a) := a", True),
        ("p(a, b) := a", False),
        ("p(a, _) := a", True),
        ("p := [x | some x in input.action.effects]", True),
        ("p := [1 | x := input.action.effects]", False),
        ("p if {\n\tdata := 1\n\tdata == 1\n}", False),
        ("p if {\n\tinput := 1\n\tinput == 1\n}", False),
        ("import data.q\nimport data.q\n\np := q", False),
        ("import data.q\n\np := q", True),
        ("import data.q\n\np := 1", False),
    ],
)
def test_the_check_is_as_strict_as_opas(opa: str, tmp_path: Path, body: str, strict: bool) -> None:
    file = tmp_path / "safebox/a/a.rego"
    file.parent.mkdir(parents=True)
    file.write_text(f"package safebox.a\n\n{body}\n")
    said = subprocess.run([opa, "check", "--strict", str(file)], capture_output=True, check=False, timeout=60)
    codes = {finding.code for finding in check([tmp_path])}
    names = {"policy.unused_variable", "policy.unused_import", "policy.syntax"}
    assert (said.returncode == 0, not codes & names) == (strict, strict), codes


def test_its_tests_pass_with_full_coverage(opa: str) -> None:
    report = json.loads(run(opa, "test", "--timeout", PATIENCE_PER_TEST, "--coverage", str(PACK)))
    assert {name: file.get("not_covered") for name, file in report["files"].items() if file["coverage"] < 100} == {}


def test_every_question_has_the_answer_of_the_embedded_engine(opa: str, tmp_path: Path) -> None:
    documents = [
        changed
        for document in cases.good().values()
        for path in cases.paths(document)
        for changed in (cases.changed(document, path, cases.DELETED), cases.changed(document, path, None))
    ]
    documents += [*cases.good().values(), {}]
    questions = tmp_path / "input.json"
    questions.write_text(json.dumps(documents))
    query = "[answer | some i, document in input; answer := data.safebox.main.decision with input as document]"
    found: list[Any] = json.loads(run(opa, "eval", "-d", str(PACK), "-i", str(questions), "-f", "raw", query))
    engine = EmbeddedEngine(load_bundle([PACK]))
    assert len(found) == len(documents)
    for document, answer in zip(documents, found, strict=True):
        assert json.loads(engine._evaluate(json.dumps(document))) == answer, document  # pyright: ignore


def test_opa_reads_the_same_metadata(opa: str) -> None:
    listed = json.loads(run(opa, "inspect", "--annotations", "--format", "json", str(PACK)))["annotations"]
    theirs = {
        (custom["code"], each["annotations"]["title"], each["annotations"]["description"], *sorted(custom.items()))
        for each in listed
        if (custom := each["annotations"].get("custom"))
    }
    ours = {
        (
            code.code,
            code.title,
            code.description,
            ("code", code.code),
            ("remedy", code.remedy),
            ("severity", code.severity),
            ("threat", code.threat),
        )
        for code in reason_codes([PACK])
    }
    assert ours == theirs


def test_both_parsers_agree_on_what_is_rego(opa: str, tmp_path: Path) -> None:
    for number, text in enumerate(["x := 1", "x = 1 if", "x if { }", "deny[x] { x := 1 }"]):
        file = tmp_path / f"{number}.rego"
        file.write_text(f"package p\n\n{text}\n")
        theirs = subprocess.run([opa, "check", str(file)], capture_output=True, check=False).returncode == 0
        ours = True
        try:
            new_interpreter().add_policy(file.name, file.read_text())
        except RuntimeError:
            ours = False
        assert ours == theirs, text
