"""Reads policies the way a careful colleague would, and says what would go wrong.

`check` finds what keeps a bundle from coming into force, and what would let it come into force and then surprise its
author: a deny that an absent field switches off, a comparison that null passes, a rule nobody will ever ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from safebox.firewall.engines.builtins import refused_calls
from safebox.firewall.engines.bundle import TEST_SUFFIX, Bundle, Module
from safebox.firewall.engines.recursion import find_cycle
from safebox.firewall.engines.syntax import PolicySyntaxError, Source, parse_module
from safebox.firewall.engines.validate import validate
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools.finding import Finding
from safebox.firewall.policytools.layering import Layering
from safebox.firewall.policytools.modes import check_modes
from safebox.firewall.policytools.names import check_names
from safebox.firewall.policytools.polarity import check_polarity
from safebox.firewall.policytools.rules import check_rules, check_untested

__all__ = ["Finding", "check"]

_SAID_ALREADY = frozenset({"policy.function", "policy.recursion", "policy.looser"})
"""What would only be found a second time by trying whether the bundle may come into force."""


def check(folders: Sequence[Path]) -> list[Finding]:
    """Find everything wrong with the folders' policies; an empty list means they may come into force.

    Args:
        folders: the pack, then overlays, as they will be in force together.
    """
    try:
        layering = Layering(folders)
    except PolicyUnavailable as error:
        return [Finding("", 0, "policy.unreadable", error.cause, error.remedy)]
    sources, findings = _parse(layering.everything.modules)
    if findings:
        return findings
    policies = [source for source in sources if not source.module.name.endswith(TEST_SUFFIX)]
    findings = [*_check_calls(policies), *_check_cycle(policies)]
    for source in sources:
        findings += check_rules(source)
        findings += check_names(source)
    findings += layering.findings(policies)
    findings += check_polarity(policies)
    findings += check_untested(policies, layering.everything)
    findings += check_modes(layering.bundle, policies, folders)
    if not any(finding.code in _SAID_ALREADY for finding in findings):
        findings += _check_whole(layering.bundle)
    return sorted(findings, key=lambda finding: (finding.file, finding.line, finding.code))


def _parse(modules: Iterable[Module]) -> tuple[list[Source], list[Finding]]:
    sources: list[Source] = []
    findings: list[Finding] = []
    for module in modules:
        try:
            sources.append(parse_module(module))
        except PolicySyntaxError as error:
            findings.append(Finding(module.origin, error.line, "policy.syntax", error.cause, "correct the Rego"))
    return sources, findings


def _check_calls(sources: Sequence[Source]) -> Iterator[Finding]:
    names = {".".join((*source.package, rule.name)) for source in sources for rule in source.rules}
    for source in sources:
        for reference, why in refused_calls(source, names):
            remedy = "use what the input says, or ask for a new fact"
            yield Finding(source.module.origin, reference.line, "policy.function", why, remedy)


def _check_cycle(sources: Sequence[Source]) -> Iterator[Finding]:
    cycle = find_cycle(sources)
    if not cycle:
        return
    for source in sources:
        for rule in source.rules:
            if ".".join((*source.package, rule.name)) == cycle[0]:
                message = f"depends on itself: {' -> '.join(cycle)}"
                yield Finding(source.module.origin, rule.line, "policy.recursion", message, "break the circle")
                return


def _check_whole(bundle: Bundle) -> Iterator[Finding]:
    problem = validate(bundle)
    if problem is not None:
        yield Finding("", 0, "policy.refused", problem, "the bundle would not come into force; correct this first")
