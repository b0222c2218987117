"""Recursive length prefixes, read strictly: a value has one encoding, any other is refused (yellow paper, B)."""

from __future__ import annotations

from typing import Final

Item = bytes | tuple["Item", ...]

NESTING_MAX: Final = 4
"""A transaction has lists in lists in a list (its access list); nothing here has more."""
_SHORT, _LONG_TEXT, _LIST, _LONG_LIST = 0x80, 0xB7, 0xC0, 0xF7
_SHORT_MAX: Final = 55


def read_rlp(encoded: bytes) -> Item:
    """The one value that these bytes are.

    Raises:
        ValueError: if they aren't the one encoding of a value.
    """
    item, end = _item(encoded, 0, len(encoded), NESTING_MAX)
    if end != len(encoded):
        raise ValueError("bytes are left over")
    return item


def write_rlp(item: Item) -> bytes:
    """The one encoding of a value."""
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < _SHORT else _prefixed(item, _SHORT)
    return _prefixed(b"".join(map(write_rlp, item)), _LIST)


def _prefixed(content: bytes, base: int) -> bytes:
    length = len(content)
    if length <= _SHORT_MAX:
        return bytes([base + length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([base + _SHORT_MAX + len(size)]) + size + content


def _item(encoded: bytes, at: int, most: int, left: int) -> tuple[Item, int]:
    """The item at `at`, and where it ends, which is at `most` or before. Nothing is copied on the way to it."""
    start, end, is_list = _extent(encoded, at, most)
    if not is_list:
        return encoded[start:end], end
    if not left:
        raise ValueError("lists are nested too deeply")
    items: list[Item] = []
    while start < end:
        item, start = _item(encoded, start, end, left - 1)
        items.append(item)
    return tuple(items), end


def _extent(encoded: bytes, at: int, most: int) -> tuple[int, int, bool]:
    """Where the content of the item at `at` begins and ends, and whether it is a list."""
    if at >= most:
        raise ValueError("the bytes end too early")
    first = encoded[at]
    if first < _SHORT:
        return at, at + 1, False
    is_list = first >= _LIST
    short = first - (_LIST if is_list else _SHORT)
    start, length = at + 1, short
    if short > _SHORT_MAX:
        start += first - (_LONG_LIST if is_list else _LONG_TEXT)
        written = encoded[at + 1 : min(start, most)]
        length = int.from_bytes(written)
        if written[:1] == b"\0" or length <= _SHORT_MAX:
            raise ValueError("a length is not in its one encoding")
    end = start + length
    if end > most:
        raise ValueError("the bytes end too early")
    if length == 1 and not is_list and short == 1 and encoded[start] < _SHORT:
        raise ValueError("a single byte is not in its one encoding")
    return start, end, is_list
