"""What is undefined, and what follows from it, is the same to OPA and to the compiled form, or refused at load.

Policies live from what is absent: a field that is missing must never make a rule hold on one engine alone.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from safebox.firewall.engines.bundle import Module
from safebox.firewall.engines.disputed import disputed, unsure_negations
from safebox.firewall.engines.syntax import parse_module
from tests import opa_cases, real_parts

pytestmark = pytest.mark.opa

INPUT = {"a": 1}
CONSTRUCTS = [
    'p := [1, input.x]',
    'p if [input.x] == [input.y]',
    'p if {"a": input.x} == {"a": input.y}',
    'p := count([input.x, input.y])',
    'p := [1, 2, input]',
    'p if 1 in [1, input.x]',
    'p if not input.x in [1, input.y]',
    'p := [data.nothing.here]',
    'q if false\np := [q]',
    'f(x) := 1 if x == 2\np := [f(1)]',
    'f(x) := 1 if x == 2\np := {"a": f(1)}',
    'p := {input.x: 1}',
    'p := [y | some x in [1,2]; y := input.z]',
    'p := [input.z | some x in [1,2]]',
    'f(x) := x if x > 1\np := [f(x) | some x in [1,2]]',
    'f(x) := x if x > 1\np := {f(x) | some x in [1,2]}',
    'f(x) := x if x > 1\np := [y | some x in [1,2]; y := f(x)]',
    'p := array.concat([1],[input.x])',
    'p := sprintf("%v", [input.x])',
    'p contains input.x',
    'p contains {"code": input.x}',
    'q := true\nq := false\np if not q',
    'default f(x) := 1\nf(x) := x if x > 0\np := f(-1)',
    'p := object.get({"a": 1}, input.x, 5)',
    'p := object.get({}, "b", input.x)',
    'p if { every x in [1, input.x] { x == 1 } }',
    'p contains x if some x in [1, input.x]',
    'f(x) := 1\np := f([input.x])',
    'f(x) := 1\np := f(input.x)',
    'p := [[input.x]]',
    'p := [1,2][input.x]',
    'p := {1} | {input.x}',
    'p if not [input.x]',
    'p := 1 if { [input.x]; true } else := 2',
    'p if { y := input.z }',
    'p if { y := input.z; true }',
    'p := y if { y := input.z }',
    'f(x) := x if x > 1\np if { y := f(1) }',
    'p if { y = input.z }',
    'f(x) := 1 if { y := input.z }\np := f(1)',
    'p := [x | some x in [1,2]; y := input.z]',
    'p := [x | some x in [1,2]; y := input.z; y == 1]',
    'p := [y | y := input.z; some x in [1,2]]',
    'p := [x | some x in [1,2]; input.z]',
    'p := [x | some x in [1,2]; not input.z]',
    'p := [x | some x in [1,2]; input.z == x]',
    'p := [upper(input.z) | some x in [1,2]]',
    'p := [[x, input.z] | some x in [1,2]]',
    'p := [{"a": input.z} | some x in [1,2]]',
    'p := [o[x] | some x in ["a","c"]]\no := {"a": 1, "b": 2}',
    'p := [v | some x in ["a","c"]; v := o[x]]\no := {"a": 1, "b": 2}',
    'p := {v | some x in ["a","c"]; v := o[x]; v > 0}\no := {"a": 1, "b": 2}',
    'p := count({v | some x in ["a","c"]; v := o[x]})\no := {"a": 1, "b": 2}',
    'p := sum([v | some x in ["a","c"]; v := o[x]])\no := {"a": 1, "b": 2}',
    'p := {x: v | some x in ["a","c"]; v := o[x]}\no := {"a": 1, "b": 2}',
    'p := {v: x | some x in ["a","c"]; v := o[x]}\no := {"a": 1, "b": 2}',
    'p contains v if { some x in ["a","c"]; v := o[x] }\no := {"a": 1, "b": 2}',
    'p[x] := v if { some x in ["a","c"]; v := o[x] }\no := {"a": 1, "b": 2}',
    'p[x] := o[x] if { some x in ["a","c"] }\no := {"a": 1, "b": 2}',
    'p contains o[x] if { some x in ["a","c"] }\no := {"a": 1, "b": 2}',
    'f(x) := x if x > 1\np contains f(x) if { some x in [1,2] }',
    'p contains {"m": input.z} if { some x in [1,2] }',
    'p := input.z if true',
    'p := input.z if { true } else := 3',
    'f(x) := input.z\np := f(1)',
    'f(x) := input.z\np if not f(1)',
    'f(x) := x if x > 1\np if f(1) == f(0)',
    'p if { every x in input.z { x } }',
    'p if { every x in ["a","c"] { v := o[x] } }\no := {"a": 1, "b": 2}',
    'p if { some x in input.z }',
    'p if not q\nq if some x in input.z',
    'p if 1 in input.z',
    'p if not 1 in input.z',
    'p := [z | some x in [1,2]; z := [y | y := input.z]]',
    'p if not count([y | y := input.z]) == 0',
    'p if count([y | y := input.z]) == 0',
    'p if { xs := {y | some x in ["a"]; y := input[x].b}; count(xs) == 0 }',
    'p := {1, input.z}',
    'p := [object.get({}, "x", input.z) | true]',
    'p contains sprintf("%v", [input.z])',
    'p contains {"code": "a", "message": sprintf("%v", [input.z])} if true',
    'f(x) := 1\nf(x) := 2\np if not f(1) == 1',
    'q := 1 if true\nq := 2 if true\np if q == 1',
    'q[x] := y if { some y in [1,2]; x := "a" }\np := q',
    'p if not [input.z] == [1]',
    'p if not count([input.z]) == 1',
    'f(x) := 1\np if not f(input.z)',
    'p if not startswith(input.z, "a")',
    'p if not input.z < 3',
    'p if not input.z + 1 == 3',
    'p if not input.z in {1,2}',
    'p if not 1 in {1, input.z}',
    'f(x) := x if x > 1\np if not upper(f(1)) == 1',
    'p if not o[input.z] == 1\no := {"a": 1, "b": 2}',
    'p if not sprintf("%v", [input.z]) == "1"',
    'p if not {"a": input.z} == {"a": 1}',
    'p if not array.concat([], [input.z]) == [1]',
    'p if not [x | x := input.z] == [1]',
    'p if not count({x | some x in [input.z]}) == 1',
    'p := [z | some x in [1,2]; z := [y | y := input.z; y == 1]]',
    'p := [z | some x in [1,2]; z := [y | some y in [3]; y == 1]]',
    'p := [x | some x in [1,2]; z := [y | y := input.z; y == 1]; count(z) == 0]',
    'p := [x | some x in [1,2]; count([y | y := input.z; y == 1]) == 0]',
    'p if { every x in ["a","c"] { o[x] } }\no := {"a": 1, "b": 2}',
    'p if { every x in ["a","c"] { o[x] == o[x] } }\no := {"a": 1, "b": 2}',
    'p if { every x in ["a","c"] { v := o[x]; v == v } }\no := {"a": 1, "b": 2}',
    'p if { every x in ["a","c"] { v := o[x]; v > 0 } }\no := {"a": 1, "b": 2}',
    'p if { every x in ["c","a"] { v := o[x]; v > 0 } }\no := {"a": 1, "b": 2}',
    'p if { every x in ["a","c"] { o[x] > 0 } }\no := {"a": 1, "b": 2}',
    'p if { every x in ["a","c"] { startswith(o[x], "") } }\no := {"a": "1", "b": "2"}',
    'f(x) if x == 1\np if { every x in [1,2] { f(x) } }',
    'f(x) if x == 1\np if { every x in [2,1] { f(x) } }',
    'p if { every x in [1,2] { x == 1 } }',
    'p if { every x in [{"a":1},{}] { x.a } }',
    'p if { every x in [{"a":1},{}] { x.a == 1 } }',
    'p if { every x in [{"a":1},{}] { is_number(x.a) } }',
    'p if { every x in [{"a":1},{"b":1}] { not x.b } }',
    'p contains o["a"]\no := {"a": 1}',
    'p contains input["a"] if true',
    'p contains input["z"] if true',
    'p contains {"code": "a", "message": sprintf("%v", [input["a"]])} if true',
    'p contains {\n\t"code": "a", # why\n\t"message": sprintf("%v", [ # x\n\t\tinput.a,\n\t]),\n} if {\n\ttrue # yes\n}',  # noqa: E501
    'p := input.z if { true } else := input.a if { true }',
    'f(x) := input.z if { x } else := 7\np := f(1)',
    'p contains input.z + 1',
    'p contains (input.z == 1)',
    'p if [a, b] := [1, input.z]',
    'p if { [a, b] := input.z }',
    'p := [a | some x in [1]; [a, b] := input.z]',
    'p if { {"x": a} := input.q }',
    'p if { some x; x = input.z }',
    'p := [x | some x; x = input.z]',
    'p := [x | x = input.z]',
    'p := [v | some x in ["a","c"]; v = o[x]]\no := {"a": 1, "b": 2}',
    'p if { every x in ["a","c"] { data.t.o[x] } }\no := {"a": 1, "b": 2}',
    'p if { o := {"a": 1}; every x in ["a","c"] { o[x] } }',
    'p if { every x in ["a","c"] { {"a": 1}[x] } }',
    'p if { every x in ["a","c"] { input[x] } }',
    'p if { every x in ["a","c"] { object.get(o, x, 0) == 1 } }\no := {"a": 1, "b": 2}',
    'p if { every x in input.l { o[x] } }\no := {"a": 1, "b": 2}',
    'p if { every x in d { o[x] } }\no := {"a": 1, "b": 2}\nd := ["a", "c"]',
    'p if { every x in ["a","c"] { x in o } }\no := {"a", "b"}',
    'p if { every x in ["a","c"] { o[x] } }\no := {"a", "b"}',
    'p if { every x in ["a","c"] { o[x] } }\no contains "a"',
    'p if { every x in ["a","c"] { o[x] } }\no[k] := 1 if some k in ["a"]',
    'p if { every x in ["c"] { o[x] } }\no := {"a": 1, "b": 2}',
    'p if { some x in ["c"]; o[x] }\no := {"a": 1, "b": 2}',
    'p if { some x in ["c"]; not o[x] }\no := {"a": 1, "b": 2}',
    'p := [x | some x in [1,2]; count([y | some y in []]) == 0]',
    'p := [x | some x in [1,2]; count([1 | x == 1]) == 0]',
    'p if { some x in [1,2]; count([1 | x == 1]) == 0 }',
    'p if { count([1 | input.a == 2]) == 0 }',
    'p if { every x in [1,2] { count([1 | x == 3]) == 0 } }',
    'p contains x if { some x in [1,2]; count([1 | x == 1]) == 0 }',
    'p contains x if { some x in [1,2]; count({y | some y in [1]; y == 3}) == 0 }',
    'f(x) := count([1 | x == 1])\np contains x if { some x in [1,2]; f(x) == 0 }',
    'p contains x if { some x in [1,2]; count([1 | not x == 1]) == 0 }',
]  # fmt: skip
CONFLICTS = [
    text
    for text in CONSTRUCTS
    if text.startswith(("q := true\nq := false", "f(x) := 1\nf(x) := 2", "q := 1 if", "q[x] := y"))
]
"""Rules that say two things: an error to OPA, nothing or one of the two to the compiled form. See policies/README.md."""  # noqa: E501


def opa_says(opa: str, text: str, folder: Path) -> Any:
    file = folder / "t.rego"
    file.write_text(text)
    command = [opa, "eval", "--data", str(file), "--stdin-input", "--format", "json", "data.t.p"]
    done = subprocess.run(command, input=json.dumps(INPUT), capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    if "errors" in said:
        return opa_cases.ERROR
    return said["result"][0]["expressions"][0]["value"] if said.get("result") else opa_cases.UNDEFINED


@pytest.mark.parametrize("text", CONSTRUCTS)
def test_it_is_read_alike_or_refused(text: str, tmp_path: Path) -> None:
    opa = real_parts.require("opa")
    module = Module("t.rego", f"package t\n\n{text}\n")
    theirs = opa_says(opa, module.text, tmp_path)
    case = opa_cases.Case("", "data.t.p", (module.text,), "{}", json.dumps(INPUT), theirs, False)
    ours = opa_cases.ask(case, "compiled")
    refused = str(ours).startswith(opa_cases.REFUSED) or list(unsure_negations(parse_module(module)))
    assert refused or text in CONFLICTS or ours == theirs, (theirs, ours)


def test_what_is_refused_is_said_with_its_line() -> None:
    text = "package t\n\np if every x in input.l {\n\tinput.o[x]\n}\n"
    assert [line for line, _ in disputed(parse_module(Module("t.rego", text)))] == [4]
