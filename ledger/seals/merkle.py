"""The Merkle tree of RFC 6962: its root, the inclusion proof of a leaf, and what such a proof leads to.

A leaf is hashed as SHA-256(0x00 || entry), an inner node as SHA-256(0x01 || left || right), so that neither can
pass for the other. A tree over n leaves splits at the largest power of two below n. Built level by level, that
is the tree in which the last node of a level rises as it is where it has no sibling.
"""

from collections.abc import Sequence
from hashlib import sha256

HASH_BYTES = 32
_LEAF = b"\x00"
_NODE = b"\x01"


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(_NODE + left + right).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over these leaf hashes (MTH of RFC 6962, section 2.1); that of no leaves is SHA-256("")."""
    if not leaves:
        return sha256(b"").digest()
    level = leaves
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def inclusion_paths(leaves: Sequence[bytes], indexes: Sequence[int]) -> list[list[bytes]]:
    """Return for each of these leaves its siblings up to the root (PATH of RFC 6962, section 2.1.1).

    Raises:
        IndexError: there is no such leaf.
    """
    for index in indexes:
        if not 0 <= index < len(leaves):
            raise IndexError(index)
    paths: list[list[bytes]] = [[] for _ in indexes]
    level, height = leaves, 0
    while len(level) > 1:
        for path, index in zip(paths, indexes, strict=True):
            sibling = (index >> height) ^ 1
            if sibling < len(level):
                path.append(level[sibling])
        level, height = _level_above(level), height + 1
    return paths


def root_of_path(leaf: bytes, *, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a proof leads to; None where no tree of this size has such a proof.

    The algorithm is that of RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        return None
    root, number, last = leaf, index, size - 1
    for sibling in path:
        if last == 0:
            return None
        if number & 1 or number == last:
            root = node_hash(sibling, root)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        number, last = number >> 1, last >> 1
    return root if last == 0 else None


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [sha256(_NODE + left + right).digest() for left, right in pairs]
    if len(level) % 2:
        above.append(level[-1])
    return above
