"""`safebox.firewall.policytools.golden`: what is read, and what is refused rather than left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from safebox.firewall.core.decision import Verdict
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools.golden import Golden, load_golden, load_inputs

INPUTS = {"inputs": {"a.do": {"list": [1, 2], "a/b": {"c~d": None}}}}
CASE: dict[str, Any] = {"base": "a.do", "verdict": "deny", "codes": ["a.no"]}


def folder(tmp_path: Path, case: dict[str, Any] | str, inputs: object = INPUTS) -> Path:
    golden = tmp_path / "golden"
    golden.mkdir(exist_ok=True)
    (golden / "inputs.json").write_text(json.dumps(inputs))
    (golden / "a.json").write_text(case if isinstance(case, str) else json.dumps({"a": {"one": case}}))
    return tmp_path


def changed(tmp_path: Path, **change: object) -> Any:
    (_, golden) = load_golden(folder(tmp_path, CASE | change))
    return json.loads(golden.document)


def test_the_plain_inputs_are_allowed_and_the_sentences_follow(tmp_path: Path) -> None:
    found = load_golden(folder(tmp_path, CASE))
    document = json.dumps(INPUTS["inputs"]["a.do"], separators=(",", ":")).encode()
    assert found == [
        Golden("a.do", document, Verdict.ALLOW, ()),
        Golden("a: one", document, Verdict.DENY, ("a.no",)),
    ]
    assert load_golden(tmp_path / "golden") == found
    assert load_inputs(tmp_path) == INPUTS["inputs"]


def test_values_are_set_added_and_removed_by_json_pointers(tmp_path: Path) -> None:
    assert changed(tmp_path, set={"/a~1b/c~0d": 1})["a/b"] == {"c~d": 1}
    assert changed(tmp_path, set={"/new": None})["new"] is None
    assert changed(tmp_path, set={"/list/1": "x"})["list"] == [1, "x"]
    assert changed(tmp_path, set={"/list/-": {}})["list"] == [1, 2, {}]
    assert changed(tmp_path, remove=["/list/0", "/a~1b"]) == {"list": [2]}
    assert load_inputs(tmp_path) == INPUTS["inputs"]


@pytest.mark.parametrize(
    "change",
    [
        {"base": "a.undo"},
        {"verdict": "maybe"},
        {"codes": "a.no"},
        {"more": 1},
        *({"set": {pointer: 1}} for pointer in ("", "list", "/none/x", "/list/2", "/list/-1", "/list/x", "/list/0/x")),
        *({"remove": [pointer]} for pointer in ("", "/none", "/list/2", "/list/-", "/list/0/x")),
    ],
)
def test_a_sentence_that_cannot_be_read_refuses_the_whole_set(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(PolicyUnavailable, match=r"a\.json"):
        load_golden(folder(tmp_path, CASE | change))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"b": {}}',
        '{"a": []}',
        '{"a": {"one": {}}}',
        '{"a": {"one": %s, "one": %s}}' % (json.dumps(CASE), json.dumps(CASE)),  # noqa: UP031
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_domain_refuses_the_whole_set(tmp_path: Path, text: str) -> None:
    with pytest.raises(PolicyUnavailable, match=r"a\.json"):
        load_golden(folder(tmp_path, text))


def test_without_inputs_there_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(PolicyUnavailable, match=r"inputs\.json"):
        load_golden(tmp_path)
    with pytest.raises(PolicyUnavailable, match=r"inputs\.json"):
        load_golden(folder(tmp_path, CASE, inputs={"inputs": [1]}))
