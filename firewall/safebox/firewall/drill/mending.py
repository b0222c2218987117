"""What to look at when an attack went through, or something harmless didn't."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, cast

from safebox.firewall.core.decision import Verdict
from safebox.firewall.drill.entry import Entry
from safebox.firewall.drill.told import Told
from safebox.firewall.engines.bundle import Bundle
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools.codes import ReasonCode, codes_in


class Mending:
    """Knows the rules that are in force.

    Args:
        bundle: them; None if there are none.
        problem: why there are none.
    """

    def __init__(self, bundle: Bundle | None, problem: str | None) -> None:
        self._problem = problem
        self._bundle = bundle
        self._monitored = set[str]() if bundle is None else _monitored(bundle)

    @cached_property
    def _codes(self) -> dict[str, ReasonCode]:
        """The rules by their codes, read when something has failed; none if they can't be."""
        try:
            return {} if self._bundle is None else {code.code: code for code in codes_in(self._bundle)}
        except PolicyUnavailable:
            return {}

    def say(self, entry: Entry, told: Told) -> str:
        """One line about one failed entry."""
        if self._problem is not None:
            return f"the policies may not come into force: {self._problem}"
        return self._denied(entry, told) if entry.wanted is Verdict.ALLOW else self._let_through(entry)

    def _let_through(self, entry: Entry) -> str:
        if not entry.code:
            return f"see {entry.mend}"
        if entry.code in self._monitored:
            return f"{entry.code} is only monitored: take it out of data/modes to enforce it"
        if entry.code not in self._codes:
            return f"no rule here says {entry.code}: put the pack's back; see {entry.mend}"
        rule = self._codes[entry.code]
        return f"{rule.file}:{rule.line} ({entry.code}) did not say no; see {entry.mend}"

    def _denied(self, entry: Entry, told: Told) -> str:
        rule = self._codes.get(told.code)
        if rule is not None:
            return f"{rule.file}:{rule.line} ({told.code}) denies it: {rule.remedy}"
        what = f"{told.code} denies it; " if told.code else ""
        return f"{what}see {entry.mend}" if entry.mend else what.rstrip("; ") or "nothing denies it, but it wasn't done"


def _monitored(bundle: Bundle) -> set[str]:
    """The codes that block nothing, as `data.data.modes.codes` says."""
    found: Any = json.loads(bundle.data)
    for name in ("data", "modes", "codes"):
        found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
    modes = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    return {code for code, mode in modes.items() if mode == "monitor"}
