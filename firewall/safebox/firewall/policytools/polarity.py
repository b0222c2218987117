"""Follows each deny and hold into the helpers it rests on, and finds where an absent field would let an action pass.

What is undefined doesn't hold, and `not` of it holds. So a helper that proves the good case (it is reached through an
odd number of `not`) must not hold because something of the input is absent, and one that proves the bad case (an even
number) must not fail to hold for that reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from safebox.firewall.engines.syntax import (
    Path,
    Rule,
    Source,
    Tree,
    comparisons,
    literals,
    nodes,
    references,
    static_path,
)
from safebox.firewall.policytools.codes import JUDGING
from safebox.firewall.policytools.finding import Finding, finding_in

_GUARDS: Final = frozenset({"is_string", "is_number", "is_boolean", "is_array", "is_object", "is_set"})
"""Functions that hold only where their argument is there."""
Place = tuple[Source, Rule]


def check_polarity(sources: Sequence[Source]) -> Iterator[Finding]:
    """Find helpers whose answer about an absent field is the wrong one for the rules that rest on them."""
    rules: dict[Path, list[Place]] = {}
    for source in sources:
        for rule in source.rules:
            rules.setdefault((*source.package, *rule.name.split(".")), []).append((source, rule))
    pending = [(place, True) for places in rules.values() for place in places if place[1].name in JUDGING]
    seen: set[tuple[int, bool]] = set()
    while pending:
        (source, rule), bad = pending.pop()
        if (id(rule), bad) in seen:
            continue
        seen.add((id(rule), bad))
        yield from _findings(source, rule, bad=bad)
        for path, negated in _asked(rule):
            pending += [(place, bad != negated) for place in rules.get(source.resolve(path), ())]


def _asked(rule: Rule) -> Iterator[tuple[Path, bool]]:
    """What a rule's bodies refer to, and whether under a `not`."""
    for kind, statement in literals(list(rule.bodies)):
        for reference in references(statement):
            if reference.path:
                yield reference.path, kind == "NotExpr"


def _findings(source: Source, rule: Rule, *, bad: bool) -> Iterator[Finding]:
    for body in rule.bodies:
        guarded = set(_guarded(body))
        for kind, statement in literals(body):
            if not bad and kind == "NotExpr":
                yield from _holds_without(source, statement, guarded)
            elif bad and kind == "Expr" and rule.name not in JUDGING:
                yield from _fails_without(source, rule, statement)


def _holds_without(source: Source, statement: Tree, guarded: set[Path]) -> Iterator[Finding]:
    for reference in references(statement):
        path = source.resolve(reference.path) if reference.path else ()
        if path[:1] == ("input",) and path not in guarded:
            said = ".".join(path)
            message = f"where {said} is absent, this `not` holds, and what rests on it passes"
            yield _finding(source, reference.line, message, f"first show that it is there, as with is_string({said})")


def _fails_without(source: Source, rule: Rule, statement: Tree) -> Iterator[Finding]:
    for operator, left, right, line in comparisons(statement):
        if operator != "Eq" and any(source.reads_input(side) for side in (left, right)):
            message = (
                f"{rule.name} proves the bad case; where the field is absent it doesn't hold, and nothing is denied"
            )
            yield _finding(source, line, message, "prove the good case instead, and negate it in the deny")


def _guarded(body: Tree) -> Iterator[Path]:
    for node in nodes(body):
        if (call := node.get("Call")) is not None and _is_guard(call["fcn"]):
            yield from (static_path(argument) for argument in call["params"])


def _is_guard(function: Tree) -> bool:
    return ".".join(static_path(function)) in _GUARDS


def _finding(source: Source, line: int, message: str, remedy: str) -> Finding:
    return finding_in(source, line, "policy.unsafe_helper", message, remedy)
