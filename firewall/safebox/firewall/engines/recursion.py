"""Rules that depend on themselves: refused, because evaluating one ends the process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from safebox.firewall.engines.syntax import Path, Rule, Source, references

Graph = Mapping[Path, frozenset[Path]]


def find_cycle(sources: Iterable[Source]) -> tuple[str, ...]:
    """Find one circle of rules, named by their full paths; empty if there is none.

    A reference to a whole package (or to a computed rule of it) depends on every rule in it, as in OPA.
    """
    graph = _dependencies(tuple(sources))
    done: set[Path] = set()
    for start in sorted(graph):
        if start not in done:
            cycle = _walk(graph, start, done)
            if cycle:
                return tuple(".".join(path) for path in cycle)
    return ()


def _dependencies(sources: tuple[Source, ...]) -> Graph:
    rules = {_full(source, rule.name) for source in sources for rule in source.rules}
    under: dict[Path, set[Path]] = {}
    for path in rules:
        for length in range(1, len(path) + 1):
            under.setdefault(path[:length], set()).add(path)
    graph: dict[Path, set[Path]] = {path: set() for path in rules}
    for source in sources:
        for rule in source.rules:
            for path in _uses(source, rule):
                graph[_full(source, rule.name)].update(_targets(path, rules, under))
    return {path: frozenset(targets) for path, targets in graph.items()}


def _uses(source: Source, rule: Rule) -> Iterator[Path]:
    for reference in references([rule.value, *rule.bodies]):
        if reference.path[0] not in rule.arguments:
            yield source.resolve(reference.path)


def _targets(path: Path, rules: set[Path], under: Mapping[Path, set[Path]]) -> Iterable[Path]:
    for length in range(1, len(path) + 1):
        if path[:length] in rules:
            return (path[:length],)
    return under.get(path, ())


def _walk(graph: Graph, start: Path, done: set[Path]) -> tuple[Path, ...]:
    trail: list[Path] = [start]
    on_trail = {start}
    pending = [iter(sorted(graph[start]))]
    while pending:
        following = next(pending[-1], None)
        if following is None:
            pending.pop()
            finished = trail.pop()
            on_trail.discard(finished)
            done.add(finished)
        elif following in on_trail:
            return (*trail[trail.index(following) :], following)
        elif following not in done:
            trail.append(following)
            on_trail.add(following)
            pending.append(iter(sorted(graph[following])))
    return ()


def _full(source: Source, name: str) -> Path:
    return (*source.package, *name.split("."))
