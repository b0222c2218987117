"""What a bundle's rules are made of: where each is, what it reads, and whether a piece of its text holds.

A piece of a rule is evaluated as it stands there: as a rule of one more module of the same package with the same
imports, by the engine's own interpreter. Nothing here understands Rego better than that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from safebox.firewall.engines.bundle import Bundle
from safebox.firewall.engines.machine import Interpreter, new_interpreter
from safebox.firewall.engines.syntax import Node, Path, Rule, Source, Tree, parse_module, references

UNDEFINED: Final = object()
"""What has no value."""
_QUOTES: Final = (b'"', b"`")


class Written(msgspec.Struct, frozen=True):
    """A rule where it is written."""

    source: Source
    rule: Rule

    @property
    def file(self) -> str:
        """Where people find it."""
        return self.source.module.origin or self.source.module.name

    @property
    def path(self) -> Path:
        """Its full name."""
        return (*self.source.package, *self.rule.name.split("."))


class Statement(msgspec.Struct, frozen=True):
    """One statement of a body: its kind (`Expr`, `NotExpr`, `SomeIn`, `Every`, …), its tree, where it is, its text."""

    kind: str
    tree: Tree
    line: int
    text: str


class Anatomy:
    """A bundle taken apart, and an interpreter that knows one input.

    Raises:
        PolicyUnavailable: if a module can't be parsed.
    """

    def __init__(self, bundle: Bundle, document: bytes) -> None:
        self._by_path: dict[Path, list[Written]] = {}
        self._engine = new_interpreter()
        for module in bundle.modules:
            source = parse_module(module)
            self._engine.add_policy(module.name, module.text)
            for rule in source.rules:
                written = Written(source, rule)
                self._by_path.setdefault(written.path, []).append(written)
        self.data: dict[str, Any] = json.loads(bundle.data)
        self.input: dict[str, Any] = json.loads(document)
        self._engine.add_data_json(bundle.data)
        self._document = document.decode()
        self._count = 0

    def rules(self) -> Iterator[Written]:
        """Every rule."""
        for written in self._by_path.values():
            yield from written

    def at(self, path: Path) -> list[Written]:
        """The rules of this full name, or of the name this path goes on from."""
        for length in range(len(path), 1, -1):
            if (found := self._by_path.get(path[:length])) is not None:
                return found
        return []

    def reads(self, written: Written) -> frozenset[Path]:
        """Every path of the input and of the data that a rule reads, by itself or by what it refers to."""
        found: set[Path] = set()
        seen: set[int] = set()
        pending = [written]
        while pending:
            each = pending.pop()
            if id(each) in seen:
                continue
            seen.add(id(each))
            for path in paths(each):
                pending += self.at(path)
                if path[0] == "input" or path[:2] == ("data", "data"):
                    found.add(path)
        return frozenset(found)

    def values(self, source: Source, texts: Sequence[str], bound: Mapping[str, Any]) -> list[Any]:
        """Evaluate expressions as if they stood in a file; `UNDEFINED` for each that has no value.

        Args:
            source: the file.
            texts: the expressions.
            bound: values of the variables that are set there.
        """
        rules = [f"\tvalue := {text}" for text in texts]
        return self._evaluate(source, rules, bound, "value")

    def holds(self, source: Source, bodies: Sequence[str], bound: Mapping[str, Any]) -> list[bool]:
        """Whether bodies of a rule hold, each by itself, as if they stood in a file."""
        return [value is True for value in self._evaluate(source, bodies, bound, "true")]

    def _evaluate(self, source: Source, bodies: Sequence[str], bound: Mapping[str, Any], value: str) -> list[Any]:
        engine, package = self._engine.clone(), ".".join(source.package[1:])
        names: list[str] = []
        text = [f"package {package}", *_imports(source)]
        given = "".join(f"\t{name} := {json.dumps(item)}\n" for name, item in bound.items())
        for body in bodies:
            self._count += 1
            names.append(f"explained__{self._count}")
            text.append(f"{names[-1]} := {value} if {{\n{given}{body}\n}}")
        try:
            engine.add_policy(f"explained/{self._count}.rego", "\n\n".join(text))
            engine.set_input_json(self._document)
        except RuntimeError:  # a piece that can't stand by itself has no value
            return [UNDEFINED for _ in bodies]
        return [_value(engine, f"data.{package}.{name}") for name in names]


def _value(engine: Interpreter, path: str) -> Any:
    try:
        text = engine.eval_rule_as_json(path)
        return UNDEFINED if text == '"<undefined>"' else json.loads(text)
    except (RuntimeError, ValueError):  # no value: an error within is one, too
        return UNDEFINED


def _imports(source: Source) -> list[str]:
    lines = source.module.text.splitlines()
    return [lines[imported.line - 1] for imported in source.imports]


def paths(written: Written) -> Iterator[Path]:
    """The full paths one rule refers to, but for its own arguments."""
    rule = written.rule
    for reference in references([rule.value, *rule.bodies]):
        if reference.path[0] not in rule.arguments:
            yield written.source.resolve(reference.path)


def statements(source: Source, query: Node) -> list[Statement]:
    """The statements of a body, in their order."""
    found: list[Statement] = []
    for each in query["stmts"]:
        ((kind, tree),) = each["literal"].items()
        found.append(Statement(kind, tree, each["span"]["line"], text_at(source, each["span"])))
    return found


def text_at(source: Source, span: Node) -> str:
    """A piece of a file's text. The parser leaves out the quotes of a text that a piece begins or ends with."""
    text, start, end = source.module.text.encode(), span["start"], span["end"]
    start -= text[start - 1 : start] in _QUOTES
    end += text[end : end + 1] in _QUOTES
    return text[start:end].decode()
