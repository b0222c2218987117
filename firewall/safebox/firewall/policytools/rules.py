"""Checks of one file's rules, against the way rules are written in this project."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from safebox.firewall.engines.bundle import TEST_SUFFIX, Bundle
from safebox.firewall.engines.probes import TOOLS
from safebox.firewall.engines.syntax import (
    Rule,
    Source,
    Tree,
    comparisons,
    field_of,
    literals,
    nodes,
    references,
    static_path,
    text_of,
)
from safebox.firewall.policytools.codes import JUDGING
from safebox.firewall.policytools.finding import Finding, finding_in
from safebox.firewall.policytools.metadata import Metadata, read_metadata

SEVERITIES: Final = ("low", "medium", "high", "critical")
CUSTOM: Final = ("code", "threat", "severity", "remedy")
_CODE: Final = re.compile(r"[a-z]+\.[a-z0-9_]+")
_KINDS: Final = frozenset(kind for _, kind, _ in TOOLS) | {"all"}
_ORDER: Final = frozenset({"Lt", "Le", "Ge", "Gt"})
_OPPOSITE: Final = {"Lt": ">=", "Le": ">", "Ge": "<", "Gt": "<=", "Eq": "!=", "Ne": "=="}
_SITE: Final = ("data", "safebox", "site")


def check_rules(source: Source) -> Iterator[Finding]:
    """Check one parsed file."""
    yield from _check_package(source)
    yield from _check_imports(source)
    if source.module.name.endswith(TEST_SUFFIX):
        return
    comments = read_metadata(source.module.text)
    yield from _check_comments(source, comments)
    for rule in source.rules:
        yield from _check_default(source, rule)
        yield from _check_orders(source, rule)
        if rule.name in JUDGING:
            yield from _check_judging(source, rule, comments.get(rule.line))


def check_untested(policies: Sequence[Source], everything: Bundle) -> Iterator[Finding]:
    """Find reason codes that no test names."""
    tests = "\n".join(module.text for module in everything.modules if module.name.endswith(TEST_SUFFIX))
    for source in policies:
        for rule in source.rules:
            code = text_of(field_of(rule.value, "code")) if rule.name in JUDGING else None
            if code is not None and f'"{code}"' not in tests:
                remedy = f"write cases beside it that name {code}: allowed, denied, and with each field missing"
                yield finding_in(source, rule.line, "policy.untested", f"no test names {code}", remedy)


def _check_package(source: Source) -> Iterator[Finding]:
    name = source.module.name.removeprefix("/")
    parts = name.split("/")[1:] if name[0].isdigit() else name.split("/")
    folder, file = tuple(parts[:-1]), parts[-1]
    test = file.endswith(TEST_SUFFIX)
    stem = file.removesuffix(TEST_SUFFIX) if test else file.removesuffix(".rego")
    expected = ("data", *folder[:-1], f"{folder[-1]}_test") if test and folder else ("data", *folder)
    if source.package != expected or (folder and stem != folder[-1]):
        message = f"package {'.'.join(source.package[1:])} is in {name}"
        remedy = "path and package are the same: safebox/a/a.rego is package safebox.a, its test safebox.a_test"
        yield finding_in(source, source.package_line, "policy.path", message, remedy)
    kind = source.package[3] if len(source.package) > len(_SITE) else None
    if source.package[:3] == _SITE and not test and kind not in _KINDS:
        remedy = f"file it under one of {', '.join(sorted(_KINDS))}, and put new tools into the tools table"
        yield finding_in(source, source.package_line, "policy.site_kind", f"nothing asks for {kind} rules", remedy)


def _check_imports(source: Source) -> Iterator[Finding]:
    used = {reference.path[0] for rule in source.rules for reference in references(rule.tree) if reference.path}
    with_targets = {path[0] for rule in source.rules for path in _replaced(rule.tree)}
    for imported in source.imports:
        if imported.path[0] != "rego" and imported.name not in used | with_targets:
            yield finding_in(
                source, imported.line, "policy.unused_import", f"{imported.name} is not used", "remove the import"
            )


def _check_comments(source: Source, comments: dict[int, Metadata]) -> Iterator[Finding]:
    lines = {source.package_line, *(rule.line for rule in source.rules)}
    for line, comment in comments.items():
        for odd in comment.odd_lines:
            yield finding_in(source, odd, "policy.metadata", "not a plain `key: value`", "keep METADATA to plain lines")
        if line not in lines:
            yield finding_in(source, comment.line, "policy.metadata", "stands above nothing", "put it above its rule")
    for line, name in sorted(_to_describe(source).items()):
        described = comments.get(line)
        if described is None or not described.get("title") or not described.get("description"):
            remedy = "say title and description in a METADATA comment above it"
            yield finding_in(source, line, "policy.metadata", f"{name} has no METADATA", remedy)


def _to_describe(source: Source) -> dict[int, str]:
    """The lines that need METADATA: the package, the first of each public rule's, and every rule that judges."""
    lines = {source.package_line: "the package"}
    for rule in source.rules:
        public = not rule.name.startswith("_") and rule.name not in lines.values()
        if public or rule.name in JUDGING or rule.name == "allow":
            lines[rule.line] = rule.name
    return lines


