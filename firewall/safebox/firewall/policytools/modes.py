"""Checks of the modes: what `data/modes/data.json` says of codes, against the rules that say them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from safebox.firewall.engines.bundle import DATA_NAME, Bundle
from safebox.firewall.engines.syntax import Source, field_of, nodes, text_of
from safebox.firewall.policytools.codes import JUDGING
from safebox.firewall.policytools.finding import Finding

MODES: Final = ("enforce", "monitor")
_ALWAYS: Final = "always_enforced"
"""The rule of the package `safebox.main` that names what blocks in every mode, by how its codes begin."""


def check_modes(bundle: Bundle, sources: Sequence[Source], folders: Sequence[Path]) -> Iterator[Finding]:
    """Find modes that don't do what their author must think they do; all of these are enforced."""
    modes = _object(_object(_object(json.loads(bundle.data)).get("data")).get("modes"))
    known, always = _codes(sources), _always_enforced(sources)
    for name in sorted(modes.keys() - {"codes"}):
        yield _finding(folders, name, f"{name} means nothing here", 'write {"codes": {"CODE": "monitor"}}')
    for code, mode in _object(modes.get("codes")).items():
        if mode not in MODES:
            yield _finding(folders, code, f"{mode!r} is no mode; {code} is enforced", "write enforce or monitor")
        elif mode == "monitor" and code.startswith(always):
            remedy = "take it out: the other rules stand on it, or it is a brake"
            yield _finding(folders, code, f"{code} can't be monitored; it is enforced", remedy)
        elif code not in known:
            yield _finding(folders, code, f"no rule says {code}", "name the code of a rule, or take it out")


def _codes(sources: Sequence[Source]) -> frozenset[str]:
    rules = (rule for source in sources for rule in source.rules if rule.name in JUDGING)
    return frozenset(code for rule in rules if (code := text_of(field_of(rule.value, "code"))) is not None)


def _always_enforced(sources: Sequence[Source]) -> tuple[str, ...]:
    main = (source for source in sources if source.package == ("data", "safebox", "main"))
    rules = [rule for source in main for rule in source.rules if rule.name == _ALWAYS]
    return tuple(text for rule in rules for node in nodes(rule.value) if (text := text_of(node)) is not None)


def _finding(folders: Sequence[Path], name: str, message: str, remedy: str) -> Finding:
    files = (folder / "data" / "modes" / DATA_NAME for folder in reversed(folders))
    found = next((file for file in files if file.is_file() and f'"{name}"' in file.read_text("utf-8")), "")
    return Finding(str(found), 0, "policy.mode", message, remedy)


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
