"""The Merkle tree of RFC 6962 section 2.1 (SHA-256) and the proof checks of RFC 9162 section 2.1 (imports errors only).

Every hash is 32 bytes. The ``verify_*`` functions return a bool and never raise on bad proofs: a
proof comes from outside, and a wrong one is an answer, not an accident.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_sha256 = hashlib.sha256

EMPTY_ROOT = _sha256(b"").digest()
HASH_SIZE = 32
_BLOCK = 256  # leaves that `Frontier.extend` takes at once


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data)."""
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return _sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The tree hash (RFC 6962 section 2.1) over consecutive hashes of one level, any number of them."""
    row = list(hashes)
    if not row:
        return EMPTY_ROOT
    while len(row) > 1:
        odd = row[-1:] if len(row) & 1 else []
        row = [_sha256(b"\x01" + a + b).digest() for a, b in zip(row[::2], row[1::2], strict=False)] + odd
    return row[0]


class Frontier:
    """The right edge of a growing tree: enough to append and to know the root, in O(log n) memory."""

    __slots__ = ("_edge", "size")

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._edge: list[bytes] = []
        for leaf in leaves:
            self.append(leaf)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        self._push(leaf, 0)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add many leaf hashes; faster than one by one."""
        at, count = 0, len(leaves)
        while at < count:
            if self.size % _BLOCK == 0 and count - at >= _BLOCK:
                self._push(fold(leaves[at : at + _BLOCK]), _BLOCK.bit_length() - 1)
                at += _BLOCK
            else:
                self._push(leaves[at], 0)
                at += 1

    def _push(self, node: bytes, level: int) -> None:
        """Add the root of 2**level leaves; the size is a multiple of that."""
        size = self.size >> level
        edge = self._edge
        while size & 1:
            node = _sha256(b"\x01" + edge.pop() + node).digest()
            size >>= 1
        edge.append(node)
        self.size += 1 << level

    def root(self) -> bytes:
        """The root of all leaves so far."""
        if not self._edge:
            return EMPTY_ROOT
        root = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            root = node_hash(left, root)
        return root

    def copy(self) -> Frontier:
        """An independent copy."""
        other = Frontier()
        other.size = self.size
        other._edge = list(self._edge)
        return other


class Tree:
    """All complete subtrees, level by level: makes proofs for any size. 64 bytes a leaf."""

    __slots__ = ("_levels",)

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels = [bytearray()]
        for leaf in leaves:
            self.append(leaf)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0]) // HASH_SIZE

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        levels = self._levels
        levels[0] += leaf
        level = 0
        while len(levels[level]) % (2 * HASH_SIZE) == 0:
            pair = levels[level][-2 * HASH_SIZE :]
            level += 1
            if level == len(levels):
                levels.append(bytearray())
            levels[level] += _sha256(b"\x01" + pair).digest()

    def leaf(self, index: int) -> bytes:
        """The leaf hash at an index."""
        return self._range(index, index + 1)

    def root(self, size: int | None = None) -> bytes:
        """The root of the first ``size`` leaves (all of them by default).

        Raises:
            ConfigurationError: the tree is smaller than that.
        """
        return self._range(0, self._within(size))

    def subtree(self, start: int, stop: int) -> bytes:
        """The tree hash of the leaves [start, stop), where ``start`` is a multiple of a power of two >= the width.

        Raises:
            ConfigurationError: the tree is smaller than that.
        """
        return self._range(start, self._within(stop))

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """RFC 6962 PATH(index, D[size]): the hashes that lead from a leaf to the root, lowest first.

        Raises:
            ConfigurationError: the index is not in the tree of that size.
        """
        stop = self._within(size)
        if not 0 <= index < stop:
            raise ConfigurationError(f"no leaf {index} in a tree of size {stop}")
        start = 0
        path: list[bytes] = []
        while stop - start > 1:
            middle = start + _split(stop - start)
            if index < middle:
                path.append(self._range(middle, stop))
                stop = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return tuple(reversed(path))

    def consistency(self, old: int, size: int | None = None) -> tuple[bytes, ...]:
        """RFC 6962 PROOF(old, D[size]): that the tree of size ``old`` is a prefix of this one.

        Raises:
            ConfigurationError: not 1 <= old <= size.
        """
        stop = self._within(size)
        if not 1 <= old <= stop:
            raise ConfigurationError(f"a consistency proof goes from 1 <= old <= {stop}, not from {old}")
        start = 0
        whole = True  # the old tree's root is known to the reader as long as we have only gone left
        path: list[bytes] = []
        while old != stop - start:
            middle = _split(stop - start)
            if old <= middle:
                path.append(self._range(start + middle, stop))
                stop = start + middle
            else:
                path.append(self._range(start, start + middle))
                start += middle
                old -= middle
                whole = False
        if not whole:
            path.append(self._range(start, stop))
        return tuple(reversed(path))

    def _within(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise ConfigurationError(f"the tree has {self.size} leaves, not {size}")
        return size

    def _range(self, start: int, stop: int) -> bytes:
        count = stop - start
        if count == 0:
            return EMPTY_ROOT
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            at = (start >> level) * HASH_SIZE
            return bytes(self._levels[level][at : at + HASH_SIZE])
        middle = start + _split(count)
        return node_hash(self._range(start, middle), self._range(middle, stop))


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Does the leaf hash stand at ``index`` of the tree with this size and root? (RFC 9162 section 2.1.3.2)"""
    if not 0 <= index < size or len(leaf) != HASH_SIZE or any(len(part) != HASH_SIZE for part in proof):
        return False
    at, last, found = index, size - 1, leaf
    for part in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(part, found)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            found = node_hash(found, part)
        at >>= 1
        last >>= 1
    return last == 0 and found == root


def verify_consistency(old: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> bool:
    """Is the tree (old, old_root) a prefix of the tree (size, root)? (RFC 9162 section 2.1.4.2)

    The empty tree is a prefix of every tree and proves nothing: ``old == 0`` is False.
    """
    if not 1 <= old <= size or any(len(part) != HASH_SIZE for part in proof):
        return False
    if old == size:
        return not proof and old_root == root
    if not proof:
        return False
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    at, last = old - 1, size - 1
    while at & 1:
        at >>= 1
        last >>= 1
    first = second = path[0]
    for part in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(part, first), node_hash(part, second)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            second = node_hash(second, part)
        at >>= 1
        last >>= 1
    return last == 0 and first == old_root and second == root


def _split(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)
