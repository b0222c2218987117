"""What rules of an overlay could make looser: everything but `deny contains` and `hold contains` of a site.

See `strictness`, whose rules these are. Works on parsed files, so it runs where parsing may end the process.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from safebox.firewall.engines.bundle import DATA_NAME, Layer, Module
from safebox.firewall.engines.directions import Path
from safebox.firewall.engines.relax import RELAX_NAME
from safebox.firewall.engines.strictness import SITE, path_text
from safebox.firewall.engines.syntax import Rule, Source, nodes, references

ASKED: Final = frozenset({"deny", "hold"})
"""The names under which main asks a site's rules."""
_ELSEWHERE: Final = "overlays add rules in safebox.site.<kind> and nowhere else"


class LooserRule(msgspec.Struct, frozen=True):
    """A rule of an overlay that may allow more: where it is, its path as `relax.json` names it, and why."""

    layer: int
    name: str
    """The file, below the overlay's folder."""
    line: int
    path: str
    why: str


def layer_of(module: Module) -> int:
    """The layer a module came from, as its name says; 0 is the base."""
    first = module.name.split("/")[0]
    return int(first) if first.isdecimal() and first.isascii() else 0


def unrelaxed(sources: Sequence[Source], layers: Sequence[Layer]) -> Iterator[LooserRule]:
    """Every looser rule that its overlay's `relax.json` doesn't name."""
    for found in looser_rules(sources, layers):
        if found.layer >= len(layers) or found.path not in layers[found.layer].relaxed:
            yield found


def describe(found: LooserRule, layers: Sequence[Layer]) -> str:
    """Say in one line what an overlay would make looser, where, and what can be done about it."""
    folder = layers[found.layer].folder if found.layer < len(layers) else ""
    where = f"{folder}/{found.name}" if folder else f"{found.layer}/{found.name}"
    line = f":{found.line}" if found.line else ""
    remedy = f"to allow it all the same, name the path with a reason in {folder or 'the overlay'}/{RELAX_NAME}"
    return f"{where}{line}: {found.path} would be looser ({found.why}); {remedy}"


def looser_rules(sources: Sequence[Source], layers: Sequence[Layer]) -> Iterator[LooserRule]:
    """Every rule of an overlay that may allow more than the layers below it alone would.

    Args:
        sources: all modules of the bundle.
        layers: what is known of its layers, the base first.
    """
    by_layer: dict[int, list[Source]] = {}
    for source in sources:
        by_layer.setdefault(layer_of(source.module), []).append(source)
    below: set[Path] = set()
    for previous, number in itertools.pairwise(sorted({0, *by_layer, *range(len(layers))})):
        below |= _known(by_layer.get(previous, []))
        for source in by_layer.get(number, []):
            yield from _of_source(source, number, below)
        if number < len(layers):
            yield from _of_data(layers[number], number, below)


def _of_source(source: Source, layer: int, below: set[Path]) -> Iterator[LooserRule]:
    name = source.module.name.partition("/")[2]
    if not _is_site(source.package) and not source.rules:
        yield LooserRule(layer, name, source.package_line, path_text(source.package), _ELSEWHERE)
    for rule in source.rules:
        why = _why(source, rule, below)
        if why is not None:
            path = path_text((*source.package, *_parts(rule)))
            yield LooserRule(layer, name, rule.line, path, why)


def _why(source: Source, rule: Rule, below: set[Path]) -> str | None:
    """Why a rule may allow more; None if it can't."""
    first, full = _parts(rule)[0], (*source.package, *_parts(rule))
    if first in ASKED and (rule.kind != "set" or rule.name not in ASKED):
        return f"{first} is asked for as `{first} contains …` and may be nothing else"
    reasons = {
        "it allows": first == "allow",
        "its name can't be told": not first,
        "it replaces what is judged by `with`": any("refr" in node and "as" in node for node in nodes(rule.tree)),
        _ELSEWHERE: not _is_site(source.package),
        "a layer below uses the same name, and rules of a name add up": any(_touches(full, each) for each in below),
    }
    return next((why for why, found in reasons.items() if found), None)


def _of_data(layer: Layer, number: int, below: set[Path]) -> Iterator[LooserRule]:
    """New data of a layer that rules of an overlay below already look for."""
    for added in layer.added:
        if any(_touches(added, known) for known in below):
            yield LooserRule(
                number, "/".join([*added[1:-1], DATA_NAME]), 0, path_text(added), "rules of a layer below look for it"
            )


def _known(sources: Sequence[Source]) -> set[Path]:
    """What a layer's rules are called and look for, but for what main asks every site for."""
    found = {(*source.package, *_parts(rule)) for source in sources for rule in source.rules}
    for source in sources:
        for rule in source.rules:
            for reference in references(rule.tree):
                if reference.path and reference.path[0] not in rule.arguments:
                    found.add(source.resolve(reference.path))
    return {path for path in found if path[0] == "data" and not _is_asked(path)}


def _is_asked(path: Path) -> bool:
    return path == SITE or (path[-1] in ASKED | {"allow"} and _is_site(path[:-1]))


def _touches(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _is_site(package: Path) -> bool:
    return len(package) == len(SITE) + 1 and package[: len(SITE)] == SITE


def _parts(rule: Rule) -> Path:
    return tuple(rule.name.split("."))
