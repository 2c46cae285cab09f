"""Agreement of annotators: Cohen's and Fleiss' kappa, Krippendorff's alpha (imports errors, numpy).

Sources: J. Cohen, Educ. Psychol. Meas. 20 (1960) 37; J. L. Fleiss, Psychol. Bull. 76 (1971) 378; K. Krippendorff,
"Content Analysis" (1980), chapter 12, with coincidences of pairs within a unit.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np

from qimg_core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

Level = Literal["nominal", "ordinal", "interval", "ratio"]


def cohen_kappa(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """(p_o - p_e) / (1 - p_e) of two annotators who both labelled every unit.

    Raises:
        DataError: not as many labels, none, or both use the same single label (kappa is not defined).
    """
    if len(one) != len(other) or not one:
        raise DataError(f"Cohen's kappa: wanted as many labels of both, got {len(one)} and {len(other)}")
    n = len(one)
    a, b = Counter(one), Counter(other)
    chance = sum(a[k] * b[k] for k in a) / n**2
    if chance == 1:
        raise DataError("Cohen's kappa is not defined where both use a single label", hint="take more units")
    return (sum(x == y for x, y in zip(one, other, strict=True)) / n - chance) / (1 - chance)


def fleiss_kappa(units: Sequence[Sequence[Hashable]]) -> float:
    """Kappa of units that were each labelled by the same number of annotators, not necessarily the same people.

    Args:
        units: the labels of each unit.

    Raises:
        DataError: another number of labels in some unit, fewer than two, or a single label throughout.
    """
    sizes = {len(u) for u in units}
    if len(sizes) != 1 or min(sizes) < 2:
        raise DataError(
            f"Fleiss' kappa: wanted the same number of labels for each unit, at least 2, got {sorted(sizes)}",
            hint="Krippendorff's alpha takes missing labels",
        )
    n = sizes.pop()
    counts = [Counter(u) for u in units]
    share = {k: sum(c[k] for c in counts) / (n * len(units)) for c in counts for k in c}
    chance = sum(p * p for p in share.values())
    if len(share) == 1:
        raise DataError("Fleiss' kappa is not defined where all use a single label", hint="take more units")
    seen = sum((sum(v * v for v in c.values()) - n) / (n * (n - 1)) for c in counts) / len(units)
    return (seen - chance) / (1 - chance)


def krippendorff_alpha(units: Sequence[Sequence[float | None]], level: Level = "nominal") -> float:
    """1 - D_o / D_e over all pairs of labels within a unit; missing labels are None.

    Args:
        units: the labels of each unit as numbers; codes of classes for ``nominal``.
        level: of measurement.

    Raises:
        DataError: no unit with two labels, negative numbers at ratio level, or a single label throughout.
    """
    kept = [[float(v) for v in u if v is not None] for u in units]
    kept = [u for u in kept if len(u) > 1]
    values = sorted({v for u in kept for v in u})
    if len(values) < 2:
        raise DataError("Krippendorff's alpha is not defined: wanted units with two labels, and two different labels")
    if level == "ratio" and values[0] < 0:
        raise DataError("Krippendorff's alpha at ratio level: wanted numbers from 0 up")
    place = {v: i for i, v in enumerate(values)}
    coincident = np.zeros((len(values), len(values)))
    for u in kept:
        count = np.zeros(len(values))
        for v in u:
            count[place[v]] += 1
        coincident += (np.outer(count, count) - np.diag(count)) / (len(u) - 1)
    total = coincident.sum(0)
    distance = _distance(np.array(values), total, level)
    n = total.sum()
    expected = float((np.outer(total, total) * distance).sum()) / float(n - 1)
    return 1 - float((coincident * distance).sum()) / expected


def _distance(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
    total: np.ndarray[tuple[int], np.dtype[np.float64]],
    level: Level,
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Squared differences (k, k)."""
    a, b = values[:, None], values[None, :]
    if level == "nominal":
        return np.asarray(a != b, dtype=np.float64)
    if level == "interval":
        return np.asarray((a - b) ** 2)
    if level == "ratio":
        return np.asarray(((a - b) / np.where(a + b == 0, 1, a + b)) ** 2)
    before = np.cumsum(total) - total / 2  # ordinal: how many labels lie between, the ends by half
    return np.asarray((before[:, None] - before[None, :]) ** 2)
