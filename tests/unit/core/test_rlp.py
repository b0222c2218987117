"""RLP is written as everybody writes it, and read only if it was written so."""

from __future__ import annotations

from typing import Any

import pytest
import rlp as known  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core.rlp import NESTING_MAX, Item, read_rlp, write_rlp

KNOWN: Any = known
ITEMS: Any = st.recursive(st.binary(max_size=300), lambda inner: st.lists(inner, max_size=5).map(tuple), max_leaves=12)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType, reportUnknownLambdaType]


def depth(item: Item) -> int:
    return 0 if isinstance(item, bytes) else 1 + max(map(depth, item), default=0)


def shallow(item: Item) -> bool:
    return depth(item) <= NESTING_MAX


@given(ITEMS.filter(shallow))
def test_items_are_written_and_read_as_by_the_library(item: Item) -> None:
    assert write_rlp(item) == KNOWN.encode(item)
    assert read_rlp(write_rlp(item)) == item


@given(st.binary(max_size=80))
def test_whatever_is_read_is_the_one_way_to_write_it(encoded: bytes) -> None:
    try:
        item = read_rlp(encoded)
    except ValueError:
        return
    assert write_rlp(item) == encoded


@pytest.mark.parametrize("wrong", ["", "8101", "b801", "b80000", "83abcd", "c0c0", "c2c380", "f800", "c1c1c1c1c1c0"])
def test_what_is_cut_padded_or_nested_too_deeply_is_not_read(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"bytes|encoding|nested"):
        read_rlp(bytes.fromhex(wrong))
