"""Every reason code the policies can give, out of their METADATA."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from safebox.firewall.engines.bundle import Bundle, Module, load_bundle
from safebox.firewall.engines.syntax import Rule, parse_module
from safebox.firewall.policytools.metadata import Metadata, read_metadata

JUDGING = frozenset({"deny", "hold"})
"""The sets whose members are reasons."""


class ReasonCode(msgspec.Struct, frozen=True):
    """One code: what it means, what it is against, and what to do about it."""

    code: str
    title: str
    description: str
    threat: str
    severity: str
    remedy: str
    file: str
    line: int


def reason_codes(folders: Sequence[Path]) -> list[ReasonCode]:
    """List every code of the folders' rules, sorted.

    Raises:
        PolicyUnavailable: if the folders can't be read or parsed.
    """
    return codes_in(load_bundle(folders))


def codes_in(bundle: Bundle) -> list[ReasonCode]:
    """List every code of a bundle's rules, sorted.

    Raises:
        PolicyUnavailable: if a module can't be parsed.
    """
    found = [code for module in bundle.modules for code in _codes_of(module)]
    return sorted(found, key=lambda code: code.code)


def codes_table(codes: Iterable[ReasonCode]) -> str:
    """Say the codes as a Markdown table, for the folder's guide."""
    rows = [f"| `{code.code}` | {code.title} | {code.threat} | {code.severity} | {code.remedy} |" for code in codes]
    return "\n".join(["| code | what it means | threat | severity | remedy |", "|---|---|---|---|---|", *rows])


def _codes_of(module: Module) -> Iterable[ReasonCode]:
    comments = read_metadata(module.text)
    for rule in parse_module(module).rules:
        comment = comments.get(rule.line)
        if rule.name in JUDGING and comment is not None:
            yield _code_of(module, rule, comment)


def _code_of(module: Module, rule: Rule, comment: Metadata) -> ReasonCode:
    return ReasonCode(
        code=comment.get("custom.code"),
        title=comment.get("title"),
        description=comment.get("description"),
        threat=comment.get("custom.threat"),
        severity=comment.get("custom.severity"),
        remedy=comment.get("custom.remedy"),
        file=module.origin or module.name,
        line=rule.line,
    )
