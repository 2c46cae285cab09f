"""Principal components of many vectors in float64, with signs that do not hang on the machine (imports numpy)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def principal(vectors: Floats, k: int) -> tuple[Floats, Floats]:
    """The mean (d,) and the k directions (k, d) of largest variance of vectors (n, d), the largest first.

    The directions are orthonormal, each with its largest entry positive. Where the vectors span fewer than k, the rest
    are any others.
    """
    centre = vectors.mean(0)
    away = vectors - centre
    _, columns = np.linalg.eigh(away.T @ away)
    directions = columns.T[::-1][:k]
    largest = directions[np.arange(k), np.abs(directions).argmax(1)]
    return centre, directions * np.sign(largest)[:, None]
