"""Rego files as syntax trees: what they call, what they refer to, what their rules are.

The parser is the embedded engine's own, so what is checked is what will run. Parsing foreign text can end the process
(a stack overflow is no exception), so whoever is to stay alive does it in a child; see `validate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec

from safebox.firewall.engines.bundle import Module
from safebox.firewall.engines.embedded import first_line
from safebox.firewall.engines.machine import new_interpreter
from safebox.firewall.errors import PolicyUnavailable

Path = tuple[str, ...]
"""A dotted path such as `("data", "safebox", "main")`."""
Tree = Any
"""A piece of syntax as the parser's JSON has it: a node, a list of them, or a plain value."""
Node = dict[str, Any]

_PLACE: Final = re.compile(r"--> .*?:(\d+):\d+")
_LEAVES: Final = frozenset({"span", "eidx", "sidx", "qidx"})


class PolicySyntaxError(PolicyUnavailable):
    """A Rego file can't be parsed; `line` is where."""

    def __init__(self, cause: str, *, line: int) -> None:
        super().__init__(cause, kind="broken")
        self.line = line


class Import(msgspec.Struct, frozen=True):
    """One import: the name it has in the file, and what it stands for."""

    name: str
    path: Path
    line: int


class Rule(msgspec.Struct, frozen=True):
    """One rule as written: rules of the same name are separate values here."""

    name: str
    kind: str
    """`default`, `complete`, `set` or `function`."""
    line: int
    arguments: frozenset[str]
    value: Tree
    """The tree of what the head gives: the value, or the member of a set."""
    bodies: tuple[Tree, ...]
    """The trees of the bodies' queries."""
    tree: Tree


class Source(msgspec.Struct, frozen=True):
    """One parsed module."""

    module: Module
    package: Path
    package_line: int
    imports: tuple[Import, ...]
    rules: tuple[Rule, ...]
    names: frozenset[str]
    """What the file's own rules are called, up to the first dot."""

    def text_at(self, tree: Tree) -> str:
        """What is written where an expression is; empty if the tree doesn't say."""
        for node in _parts(tree):
            for part in node.values():
                span: Node = cast(Node, part).get("span", {}) if isinstance(part, dict) else {}
                if span:
                    return self.module.text.encode()[span["start"] : span["end"]].decode()
        return ""

    def reads_input(self, tree: Tree) -> bool:
        """Whether a piece of this file refers to the input by itself, not by way of a rule."""
        return any(reference.path and self.resolve(reference.path)[0] == "input" for reference in references(tree))

    def resolve(self, path: Path) -> Path:
        """Say a path as written in this file in full: imports and the file's own rules become `data` paths."""
        for imported in self.imports:
            if path[0] == imported.name:
                return imported.path + path[1:]
        if path[0] in self.names:
            return self.package + path
        return path


class Reference(msgspec.Struct, frozen=True):
    """A path in the text, up to its first computed part."""

    path: Path
    line: int
    called: bool = False


def parse_module(module: Module) -> Source:
    """Parse one Rego file.

    Raises:
        PolicySyntaxError: if it isn't Rego.
    """
    engine = new_interpreter()
    try:
        engine.add_policy(module.name, module.text)
    except RuntimeError as error:
        place = _PLACE.search(str(error))
        cause = first_line(error).rpartition("error: ")[2]
        line = int(place[1]) if place else 1
        raise PolicySyntaxError(f"{module.name}:{line}: {cause}", line=line) from error
    (tree,) = msgspec.json.decode(engine.get_ast_as_json())
    syntax = tree["ast"]
    rules = tuple(_read_rule(item) for item in syntax["rules"])
    return Source(
        module=module,
        package=("data", *_static(syntax["package"]["refr"])),
        package_line=syntax["package"]["span"]["line"],
        imports=tuple(_read_import(item, module.text.encode()) for item in syntax["imports"]),
        rules=rules,
        names=frozenset(rule.name.partition(".")[0] for rule in rules),
    )


def references(tree: Tree) -> Iterator[Reference]:
    """Every path in a tree. What `with` replaces is not looked at; what it is replaced by is."""
    for node in _parts(tree):
        yield from _references_of_node(node)


def literals(tree: Tree) -> Iterator[tuple[str, Tree]]:
    """Every statement of a tree's queries, nested ones too: its kind (`Expr`, `NotExpr`, `SomeIn`, …) and its tree."""
    for node in nodes(tree):
        yield from node.get("literal", {}).items()


