"""Which builtin functions a policy may call: those that say the same thing every time, quickly, and touch nothing.

The list is of what is allowed; whatever isn't on it is refused when a bundle is loaded, also functions that don't exist
yet. All of these agree between the embedded engine and OPA: none is in `disagreements.json`, which lists OPA's own
compliance cases that the embedded engine fails, by the function to blame (`python -m tests.opa_cases` writes it).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from safebox.firewall.engines.syntax import Reference, Source, references

_DISAGREEMENTS: Final = Path(__file__).with_name("disagreements.json")
ALLOWED: Final = frozenset(
    {
        "abs", "ceil", "floor", "round", "max", "min", "sum", "product", "count", "sort", "array.concat",
        "array.slice", "array.reverse", "bits.and", "bits.or", "bits.xor", "bits.negate", "bits.lsh",
        "bits.rsh", "concat", "contains", "endswith", "format_int", "indexof", "lower", "replace", "split",
        "sprintf", "startswith", "substring", "trim", "trim_left", "trim_prefix", "trim_right",
        "trim_space", "trim_suffix", "upper", "strings.reverse", "strings.replace_n",
        "strings.any_prefix_match", "strings.any_suffix_match", "base64.decode", "base64.encode",
        "base64.is_valid", "base64url.decode", "base64url.encode", "hex.decode", "hex.encode",
        "intersection", "union", "is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set",
        "is_string", "type_name", "to_number", "json.filter", "json.marshal", "json.patch",
        "json.remove", "json.unmarshal", "object.filter", "object.get", "object.keys", "object.remove",
        "object.subset", "object.union", "object.union_n", "glob.match", "regex.match", "regex.is_valid",
        "regex.split", "semver.compare", "semver.is_valid", "time.add_date", "time.clock", "time.date",
        "time.parse_duration_ns", "time.parse_rfc3339_ns", "time.weekday",
    }
)  # fmt: skip

REASONS: Final = {
    "http.send": "calls out",
    "net.lookup_ip_addr": "calls out",
    "net.cidr_expand": "has no bound",
    "numbers.range": "has no bound",
    "numbers.range_step": "has no bound",
    "opa.runtime": "tells the environment",
    "rego.metadata.chain": "is not known to every engine",
    "rego.metadata.rule": "is not known to every engine",
    "rand.intn": "differs every time",
    "time.now_ns": "differs every time; use input.action.time",
    "uuid.rfc4122": "differs every time",
    "trace": "writes outside the answer",
    "print": "writes outside the answer",
    "walk": "has no bound",
}
"""Why well-known ones are refused; the rest are simply not on the list."""


def refused_calls(source: Source, functions: Iterable[str]) -> Iterator[tuple[Reference, str]]:
    """Name each call in a module that is neither to an allowed builtin nor to a function of the bundle, and why not.

    Args:
        source: the module.
        functions: full paths (`data.…`) of every rule and function of the bundle.
    """
    known = frozenset(functions)
    for rule in source.rules:
        for reference in references(rule.tree):
            name = ".".join(reference.path)
            if reference.called and name not in ALLOWED and ".".join(source.resolve(reference.path)) not in known:
                yield reference, f"{name} {REASONS.get(name) or _disagreement(name)}"


def _disagreement(name: str) -> str:
    """Why a function that is not on the list isn't, if OPA's own cases say."""
    cases = json.loads(_DISAGREEMENTS.read_text("utf-8")).get(name)
    if not cases:
        return "is not an allowed function"
    case, what = min(cases.items(), key=lambda item: "refused" in item[1])
    if "refused" in what:
        return f"is not an allowed function: only OPA knows it (OPA's case {case})"
    return f"is not an allowed function: it gives another answer here than in OPA (OPA's case {case})"
