"""The pages of `tests/threats/` name tests and reason codes that there are, and a test for all they say is shown."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from safebox.firewall.core.tools import TOOLS
from safebox.firewall.reasons import KNOWN_CODES
from tests.real_parts import ROOT

FOLDER = ROOT / "tests" / "threats"
SECTIONS = {"money.md", "copying.md", "hoarding.md", "persuasion.md"}
HEADER = "| attack | verdict and code | shown by | what must pass, shown by |"
NOT_SHOWN = "**not shown**"
NOTHING_PASSES = "-"
NAMED = re.compile(r"`([^`]+)`")
DOTTED = re.compile(r"[a-z_]+\.[a-z0-9_]+")


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_names_only_what_there_is(page: Path) -> None:
    text = page.read_text()
    assert text.count(HEADER) == 1
    assert list(_problems(text)) == []


def test_each_section_has_its_page() -> None:
    assert {page.name for page in FOLDER.glob("*.md")} == SECTIONS


HERE = "tests/unit/test_every_threat_names_its_tests.py"
GOOD = f"`{HERE}::test_each_section_has_its_page`"


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (f"| a | deny, `transfer.frozen` | {GOOD} | {GOOD} |", None),
        (f"| a | deny | {NOT_SHOWN}: no test | - |", None),
        ("| a | deny | `tests/unit/core/test_narrowing.py::_nobody` | - |", "names no test"),
        (f"| a | deny | `{HERE}::test_of_nothing` | - |", "names no test"),
        (f"| a | deny | `{HERE}::Nobody.test_of_nothing` | - |", "names no test"),
        (f"| a | deny | `{HERE}` | - |", "names no test"),
        ("| a | deny | `tests/unit/test_of_nowhere.py::test_of_nothing` | - |", "names no test"),
        (f"| a | deny | {GOOD} | `tests/unit/test_of_nowhere.py::test_of_nothing` |", "names no test"),
        (f"| a | deny, `transfer.of_nothing` | {GOOD} | - |", "is no code"),
        ("| a | deny | | - |", "says nothing"),
        ("| a | deny | by the golden set | - |", "says nothing"),
        (f"| a | deny | {GOOD} | |", "says nothing"),
        (f"| a | | {GOOD} | - |", "says nothing"),
        (f"| a | deny | {GOOD} |", "has not four columns"),
        ("", "has no row"),
    ],
)
def test_a_page_that_says_too_much_is_found(row: str, wrong: str | None) -> None:
    found = list(_problems(f"# A page\n\n{HEADER}\n|---|---|---|---|\n{row}\n"))
    assert [wrong] * (wrong is not None) == [problem.split(": ")[0] for problem in found]


def _problems(text: str) -> Iterator[str]:
    rows = text.split(HEADER)[1].strip().splitlines()[1:]
    if not rows:
        yield "has no row"
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        yield from [f"has not four columns: {row}"] if len(cells) != 4 else _wrong(cells)


def _wrong(cells: list[str]) -> Iterator[str]:
    attack, verdict, shown, passes = cells
    for name in NAMED.findall(" ".join(cells)):
        if name.startswith("tests/") and not _is_test(name):
            yield f"names no test: {attack}: {name}"
        if DOTTED.fullmatch(name) and name not in KNOWN_CODES and name not in TOOLS:
            yield f"is no code: {attack}: {name}"
    if not attack or not verdict or not _says(shown) or not (_says(passes) or passes == NOTHING_PASSES):
        yield f"says nothing: {attack}"


def _says(cell: str) -> bool:
    return NOT_SHOWN in cell or "`tests/" in cell


def _is_test(name: str) -> bool:
    path, _, function = name.partition("::")
    return (ROOT / path).is_file() and function in _tests_of(ROOT / path)


@cache
def _tests_of(path: Path) -> frozenset[str]:
    """Functions that pytest runs, and the steps of machines that hypothesis drives."""
    tree = ast.parse(path.read_text())
    found = {node.name for node in _functions(tree) if node.name.startswith("test_")}
    for group in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        found |= {f"{group.name}.{node.name}" for node in _functions(group)}
    return frozenset(found)


def _functions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
