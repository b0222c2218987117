from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebox.firewall.core.money import UNITS_MAX, format_units
from safebox.firewall.mandate.file import SECTIONS, MandateErrors, load
from safebox.firewall.mandate.toml import Path, TomlError, parse

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WALLET = """
[agent]
name = "a"
command = ["x"]
purpose = "p"
task = "t"
expires = "30m"
[wallet]
chain = "dev"
budget = "{budget}"
per_transfer = "{once}"
"""

marks = ["[", "]", "[[", "]]", "{", "}", "=", ".", ",", "'", '"', '"""', "'''", "#", "\\"]
literals = ["0", "1.5", "nan", "-1", "true", "2026-01-01", '"1 ETH"', '"30m"']
names = [*SECTIONS, *(key for keys in SECTIONS.values() for key in keys)]
words = st.sampled_from([*names, *marks, *literals, " ", "\n", "\r\n"])


@given(st.text() | st.lists(words, max_size=60).map("".join))
@settings(max_examples=150, deadline=None)
def test_any_text_is_refused_with_a_list_of_mistakes(text: str) -> None:
    with pytest.raises(MandateErrors) as caught:
        load(text, now=NOW, source="x")
    assert caught.value.problems
    assert all(0 <= problem.line <= text.count("\n") + 1 for problem in caught.value.problems)


@given(st.integers(0, UNITS_MAX), st.data())
@settings(max_examples=100, deadline=None)
def test_amounts_are_read_exactly_at_any_size(budget: int, data: st.DataObject) -> None:
    once = data.draw(st.integers(0, budget))
    text = WALLET.format(budget=f"{budget} wei", once=format_units(once, "ETH"))
    wallet = load(text, now=NOW, source="x").mandate.wallet
    assert wallet is not None
    assert (wallet.budget.units, wallet.per_transfer.units) == (budget, once)


def test_an_amount_beyond_256_bit_is_refused() -> None:
    with pytest.raises(MandateErrors, match="more than 2\\^256-1"):
        load(WALLET.format(budget=f"{UNITS_MAX + 1} wei", once="0 wei"), now=NOW, source="x")


keys = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=4)
scalars = (
    st.integers(-9, 9).map(str)
    | st.booleans().map(lambda b: str(b).lower())
    | st.sampled_from(['"a # b"', "'[x]'", '"""\nx = 1\n"""', "'''\n{'''", "1979-05-27 07:32:00", "1.5", '"\\""'])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[\n" + ", # c\n".join(items) + "\n]")
        | st.dictionaries(keys, inner, max_size=3).map(
            lambda pairs: "{ " + ", ".join(f"{key} = {value}" for key, value in pairs.items()) + " }"
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(keys, st.dictionaries(keys, values, max_size=4), max_size=4))
@settings(max_examples=80, deadline=None)
def test_the_line_of_a_key_is_the_line_it_stands_on(tables: dict[str, dict[str, str]]) -> None:
    text = "# start\n"
    expected: dict[Path, int] = {}
    for name, pairs in tables.items():
        expected[name,] = text.count("\n") + 1
        text += f"[{name}]\n"
        for key, value in pairs.items():
            expected[name, key] = text.count("\n") + 1
            text += f"{key} = {value}\n"
    try:
        document = parse(text)
    except TomlError:
        return
    assert {path: document.line(path) for path in expected} == expected
    assert set(_leaves(document.values)) <= set(document.lines)


def _leaves(value: Any, path: Path = ()) -> list[Path]:
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    elif isinstance(value, list):
        items = list(enumerate(value))  # pyright: ignore[reportUnknownArgumentType]
    return [leaf for key, item in items for leaf in _leaves(item, (*path, key))] or [path][: len(path)]