def comparisons(tree: Tree) -> Iterator[tuple[str, Tree, Tree, int]]:
    """Every comparison in a tree: operator (`Lt`, `Le`, `Eq`, `Ge`, `Gt`, `Ne`), both sides, and the line."""
    for node in nodes(tree):
        if (compared := node.get("BoolExpr")) is not None:
            yield compared["op"], compared["lhs"], compared["rhs"], compared["span"]["line"]


def nodes(tree: Tree) -> Iterator[Node]:
    """Every node of a tree, outer ones first."""
    waiting = _parts(tree)[::-1]
    while waiting:
        node = waiting.pop()
        yield node
        inner: list[Node] = []
        for key, item in node.items():
            if key not in _LEAVES:
                inner += _parts(item)
        waiting += inner[::-1]


def static_path(tree: Tree) -> Path:
    """The path an expression is, up to its first computed part; empty if it is none."""
    return _static(tree)


def text_of(tree: Tree) -> str | None:
    """The text an expression is, if it is a literal one."""
    for node in _parts(tree):
        literal: Node | None = node.get("String") or node.get("RawString")
        return literal["value"] if literal else None
    return None


def field_of(tree: Tree, key: str) -> Tree:
    """One field of an object literal, or None."""
    for node in _parts(tree):
        fields: list[tuple[Tree, Tree, Tree]] = node.get("Object", {}).get("fields", [])
        return next((value for _, name, value in fields if text_of(name) == key), None)
    return None


def _parts(tree: Tree) -> list[Node]:
    """The nodes a tree is made of: itself, or the members of a list; nothing for a plain value."""
    if tree.__class__ is dict:
        return [tree]
    if tree.__class__ in (list, tuple):
        return [node for item in tree for node in _parts(item)]
    return []


def _references_of_node(node: Node) -> Iterator[Reference]:
    if (call := node.get("Call")) is not None:
        path = _static(call["fcn"])
        yield Reference(path, call["span"]["line"], called=True)
        yield from references(call["params"])
        return
    if "refr" in node and "as" in node:
        yield from references(node["as"])
        return
    kind = next((kind for kind in ("Var", "RefDot", "RefBrack") if kind in node), None)
    if kind is not None:
        path = _static(node)
        if path:
            yield Reference(path, node[kind]["span"]["line"])
        yield from _computed_parts(node)
        return
    for key, item in node.items():
        if key not in _LEAVES:
            yield from references(item)


def _computed_parts(node: Node) -> Iterator[Reference]:
    if (dotted := node.get("RefDot")) is not None:
        yield from _computed_parts(dotted["refr"])
    elif (bracket := node.get("RefBrack")) is not None:
        yield from _computed_parts(bracket["refr"])
        if text_of(bracket["index"]) is None:
            yield from references(bracket["index"])
    elif "Var" not in node:
        yield from references(node)


def _static(node: Node) -> Path:
    path, _ = _static_part(node)
    return path


def _static_part(node: Node) -> tuple[Path, bool]:
    """The path so far, and whether it may go on."""
    if (variable := node.get("Var")) is not None:
        return (variable["value"],), True
    if (dotted := node.get("RefDot")) is not None:
        path, open_ = _static_part(dotted["refr"])
        return ((*path, dotted["field"][1]), True) if open_ else (path, False)
    if (bracket := node.get("RefBrack")) is not None:
        path, open_ = _static_part(bracket["refr"])
        index = text_of(bracket["index"])
        return ((*path, index), True) if open_ and index is not None else (path, False)
    return (), False


def _read_import(item: Node, text: bytes) -> Import:
    path = _static(item["refr"])
    alias = item.get("as")
    name = text[alias["start"] : alias["end"]].decode() if alias else path[-1]
    return Import(name, path, item["span"]["line"])


def _read_rule(item: Node) -> Rule:
    if (default := item.get("Default")) is not None:
        return Rule(
            ".".join(_static(default["refr"])),
            "default",
            default["span"]["line"],
            frozenset(),
            default["value"],
            (),
            default,
        )
    spec = item["Spec"]
    ((form, head),) = spec["head"].items()
    kind = {"Compr": "complete", "Set": "set", "Func": "function"}[form]
    given: Node = head.get("assign") or {}
    assigned = head["key"] if form == "Set" else given.get("value")
    arguments = frozenset(part for argument in head.get("args", ()) for part in _static(argument)[:1])
    bodies = tuple(body["query"] for body in spec["bodies"])
    return Rule(".".join(_static(head["refr"])), kind, spec["span"]["line"], arguments, assigned, bodies, spec)
