"""Proofs about a part [start, end) of a Merkle tree (draft-ietf-plants-merkle-tree-certs, section 4; imports merkle).

A part is a subtree where ``start`` is a multiple of the smallest power of two that is not below its width.
For ``start == 0`` these are the proofs of RFC 9162. The ``verify_*`` functions return a bool and never
raise on bad proofs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError
from qimg_core.ledger.merkle import EMPTY_ROOT, HASH_SIZE, node_hash, verify_inclusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.ledger.merkle import Tree


def is_subtree(start: int, end: int) -> bool:
    """Is [start, end) the range of a subtree? (Section 4.1)"""
    width = end - start
    return 0 <= start <= end and (width == 0 or start % (1 << (width - 1).bit_length()) == 0)


def subtree_inclusion(tree: Tree, index: int, start: int, end: int) -> tuple[bytes, ...]:
    """The hashes that lead from a leaf to the hash of a subtree, lowest first.

    Raises:
        ConfigurationError: not a subtree of this tree, or the index is not in it.
    """
    _check(tree, start, end, tree.size)
    if not start <= index < end:
        raise ConfigurationError(f"no leaf {index} in the subtree [{start}, {end})")
    path: list[bytes] = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(tree.subtree(middle, end))
            end = middle
        else:
            path.append(tree.subtree(start, middle))
            start = middle
    return tuple(reversed(path))


def subtree_consistency(tree: Tree, start: int, end: int, size: int | None = None) -> tuple[bytes, ...]:
    """SUBTREE_PROOF(start, end, D[size]): that a subtree's leaves are those of the tree of a size.

    Raises:
        ConfigurationError: not a subtree of the tree of that size.
    """
    stop = tree.size if size is None else size
    _check(tree, start, end, stop)
    first, known = 0, True  # the subtree's own hash is known to the reader as long as it has not been cut
    path: list[bytes] = []
    while start < end and (first, stop) != (start, end):
        middle = first + _split(stop - first)
        if end <= middle:
            path.append(tree.subtree(middle, stop))
            stop = middle
        else:
            path.append(tree.subtree(first, middle))
            if start < middle:
                start, known = middle, False
            first = middle
    if not known:
        path.append(tree.subtree(start, end))
    return tuple(reversed(path))


def verify_subtree_inclusion(
    index: int, start: int, end: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Does the leaf hash stand at ``index`` (of the whole tree) in the subtree with this hash? (Section 4.3.3)"""
    return is_subtree(start, end) and verify_inclusion(index - start, end - start, leaf, proof, root)


def verify_subtree_consistency(
    start: int, end: int, size: int, proof: Sequence[bytes], subtree_root: bytes, root: bytes
) -> bool:
    """Are the leaves under a subtree's hash those of the tree (size, root)? (Section 4.4.3)

    An empty subtree is one of every tree and proves nothing about the root.
    """
    if not is_subtree(start, end) or end > size or any(len(part) != HASH_SIZE for part in proof):
        return False
    if start == end:
        return not proof and subtree_root == EMPTY_ROOT
    low, high, last = start, end - 1, size - 1
    while low != high and (high == last or high & 1):
        low, high, last = low >> 1, high >> 1, last >> 1
    path = [subtree_root, *proof] if low == high else list(proof)
    if not path:
        return False
    first = second = path[0]
    for part in path[1:]:
        if last == 0:
            return False
        if high & 1 or high == last:
            first = node_hash(part, first) if low < high else first
            second = node_hash(part, second)
            while not high & 1 and high:
                low, high, last = low >> 1, high >> 1, last >> 1
        else:
            second = node_hash(second, part)
        low, high, last = low >> 1, high >> 1, last >> 1
    return last == 0 and first == subtree_root and second == root


def _check(tree: Tree, start: int, end: int, size: int) -> None:
    if not is_subtree(start, end) or end > size or size > tree.size:
        raise ConfigurationError(f"[{start}, {end}) is no subtree of a tree of {size} leaves")


def _split(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)
