"""RFC 6962 trees: the published test vectors, and proofs that prove what they say and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core import merkle

# The test data of the Certificate Transparency reference implementation: eight leaves, and the root after each.
LEAVES = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(str(number).encode()) for number in range(count)]


def test_the_published_vectors_have_their_roots() -> None:
    tree = merkle.Tree()
    assert tree.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        tree.append(merkle.leaf_hash(bytes.fromhex(leaf)))
        assert tree.root().hex() == root


@pytest.mark.parametrize("size", range(1, 34))
def test_every_leaf_has_a_proof_that_no_other_place_size_or_leaf_fits(size: int) -> None:
    all_leaves = leaves(size)
    root = merkle.root_of(all_leaves)
    for index, leaf in enumerate(all_leaves):
        path = merkle.prove_inclusion(all_leaves, index)
        assert merkle.verify_inclusion(leaf, index, size, path, root)
        assert not merkle.verify_inclusion(merkle.leaf_hash(b"another"), index, size, path, root)
        assert not merkle.verify_inclusion(leaf, index, size, [*path, root], root)
        assert not any(
            merkle.verify_inclusion(leaf, other, size, path, root) for other in range(size) if other != index
        )
        assert not path or not merkle.verify_inclusion(leaf, index, size, path[:-1], root)
    assert not merkle.verify_inclusion(all_leaves[0], size, size, [], root)
    assert not merkle.verify_inclusion(all_leaves[0], -1, size, [], root)


@pytest.mark.parametrize("size", range(1, 34))
def test_every_prefix_is_shown_to_be_one_and_nothing_else_is(size: int) -> None:
    all_leaves = leaves(size)
    root = merkle.root_of(all_leaves)
    for old in range(1, size + 1):
        old_root, path = merkle.root_of(all_leaves[:old]), merkle.prove_consistency(all_leaves, old)
        assert merkle.verify_consistency(old, old_root, size, root, path)
        other = merkle.root_of([merkle.leaf_hash(b"rewritten"), *all_leaves[1:old]])
        assert not merkle.verify_consistency(old, other, size, root, path)
        assert not merkle.verify_consistency(old, old_root, size, other, path)
        assert not merkle.verify_consistency(old, old_root, size, root, [*path, root])
    assert not merkle.verify_consistency(0, merkle.EMPTY_ROOT, size, root, [])
    assert not merkle.verify_consistency(size + 1, root, size, root, [])


@given(st.lists(st.binary(max_size=40), max_size=200))
def test_growing_and_building_at_once_agree(records: list[bytes]) -> None:
    tree, hashes = merkle.Tree(), [merkle.leaf_hash(record) for record in records]
    for leaf in hashes:
        tree.append(leaf)
    assert tree.size == len(records)
    assert tree.root() == merkle.root_of(hashes)


def test_what_is_not_in_the_tree_has_no_proof() -> None:
    with pytest.raises(IndexError):
        merkle.prove_inclusion(leaves(3), 3)
    with pytest.raises(IndexError):
        merkle.prove_consistency(leaves(3), 4)
    with pytest.raises(IndexError):
        merkle.prove_consistency(leaves(3), 0)
