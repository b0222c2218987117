"""What `policy check` says about overlays: what they make looser, and relaxations that nothing needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from safebox.firewall.engines.bundle import Bundle, Stack
from safebox.firewall.engines.relax import RELAX_NAME
from safebox.firewall.engines.siterules import looser_rules
from safebox.firewall.engines.syntax import Source
from safebox.firewall.policytools.finding import Finding


class Layering:
    """Reads folders as a firewall would, but goes on after what it would refuse.

    Raises:
        PolicyUnavailable: if a folder can't be read at all.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        stack, everything = Stack(), Stack(tests=True)
        self._findings: list[Finding] = []
        for folder in folders:
            for path, looser in stack.add(folder):
                self._findings.append(_looser(str(path), 0, looser.path, looser.why, folder))
            everything.add(folder)
        self._used = stack.used
        self.bundle: Bundle = stack.bundle()
        self.everything: Bundle = everything.bundle()
        """With the tests."""

    def findings(self, policies: Sequence[Source]) -> Iterator[Finding]:
        """What the layers do to each other; `policies` are the bundle's files, parsed."""
        yield from self._findings
        used = set(self._used)
        layers = self.bundle.layers
        for found in looser_rules(policies, layers):
            layer = layers[found.layer]
            if found.path in layer.relaxed:
                used.add((found.layer, found.path))
            else:
                yield _looser(
                    str(Path(layer.folder, found.name)), found.line, found.path, found.why, Path(layer.folder)
                )
        for number, layer in enumerate(layers):
            for path in sorted(layer.relaxed):
                if (number, path) not in used:
                    message = f"{path} is named, and nothing here makes it looser"
                    yield Finding(
                        str(Path(layer.folder, RELAX_NAME)), 0, "policy.relax_unused", message, "take the line out"
                    )


def _looser(file: str, line: int, path: str, why: str, folder: Path) -> Finding:
    remedy = f"make it stricter, or name the path with a reason in {folder / RELAX_NAME}"
    return Finding(file, line, "policy.looser", f"{path} would be looser: {why}", remedy)
