"""Makes the compiled form take what is undefined for what it is.

The virtual machine of regorus goes on after `x := e` where `e` is undefined, and takes an undefined head (of a
comprehension, of a member of a set, of a key or value of an object, of an answer with an `else`) for a text. Rego, OPA
and the interpreter say that nothing holds there. `good if x := input.cap` would be true without any cap.

So what is compiled has a comparison of each such term with itself, at the end of its query: nothing new to Rego, and
not true to the machine where the term is undefined. No line moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, cast

from safebox.firewall.engines.bundle import Module
from safebox.firewall.engines.syntax import Node, Rule, Source, Tree, nodes

_COMPREHENSIONS: Final = ("ArrayCompr", "SetCompr", "ObjectCompr")
_REFERENCES: Final = frozenset({"Var", "RefDot", "RefBrack", "Call", "BoolExpr", "ArithExpr", "BinExpr", "Membership"})
"""Terms that may be undefined though their parts are not, or because one of them is not."""


class _Insertion(NamedTuple):
    at: int
    text: str


def guarded(source: Source) -> Module:
    """A module with guards, for the machine alone."""
    module = source.module
    raw = module.text.encode()
    found = sorted({each for rule in source.rules for each in _rule(rule, raw)}, reverse=True)
    for insertion in found:
        raw = raw[: insertion.at] + insertion.text.encode() + raw[insertion.at :]
    return Module(module.name, raw.decode(), module.origin)


def _rule(rule: Rule, raw: bytes) -> Iterator[_Insertion]:
    if rule.kind == "default":
        return
    spec: Node = rule.tree
    ((form, head),) = spec["head"].items()
    bodies: list[Node] = spec["bodies"]
    terms = list(_head_terms(form, head))
    if not bodies and (form == "Set" or "RefBrack" in head["refr"]) and (guards := _guards(terms, (), raw)):
        yield _Insertion(spec["span"]["end"], f" if {{ {'; '.join(guards)} }}")
    for number, body in enumerate(bodies):
        own = terms if number == 0 else [body["assign"]["value"]] if body.get("assign") else []
        yield from _query(body["query"], own, raw)
    for node in nodes([spec["head"], *bodies]):
        for name in (*_COMPREHENSIONS, "Every"):
            if (inner := node.get(name)) is not None:
                terms = [inner[key] for key in ("term", "key", "value") if key in inner and name != "Every"]
                yield from _query(inner["query"], terms, raw)


def _head_terms(form: str, head: Node) -> Iterator[Tree]:
    if form == "Set":
        yield head["key"]
    elif head.get("assign"):
        yield head["assign"]["value"]
    bracket = head["refr"].get("RefBrack")
    if bracket is not None:
        yield bracket["index"]


def _query(query: Node, terms: Iterable[Tree], raw: bytes) -> Iterator[_Insertion]:
    statements: list[Node] = query["stmts"]
    assigned = list(_assigned(statements))
    guards = [*(f"{name} == {name}" for name in assigned), *_guards(terms, _bound(statements), raw)]
    if not guards or not statements:  # an else without a query has nothing after it
        return
    start, end = query["span"]["start"], query["span"]["end"]
    text = "; ".join(guards)
    if statements[0]["span"]["start"] == start:  # a single statement without braces
        yield _Insertion(start, "{ ")
        yield _Insertion(end, f"; {text} }}")
    else:
        after = raw[statements[-1]["span"]["end"] : end]
        yield _Insertion(end - 1, f"{text} " if b"\n" in after else f"; {text} ")


def _assigned(statements: Iterable[Node]) -> Iterator[str]:
    """Variables that get what may be undefined."""
    for statement in statements:
        assign: Node | None = statement["literal"].get("Expr", {}).get("expr", {}).get("AssignExpr")
        if assign is not None and assign["op"] == "ColEq" and "Var" in assign["lhs"] and not _is_defined(assign["rhs"]):
            yield assign["lhs"]["Var"]["value"]


def _bound(statements: Iterable[Node]) -> frozenset[str]:
    """Variables that have a value wherever the query holds."""
    names: list[str] = []
    for statement in statements:
        literal = statement["literal"]
        assign: Node | None = literal.get("Expr", {}).get("expr", {}).get("AssignExpr")
        for part in (assign and assign["lhs"], *(literal.get("SomeIn", {}).get(key) for key in ("key", "value"))):
            if part and "Var" in part:
                names.append(part["Var"]["value"])
    return frozenset(names)


def _guards(terms: Iterable[Tree], bound: Iterable[str], raw: bytes) -> list[str]:
    known = frozenset(bound)
    texts = [_text(part, raw) for term in terms for part in _open_parts(term, known)]
    return [f"{text} == {text}" for text in dict.fromkeys(texts)]


def _is_defined(term: Tree) -> bool:
    return not any(_open_parts(term, frozenset()))


def _open_parts(term: Tree, known: frozenset[str]) -> Iterator[Node]:
    """The parts of a term that may be undefined: what it refers to or calls, but for variables that are bound."""
    if isinstance(term, list | tuple):
        for part in cast("list[Any]", term):
            yield from _open_parts(part, known)
    elif isinstance(term, dict):
        node = cast("Node", term)
        for name, part in node.items():
            if (name == "Var" and part["value"] in known) or name in _COMPREHENSIONS:
                return
            if name in _REFERENCES:
                yield node
                return
            if name not in ("span", "eidx"):
                yield from _open_parts(part, known)


def _text(term: Node, raw: bytes) -> str:
    """A term as it is written."""
    ((_, part),) = term.items()
    return raw[part["span"]["start"] : part["span"]["end"]].decode()