def _check_default(source: Source, rule: Rule) -> Iterator[Finding]:
    if rule.kind == "default" and (_is_true(rule.value) or text_of(field_of(rule.value, "verdict")) == "allow"):
        remedy = "default to a deny; what is allowed is said by a rule"
        yield finding_in(source, rule.line, "policy.default_allow", f"{rule.name} is a yes without a rule", remedy)


def _check_judging(source: Source, rule: Rule, comment: Metadata | None) -> Iterator[Finding]:
    code, message = text_of(field_of(rule.value, "code")), text_of(field_of(rule.value, "message"))
    if code is None or message is None:
        remedy = f'write {rule.name} contains {{"code": "domain.reason", "message": "…"}} if …'
        yield finding_in(source, rule.line, "policy.reason", "code and message are not literal texts", remedy)
        return
    domain = source.package[2] if len(source.package) > 2 else ""  # noqa: PLR2004
    if _CODE.fullmatch(code) is None or code.split(".")[0] != domain:
        remedy = f"name it {domain}.snake_reason, after its package"
        yield finding_in(source, rule.line, "policy.code", f"{code} is no code of {domain}", remedy)
    if any(character.isdigit() for character in message):
        remedy = "agents are not told thresholds; say what, not how much"
        yield finding_in(source, rule.line, "policy.message", "the message tells a number", remedy)
    if comment is not None:
        yield from _check_custom(source, rule, comment, code)
    yield from _check_raw_deny(source, rule)


def _check_custom(source: Source, rule: Rule, comment: Metadata, code: str) -> Iterator[Finding]:
    missing = [key for key in CUSTOM if not comment.get(f"custom.{key}")]
    if missing:
        message = f"METADATA lacks custom {', '.join(missing)}"
        yield finding_in(
            source, rule.line, "policy.metadata", message, "say what it is against and what to do about it"
        )
    elif comment.get("custom.code") != code:
        message = f"METADATA says {comment.get('custom.code')}, the rule says {code}"
        yield finding_in(source, rule.line, "policy.code", message, "make the two the same")
    elif comment.get("custom.severity") not in SEVERITIES:
        message = f"severity is none of {', '.join(SEVERITIES)}"
        yield finding_in(source, rule.line, "policy.metadata", message, "choose one")


def _check_raw_deny(source: Source, rule: Rule) -> Iterator[Finding]:
    for kind, statement in literals(list(rule.bodies)):
        if kind != "Expr":
            continue
        for operator, left, right, line in comparisons(statement):
            if operator != "Eq" and any(source.reads_input(side) for side in (left, right)):
                message = f"{rule.name} compares the input itself; where the field is absent it does not apply"
                good = _good_case(source, operator, left, right)
                remedy = f"prove the good case and negate it: `{rule.name} … if not _good` with `_good if {{ {good} }}`"
                yield finding_in(source, line, "policy.unsafe_deny", message, remedy)


def _good_case(source: Source, operator: str, left: Tree, right: Tree) -> str:
    """The opposite of a comparison, holding only where what is compared is there and is a number."""
    sides = [source.text_at(left), source.text_at(right)]
    shown = [f"is_number({side})" for side, tree in zip(sides, (left, right), strict=True) if source.reads_input(tree)]
    guards = shown if operator in _ORDER else []
    return "; ".join([*guards, f"{sides[0]} {_OPPOSITE[operator]} {sides[1]}"])


def _check_orders(source: Source, rule: Rule) -> Iterator[Finding]:
    for body in rule.bodies:
        shown = {path for path in _call_arguments(body)}
        for operator, left, right, line in comparisons(body):
            for side in (left, right):
                path = static_path(side)
                computed = len(path) < 2 or source.resolve(path)[0] == "data"  # noqa: PLR2004
                if operator in _ORDER and not computed and path not in shown:
                    message = f"{'.'.join(path)} may be null or text, and Rego orders null below every number"
                    remedy = f"first write is_number({'.'.join(path)})"
                    yield finding_in(source, line, "policy.unguarded_order", message, remedy)


def _call_arguments(tree: Tree) -> Iterator[tuple[str, ...]]:
    for node in nodes(tree):
        if (call := node.get("Call")) is not None:
            yield from (static_path(argument) for argument in call["params"])


def _replaced(tree: Tree) -> Iterator[tuple[str, ...]]:
    for node in nodes(tree):
        if "refr" in node and "as" in node:
            yield static_path(node["refr"]) or ("",)


def _is_true(value: Tree) -> bool:
    return any(node["Bool"]["value"] is True for node in nodes(value) if "Bool" in node)
