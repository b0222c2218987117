"""Checks of the names in one file: the variables `opa check --strict` refuses, and fields no input has.

What repeats an import or hides `input` and `data`, the parser refuses itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from safebox.firewall.engines.bundle import TEST_SUFFIX
from safebox.firewall.engines.syntax import Node, Rule, Source, Tree, nodes, references
from safebox.firewall.policytools.fields import missing_field, shipped_schema
from safebox.firewall.policytools.finding import Finding, finding_in


def check_names(source: Source) -> Iterator[Finding]:
    """Find variables nobody uses, and fields that no input has."""
    text = source.module.text.encode()
    for rule in source.rules:
        yield from _check_variables(source, rule, text)
        if not source.module.name.endswith(TEST_SUFFIX):
            yield from _check_fields(source, rule)


def _check_variables(source: Source, rule: Rule, text: bytes) -> Iterator[Finding]:
    declared = list(_declared(rule.tree, text))
    used = Counter(node["Var"]["value"] for node in nodes(rule.tree) if "Var" in node)
    used.subtract(Counter(name for name, _, is_node in declared if is_node))
    for name, line, _ in sorted(declared, key=lambda each: each[1]):
        if not name.startswith("_") and used[name] < 1:
            remedy = f"remove it, or write _ where something has to stand ({rule.name} doesn't depend on it)"
            yield finding_in(source, line, "policy.unused_variable", f"{name} is never used", remedy)
            used[name] = 1  # once is enough


def _declared(tree: Tree, text: bytes) -> Iterator[tuple[str, int, bool]]:
    """Every variable a rule declares: name, line, and whether the declaration is a node of the tree itself."""
    for node in nodes(tree):
        for part in _patterns(node):
            yield from ((name, line, True) for name, line in _variables(part))
        for span in _spans(node):
            yield text[span["start"] : span["end"]].decode(), span["line"], False


def _patterns(node: Node) -> Iterator[Tree]:
    if (assigned := node.get("AssignExpr")) is not None and assigned["op"] == "ColEq":
        yield assigned["lhs"]
    if "args" in node and "refr" in node:
        yield node["args"]


def _variables(pattern: Tree) -> Iterator[tuple[str, int]]:
    """The variables a pattern binds: itself, or those inside a list or object of them."""
    for node in nodes(pattern):
        if "Var" in node:
            yield node["Var"]["value"], node["Var"]["span"]["line"]


def _spans(node: Node) -> Iterator[Node]:
    if (chosen := node.get("SomeVars")) is not None:
        yield from chosen["vars"]
    if (all_of := node.get("Every")) is not None:
        yield from (span for span in (all_of["key"], all_of["value"]) if span is not None)


def _check_fields(source: Source, rule: Rule) -> Iterator[Finding]:
    for reference in references(rule.tree):
        path = source.resolve(reference.path) if reference.path else ()
        if path[:1] != ("input",) or "input" in rule.arguments:
            continue
        missing = missing_field(shipped_schema(), path[1:])
        if missing is not None:
            part, like = missing
            message = f"{'.'.join(path)}: no input has {part!r}, so nothing that reads it can hold"
            remedy = f"did you mean {like!r}?" if like else "schemas/input.json says every field there is"
            yield finding_in(source, reference.line, "policy.unknown_field", message, remedy)
