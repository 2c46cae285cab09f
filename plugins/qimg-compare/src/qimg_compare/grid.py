"""A grid of settings and the points of it that trials take (imports qimg_core's seeds; no I/O).

A grid is a mapping of a setting's name to a list of values. Its points are counted from 0, names in alphabetical
order, the last one changing fastest, so that a number names the same settings on every machine.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST = 100_000
"""Points of a grid at most: each is given a place in the order of drawing."""


def points(grid: Mapping[str, Sequence[Any]]) -> int:
    """How many points a grid has; 0 without settings."""
    return prod(len(values) for values in grid.values()) if grid else 0


def point(grid: Mapping[str, Sequence[Any]], position: int) -> dict[str, Any]:
    """The settings at a position.

    Raises:
        IndexError: no such position.
    """
    if not 0 <= position < points(grid):
        raise IndexError(f"the grid has {points(grid)} points, asked for {position}")
    found: dict[str, Any] = {}
    for name in sorted(grid, reverse=True):
        position, at = divmod(position, len(grid[name]))
        found[name] = grid[name][at]
    return dict(sorted(found.items()))


def drawn(grid: Mapping[str, Sequence[Any]], trials: int, seed: int) -> tuple[int, ...]:
    """Positions of the trials: every point where there are no more than trials, else a draw without replacement.

    The draw orders all points by a seed derived for each position, so it needs no generator whose stream may change,
    and two grids of as many points get the same positions.

    Args:
        grid: of the arm.
        trials: wanted.
        seed: root of the plan.
    """
    everything = range(points(grid))
    if len(everything) <= trials:
        return tuple(everything)
    return tuple(sorted(everything, key=lambda at: derive_seed(seed, "trial", at))[:trials])
