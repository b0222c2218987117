"""Which fields of the question the rules look at when they judge a tool, read off their syntax trees.

From the entrypoint on, every rule and function that can be reached is followed; a body that is about another kind, tool
or caller is not. What a rule reads counts with what is above it, and, unless only its type is asked, what is below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from safebox.firewall.engines.bundle import Bundle
from safebox.firewall.engines.embedded import ENTRYPOINT
from safebox.firewall.engines.syntax import (
    Node,
    Rule,
    Source,
    comparisons,
    field_of,
    nodes,
    parse_module,
    references,
    static_path,
    text_of,
)

Place = tuple[str, ...]
ASKED_FOR_ITS_TYPE = {"is_object", "is_array", "is_string", "is_number", "is_boolean", "is_null"}


class Read(NamedTuple):
    """Places that are looked at: `whole` with all that is below them."""

    plain: frozenset[Place]
    whole: frozenset[Place]

    def covers(self, place: Place) -> bool:
        """Whether this place, one above it, or one below it is looked at."""
        above = any(read[: len(place)] == place for read in self.plain | self.whole)
        return above or any(place[: len(read)] == read for read in self.whole)


class Rules:
    """All rules of a bundle, by their full names."""

    def __init__(self, bundle: Bundle) -> None:
        self._sources = [parse_module(module) for module in bundle.modules]
        self._rules: dict[Place, list[tuple[Source, Rule]]] = {}
        for source in self._sources:
            for rule in source.rules:
                self._rules.setdefault((*source.package, *rule.name.split(".")), []).append((source, rule))

    def read_for(self, action: Mapping[str, Any]) -> Read:
        """What is looked at when this action (`action` of the policy input) is judged."""
        plain, whole, seen = set[Place](), set[Place](), set[Place]()
        waiting: list[Place] = [tuple(ENTRYPOINT.split("."))]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for source, rule in self._rules[name]:
                for tree in self._about(source, rule, action):
                    typed = {static_path(each) for each in _asked_for_type(tree)}
                    for reference in references(tree):
                        path = source.resolve(reference.path)
                        if path[0] == "input" and len(path) > 1:
                            (plain if reference.path in typed else whole).add(path[1:])
                        elif (called := self._named(path)) is not None:
                            waiting.append(called)
        return Read(frozenset(plain), frozenset(whole))

    def _named(self, path: Place) -> Place | None:
        return next((path[:size] for size in range(len(path), 2, -1) if path[:size] in self._rules), None)

    def _about(self, source: Source, rule: Rule, action: Mapping[str, Any]) -> Iterator[Any]:
        """The bodies of a rule that are about such an action, and its value with them."""
        bodies = [body for body in rule.bodies if not self._contradicts(source, body, action)]
        if bodies or not rule.bodies:
            yield from [rule.value, *bodies]

    def _contradicts(self, source: Source, body: Any, action: Mapping[str, Any]) -> bool:
        statements = [each["literal"]["Expr"]["expr"] for each in body["stmts"] if "Expr" in each["literal"]]
        for statement in statements:
            for name in ("kind", "tool", "caller"):
                if action[name] not in (self._allowed(source, statement, name) or {action[name]}):
                    return True
        return False

    def _allowed(self, source: Source, statement: Node, name: str) -> set[str | None] | None:
        """The values a statement lets a field of the action have, if it is about that."""
        field = ("input", "action", name)
        if "BoolExpr" in statement:
            ((operator, left, right, _),) = list(comparisons(statement))[:1]
            if operator != "Eq" or text_of(right) is None:
                return None
            return {text_of(right)} if static_path(left) == field else self._keys(source, left, field, text_of(right))
        member = statement.get("Membership")
        if member is None or static_path(member["value"]) != field:
            return None
        return self._members(source, member["collection"])

    def _keys(self, source: Source, left: Any, field: Place, wanted: str | None) -> set[str | None] | None:
        """The values of the field for which `left`, a rule that looks the field up in a table, gives what is wanted."""
        looked_up = self._value(source, static_path(left)).get("RefBrack")
        if looked_up is None or static_path(looked_up["index"]) != field:
            return None
        table = self._value(source, static_path(looked_up["refr"])).get("Object", {}).get("fields", [])
        return {text_of(key) for _, key, value in table if text_of(value) == wanted} or None

    def _value(self, source: Source, path: Place) -> Node:
        """What a rule of a file is; nothing if the path names none."""
        named = self._rules.get((*source.package, *path))
        nothing: Node = {}
        return next(nodes(named[0][1].value), nothing) if named else nothing

    def _members(self, source: Source, collection: Any) -> set[str | None] | None:
        path = static_path(collection)
        if path:
            named = self._rules.get((*source.package, path[0]))
            collection = field_of(named[0][1].value, path[1]) if named and len(path) == 2 else []
        sets = [node["Set"]["items"] for node in nodes(collection) if "Set" in node]
        return {text_of(item) for item in sets[0]} if sets else None


def _asked_for_type(tree: Any) -> Iterator[Any]:
    for node in nodes(tree):
        call = node.get("Call")
        if call is not None and ".".join(static_path(call["fcn"])) in ASKED_FOR_ITS_TYPE:
            yield from call["params"]
        compared = node.get("BoolExpr")
        if compared is not None and "Null" in compared["rhs"]:
            yield compared["lhs"]
