"""Which blocks of wires to reduce a state to, so that every window lies in one (pure Python).

The reduced state of a block of four wires costs little more than that of a pair and holds those of
all six pairs in it, so 28 pairs of 8 wires are read from six blocks.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK = 4
_TRIES = 200_000


def cover(windows: Sequence[tuple[int, ...]], n: int) -> list[tuple[tuple[int, ...], list[int]]]:
    """Blocks of wires with the numbers of the windows that each holds; every window once.

    Windows of `BLOCK` wires or more are blocks of their own, in the order given.
    """
    out: list[tuple[tuple[int, ...], list[int]]] = []
    same: dict[tuple[int, ...], list[int]] = {}
    small: list[int] = []
    for number, window in enumerate(windows):
        if len(window) >= min(BLOCK, n):
            same.setdefault(window, []).append(number)
        else:
            small.append(number)
    out.extend(same.items())
    for block, numbers in same.items():  # small windows that lie in a block of four cost nothing more
        if len(block) <= BLOCK:
            inside = [i for i in small if set(windows[i]) <= set(block)]
            numbers.extend(inside)
            small = [i for i in small if i not in inside]
    size = min(BLOCK, n)
    exhaustive = comb(n, size) * max(1, len(small)) <= _TRIES
    while small:
        blocks = combinations(range(n), size) if exhaustive else [_grown(windows, small, size)]
        best = max(blocks, key=lambda b: sum(set(windows[i]) <= set(b) for i in small))
        inside = [i for i in small if set(windows[i]) <= set(best)]
        used = sorted({w for i in inside for w in windows[i]})
        out.append((tuple(used), inside))
        small = [i for i in small if i not in inside]
    return out


def _grown(windows: Sequence[tuple[int, ...]], left: list[int], size: int) -> tuple[int, ...]:
    """A block grown from the first window by windows that add the fewest wires."""
    block = set(windows[left[0]])
    while True:
        fits = [i for i in left if not set(windows[i]) <= block and len(block | set(windows[i])) <= size]
        if not fits:
            return tuple(sorted(block))
        block |= set(windows[min(fits, key=lambda i: len(set(windows[i]) - block))])
