"""Rego that the embedded engine and OPA read differently: refused at load, with a way to write it that both read alike.

Each of these was found by asking both (`tests/adversarial/test_both_engines_read_every_construct_alike.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from safebox.firewall.engines.syntax import Node, Source, Tree, nodes

COMPREHENSIONS: Final = ("ArrayCompr", "SetCompr", "ObjectCompr")

_NEGATION: Final = (
    "where a part of what is negated is undefined, OPA gives up the whole rule; negate a rule or function"
)

Dispute = tuple[int, str]
"""A line, and what is wrong with it."""


def disputed(source: Source) -> Iterator[Dispute]:
    """Name each construct of a module that has another meaning on one of the engines."""
    for imported in source.imports:
        if imported.path[:3] == ("future", "keywords", "not"):
            yield imported.line, "future.keywords.not is not known to every engine"
    for rule in source.rules:
        if rule.kind == "default":
            yield from _default(rule.tree, rule.line)
        else:
            yield from _in_rule(rule.tree)


def _default(tree: Node, line: int) -> Iterator[Dispute]:
    if tree.get("args"):
        yield line, "the default of a function is not known to every engine; give it an else"
    if any(name in node for node in nodes(tree["value"]) for name in COMPREHENSIONS):
        yield line, "a default that is computed is empty on one engine; write the value, or a rule"


def _in_rule(tree: Node) -> Iterator[Dispute]:
    every: list[Node] = []
    inner: list[Node] = []
    for node in nodes(tree):
        if "Every" in node:
            every.append(node["Every"])
        inner += [node[name]["query"] for name in COMPREHENSIONS if name in node]
    for each in every:
        yield from _lookups(each["query"])
    if inner:
        yield from _still_comprehensions([*(body["query"] for body in tree["bodies"]), *inner])


def _lookups(query: Node) -> Iterator[Dispute]:
    """Lookups by what is computed, in an `every`."""
    for node in nodes(query):
        bracket = node.get("RefBrack")
        if bracket is not None and "String" not in bracket["index"] and "Number" not in bracket["index"]:
            why = "in every, looking up what isn't there counts as true on one engine; use object.get, or a function"
            yield bracket["span"]["line"], why


def _still_comprehensions(queries: Iterable[Node]) -> Iterator[Dispute]:
    """A comprehension that goes over nothing, in a query that goes over something."""
    for query in queries:
        if not _loops(query):
            continue
        for node in nodes(query["stmts"]):
            for name in COMPREHENSIONS:
                if name in node and not _loops(node[name]["query"]):
                    why = "a comprehension without `some`, in a query with one, ends it on one engine; use a function"
                    yield node[name]["span"]["line"], why


def _loops(query: Node) -> bool:
    return any("SomeIn" in statement["literal"] for statement in query["stmts"]) or any(
        _is_wildcard(node) for node in nodes(query["stmts"])
    )


def _is_wildcard(node: Node) -> bool:
    index: Any = node.get("RefBrack", {}).get("index", {})
    return cast("str", index.get("Var", {}).get("value", "")).startswith("_")


def unsure_negations(source: Source) -> Iterator[Dispute]:
    """Name each `not` over more than a name or a path.

    OPA takes the parts out of it, and where one is undefined the whole rule fails instead of going on.
    """
    elsewhere = (
        {rule.name for rule in source.rules} | {imported.name for imported in source.imports} | {"input", "data"}
    )
    for rule in source.rules:
        for node in nodes(rule.tree):
            negated = node.get("NotExpr")
            if negated is not None and _takes_apart(negated["expr"], elsewhere - rule.arguments):
                yield negated["span"]["line"], _NEGATION


def _takes_apart(tree: Node, elsewhere: Iterable[str]) -> bool:
    """Whether anything that is negated is made of what may be undefined."""
    names = frozenset(elsewhere)
    if any(key in tree for key in ("Var", "RefDot", "RefBrack")):
        return False
    call: Node | None = tree.get("Call")
    return any(_reaches(part, names) for part in ([tree] if call is None else call["params"]))


def _reaches(tree: Tree, names: frozenset[str]) -> bool:
    return any(
        "RefDot" in node or "RefBrack" in node or "Call" in node or node.get("Var", {}).get("value") in names
        for node in nodes(tree)
    )
