"""The Merkle tree of RFC 6962 (section 2.1): one hash names all records, a few more prove one of them.

A `Tree` keeps only the roots of its complete subtrees (at most one per bit of its size), so appending costs one or two
hashes and no memory that grows. Proofs are made from the leaf hashes and need nothing but the root to be checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()
"""The root of no records (RFC 6962 2.1)."""
LEAF = b"\x00"
"""What is hashed before a record, so that no record can pass for two subtrees."""


def leaf_hash(record: bytes) -> bytes:
    """Name one record: SHA-256(0x00, record)."""
    return hashlib.sha256(LEAF + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Join two subtrees: SHA-256(0x01, left, right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows by appending leaf hashes."""

    __slots__ = ("_roots", "size")

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        size, root = self.size, leaf
        while size & 1:
            root = node_hash(self._roots.pop(), root)
            size >>= 1
        self._roots.append(root)
        self.size += 1

    def copy(self) -> Tree:
        """Another tree with the same leaves."""
        other = Tree()
        other.size, other._roots = self.size, list(self._roots)
        return other

    def root(self) -> bytes:
        """The hash of all leaves so far."""
        if not self._roots:
            return EMPTY_ROOT
        root = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            root = node_hash(left, root)
        return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def prove_inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf `index` (from 0) in the tree over `leaves` (RFC 6962 2.1.1).

    Raises:
        IndexError: if there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    path: list[bytes] = []
    low, high = 0, len(leaves)
    splits: list[bytes] = []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            splits.append(root_of(leaves[middle:high]))
            high = middle
        else:
            splits.append(root_of(leaves[low:middle]))
            low = middle
    path.extend(reversed(splits))
    return path


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether a leaf is at `index` of the tree of this size and root (RFC 9162 2.1.3.2). Fails closed."""
    if not 0 <= index < size:
        return False
    node, last, current = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            current = node_hash(sibling, current)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            current = node_hash(current, sibling)
        node >>= 1
        last >>= 1
    return last == 0 and current == root


def prove_consistency(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """Show that the first `old` leaves are a prefix of all (RFC 6962 2.1.2).

    Raises:
        IndexError: if the older tree isn't smaller than, or equal to, the newer one, or is empty.
    """
    if not 0 < old <= len(leaves):
        raise IndexError(old)
    return _consistency(leaves, old, whole=True)


def _consistency(leaves: Sequence[bytes], old: int, *, whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [root_of(leaves)]
    middle = _split(len(leaves))
    if old <= middle:
        return [*_consistency(leaves[:middle], old, whole=whole), root_of(leaves[middle:])]
    return [*_consistency(leaves[middle:], old - middle, whole=False), root_of(leaves[:middle])]


def verify_consistency(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the tree of `old` leaves is a prefix of the tree of `size` (RFC 9162 2.1.4.2). Fails closed."""
    if not 0 < old <= size:
        return False
    if old == size:
        return not path and old_root == root
    nodes = list(path) if old & (old - 1) else [old_root, *path]
    return bool(nodes) and _rebuilt(nodes, old - 1, size - 1) == (old_root, root)


def _rebuilt(nodes: Sequence[bytes], first: int, last: int) -> tuple[bytes, bytes] | None:
    """Both roots as the proof's hashes give them; None if there are too many or too few."""
    while first & 1:
        first >>= 1
        last >>= 1
    older = newer = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            return None
        if first & 1 or first == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not first & 1 and first:
                first >>= 1
                last >>= 1
        else:
            newer = node_hash(newer, sibling)
        first >>= 1
        last >>= 1
    return (older, newer) if last == 0 else None


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1
