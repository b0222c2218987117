"""OPA's own compliance cases, asked of the embedded engine: which it fails, and which builtin is to blame.

`python -m tests.opa_cases` writes what it finds into `disagreements.json`, beside the builtins that are allowed.

The compiled form is what decides. The interpreter, which runs tests and explains, makes an error of what a builtin
refuses, where a server says nothing: that is no disagreement here, both are no yes.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from safebox.firewall.engines.builtins import ALLOWED
from safebox.firewall.engines.bundle import Module
from safebox.firewall.engines.disputed import disputed
from safebox.firewall.engines.embedded import PANICS, first_line
from safebox.firewall.engines.guards import guarded
from safebox.firewall.engines.machine import compile_program, new_interpreter, new_machine
from safebox.firewall.engines.syntax import parse_module
from safebox.firewall.errors import PolicyUnavailable
from tests import real_parts

LIST = real_parts.ROOT / "firewall/safebox/firewall/engines/disagreements.json"
RULE = re.compile(r"data((?:\.\w+|\[\"[^\"]+\"\])+) = (\w+)")
"""The query of nearly all cases: one rule, and a name for what it says."""
LANGUAGE = "the language"
"""What is to blame for a case that calls nothing but what policies may call."""
UNDEFINED = "undefined"
ERROR = "an error"
REFUSED = "refused"
"""It is not taken at load: nobody has a wrong answer of it."""
BATCH = 200
"""Cases a process is asked at most: one that ends it costs only the rest of its batch a second start."""
SECONDS = 60.0


class Case(msgspec.Struct, frozen=True):
    """One case: a rule, what it is judged by, and what it says."""

    name: str
    rule: str
    modules: tuple[str, ...]
    data: str
    input: str | None
    wanted: Any
    sort: bool

    @property
    def calls(self) -> frozenset[str]:
        """Every name that is called in it, its own functions too."""
        return frozenset(re.findall(r"([a-z_][\w.]*)\(", "\n".join(self.modules)))


class _Loader(yaml.SafeLoader):
    """YAML as JSON has it: no dates, no octal numbers, no `yes`."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "int", "float", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Resolves = cast("Any", _Loader)
_Resolves.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Resolves.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?\d+(?:\.\d+)?[eE][-+]?\d+$"), list("-0123456789")
)


def read(folder: Path) -> tuple[list[Case], int]:
    """The cases that ask for one rule, by name, and how many others there are."""
    found: dict[str, Case] = {}
    others = 0
    for path in sorted(folder.rglob("*.yaml")):
        document = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader
        for number, raw in enumerate(cast("list[dict[str, Any]]", document["cases"])):
            name = str(raw["note"])
            case = _case(name if name not in found else f"{name} ({path.stem} {number})", raw)
            if case is None:
                others += 1
            else:
                found[case.name] = case
    return [found[name] for name in sorted(found)], others


