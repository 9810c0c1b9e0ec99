"""The Merkle tree is that of RFC 6962, and a proof leads to the root from its own leaf and from no other."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.seals.merkle import inclusion_paths, leaf_hash, node_hash, root_of_path, tree_root

# The entries and roots that the implementations of Certificate Transparency are tested with.
ENTRIES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATH_OF_LEAF_5_OF_7 = [
    leaf_hash(ENTRIES[4]),
    leaf_hash(ENTRIES[6]),
    bytes.fromhex(ROOTS[4]),
]

SIZES = st.integers(1, 70)


def leaves(size: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(size)]


def root_by_definition(entries: list[bytes]) -> bytes:
    """MTH as RFC 6962 defines it, by recursion."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return entries[0]
    split = 1 << (len(entries) - 1).bit_length() - 1
    return node_hash(root_by_definition(entries[:split]), root_by_definition(entries[split:]))


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_published_vectors(size: int) -> None:
    assert tree_root([leaf_hash(entry) for entry in ENTRIES[:size]]).hex() == ROOTS[size]


def test_path_holds_the_siblings_from_the_leaf_upwards() -> None:
    assert inclusion_paths([leaf_hash(entry) for entry in ENTRIES[:7]], [5]) == [PATH_OF_LEAF_5_OF_7]


@given(SIZES)
def test_root_is_the_one_of_the_recursive_definition(size: int) -> None:
    assert tree_root(leaves(size)) == root_by_definition(leaves(size))


@given(SIZES, st.data())
def test_every_leaf_has_a_path_that_leads_to_the_root(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))

    (path,) = inclusion_paths(leaves(size), [index])

    assert root_of_path(leaves(size)[index], index=index, size=size, path=path) == tree_root(leaves(size))
    assert len(path) <= (size - 1).bit_length()


@given(SIZES, st.data())
def test_another_leaf_another_place_or_another_path_leads_elsewhere(size: int, data: st.DataObject) -> None:
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size + 3))
    (path,) = inclusion_paths(leaves(size), [index])
    leaf, root = leaves(size)[index], tree_root(leaves(size))

    assert root_of_path(leaf_hash(b"x"), index=index, size=size, path=path) != root
    assert root_of_path(leaf, index=index, size=size, path=[*path, root]) != root
    assert root_of_path(leaf, index=index, size=size, path=path[:-1]) != root or not path
    if other != index:
        assert root_of_path(leaf, index=other, size=size, path=path) != root


def test_no_path_is_made_for_a_leaf_that_is_not_there() -> None:
    with pytest.raises(IndexError):
        inclusion_paths(leaves(3), [3])