def _case(name: str, raw: Mapping[str, Any]) -> Case | None:
    rule = RULE.fullmatch(raw["query"])
    if rule is None or raw.get("env") or ("input_term" in raw and not _is_json(raw["input_term"])):
        return None
    given = raw.get("input_term")
    text = given if given is not None else json.dumps(raw["input"]) if "input" in raw else None
    return Case(
        name=name,
        rule="data" + rule[1],
        modules=tuple(raw.get("modules") or ()),
        data=json.dumps(raw.get("data") or {}),
        input=text,
        wanted=_wanted(raw, rule[2]),
        sort=bool(raw.get("sort_bindings")),
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _wanted(raw: Mapping[str, Any], name: str) -> Any:
    """What a server says, which takes a builtin that fails for undefined."""
    if raw.get("strict_error"):
        return UNDEFINED
    if "want_error" in raw or "want_error_code" in raw:
        return ERROR
    results = raw.get("want_result")
    if results:
        return results[0].get(name)
    return True if raw.get("want_defined") else UNDEFINED


def ask(case: Case, form: str) -> Any:
    """What the embedded engine says: a value, UNDEFINED, or an error's text behind `ERROR`."""
    modules = [Module(f"{number}.rego", text) for number, text in enumerate(case.modules)]
    try:
        for line, why in [each for module in modules for each in disputed(parse_module(module))]:
            return f"{REFUSED}: line {line}: {why}"
        said = _interpreted(case, modules) if form == "interpreter" else _compiled(case, modules)
    except PolicyUnavailable as error:
        return f"{REFUSED}: {error.cause}"
    except RuntimeError as error:
        return f"{ERROR}: {first_line(error)}"
    except BaseException as panic:
        if type(panic).__module__ != PANICS:
            raise
        return f"a panic: {first_line(panic)}"
    return UNDEFINED if said in ("", '"<undefined>"') else json.loads(said)


def _interpreted(case: Case, modules: list[Module]) -> str:
    engine = new_interpreter()
    for module in modules:
        engine.add_policy(module.name, module.text)
    engine.add_data_json(case.data)
    if case.input is not None:
        engine.set_input_json(case.input)
    return engine.eval_rule_as_json(case.rule)


def _compiled(case: Case, modules: list[Module]) -> str:
    texts = [(module.name, guarded(parse_module(module)).text) for module in modules]
    try:
        program = compile_program(case.data, texts, [case.rule])
    except RuntimeError as error:
        raise PolicyUnavailable(first_line(error)) from error
    machine = new_machine()
    machine.load_program(program)
    machine.set_data_json(case.data)
    if case.input is not None:
        machine.set_input_json(case.input)
    return machine.execute_entry_point(case.rule)


def disagrees(case: Case, form: str, said: Any) -> str | None:
    """What is wrong with an answer, in a few words; nothing if it is what OPA says."""
    failed = isinstance(said, str) and said.startswith((f"{ERROR}: ", "a panic: ", f"{REFUSED}: "))
    if case.wanted == ERROR:
        return None if failed else "no error"
    if failed and form == "interpreter" and case.wanted == UNDEFINED:
        return None
    if failed:
        return cast("str", said).partition(":")[0]
    if _sorted(said, case) == _sorted(case.wanted, case):
        return None
    return "nothing" if said == UNDEFINED else "another answer"


def _sorted(value: Any, case: Case) -> str:
    if case.sort and isinstance(value, list):
        value = sorted(cast("Any", value), key=_text)
    return _text(value)


def _text(value: Any) -> str:
    """A value so that 1 and 1.0 are one, and 1 and true are two."""
    return json.dumps(value, sort_keys=True, default=str).replace(".0,", ",").replace(".0]", "]").removesuffix(".0")


def survey(cases: Sequence[Case]) -> dict[str, dict[str, str]]:
    """Every case that fails in a form, with what is wrong, by the form; asked in processes that may end."""
    found: dict[str, dict[str, str]] = {"compiled": {}, "interpreter": {}}
    for form, failing in found.items():
        left = list(cases)
        while left:
            told, ended = _in_a_child(form, left[:BATCH])
            failing |= {name: wrong for name, wrong in told.items() if wrong}
            if ended:
                failing[left[len(told)].name] = ended
            left = left[len(told) + bool(ended) :]
    return found


def _in_a_child(form: str, cases: Sequence[Case]) -> tuple[dict[str, str | None], str]:
    """What a child found of each case until it ended, and how it ended if not well."""
    command = [sys.executable, "-m", "tests.opa_cases", form]
    asked = msgspec.json.encode(cases)
    try:
        done = subprocess.run(
            command, input=asked, capture_output=True, timeout=SECONDS, cwd=real_parts.ROOT, check=False
        )
        out, how = done.stdout, "" if done.returncode == 0 else "ends the process"
    except subprocess.TimeoutExpired as error:
        out, how = error.stdout or b"", "no end"
    told = dict(cast("tuple[str, str | None]", json.loads(line)) for line in out.splitlines())
    return told, how if len(told) < len(cases) else ""


def _child(form: str) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for case in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Case]):
        print(json.dumps([case.name, disagrees(case, form, ask(case, form))]), flush=True)


def builtins(opa: str) -> frozenset[str]:
    """Every builtin function OPA has."""
    done = subprocess.run([opa, "capabilities", "--current"], capture_output=True, check=True)
    return frozenset(str(each["name"]) for each in json.loads(done.stdout)["builtins"])


def blamed(case: Case, known: frozenset[str]) -> list[str]:
    """Whose fault it is when a case fails: the builtins that policies may not call anyway, or Rego itself."""
    return sorted((case.calls & known) - ALLOWED) or [LANGUAGE]


def listing(cases: Sequence[Case], known: frozenset[str]) -> str:
    """What is checked in: builtin, case, and what is wrong in which form."""
    found = survey(cases)
    lines: dict[str, dict[str, str]] = {}
    for case in cases:
        wrong = ", ".join(f"{form}: {failing[case.name]}" for form, failing in found.items() if case.name in failing)
        for name in blamed(case, known) if wrong else ():
            lines.setdefault(name, {})[case.name] = wrong
    return json.dumps(lines, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write the list, or be the child that asks."""
    if len(sys.argv) > 1:
        _child(sys.argv[1])
        return
    cases, _ = read(Path(real_parts.find("opa_cases").at))
    LIST.write_text(listing(cases, builtins(real_parts.find("opa").at)))


if __name__ == "__main__":
    main()
