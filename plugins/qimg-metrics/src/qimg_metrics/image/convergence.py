"""How fast a training gets there: steps to a stated share of the whole drop of the loss (imports numpy).

    threshold = start - fraction (start - end)

where start and end are the means of the first and the last `window` losses; the answer is the first step whose running
mean over the last `window` losses is at the threshold or below. It compares arms that minimise one loss on one
schedule. It says nothing of adversarial losses, which do not fall as images get better.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from qimg_core.errors import ConfigurationError, DataError
from qimg_metrics.bootstrap import LEVEL, Estimate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FRACTION = 0.9
_FEWEST = 20


def convergence_steps(
    losses: ArrayLike, *, fraction: float = FRACTION, window: int | None = None, level: float = LEVEL
) -> Estimate:
    """Steps to reach `fraction` of the drop from the first losses to the last.

    The interval is from the first step at which the lower end of the running mean's own Student interval is at the
    threshold, to the first at which its upper end is; the losses in a window are taken as independent, as batches are.
    It is infinite upwards where noise hides the crossing until the end. Other seeds are not in it.

    Args:
        losses: of every step, in order (steps,).
        fraction: of the drop, above 0 and below 1.
        window: losses in a mean; 2 % of the steps unless given, 5 at least.
        level: of the interval.

    Raises:
        DataError: fewer than 20 losses, NaN, or a loss that did not fall.
        ConfigurationError: a fraction or window that makes no sense.
    """
    values = np.asarray(losses, dtype=np.float64).ravel()
    if len(values) < _FEWEST or not np.isfinite(values).all():
        raise DataError(f"wanted {_FEWEST} finite losses or more, got {len(values)}")
    width = max(5, len(values) // 50) if window is None else window
    if not 0 < fraction < 1 or not 2 <= width <= len(values) // 2:
        raise ConfigurationError(
            f"wanted a fraction in (0, 1) and a window of 2 .. {len(values) // 2}, got {fraction} and {width}"
        )
    means, half = _running(values, width, level)
    start, end = means[0], means[-1]
    if not end < start:
        raise DataError(
            f"the loss did not fall: {start:.4g} at first, {end:.4g} at last",
            hint="adversarial losses need not fall; there is no convergence to speak of then",
        )
    threshold = start - fraction * (start - end)

    def first(curve: NDArray[np.float64]) -> float:
        below = np.flatnonzero(curve <= threshold)
        return float(below[0] + width) if len(below) else math.inf

    return Estimate(
        name=f"convergence_steps[{fraction:g}]",
        value=first(means),
        low=first(means - half),
        high=first(means + half),
        level=level,
        n=len(values),
        method=f"Student interval of the running mean over {width} steps",
        note=f"steps to {fraction:g} of the drop from {start:.4g} to {end:.4g}",
    )


def read_losses(path: str | Path) -> NDArray[np.float64]:
    """The losses (steps,) of the ``.loss.csv`` that `qimg train` leaves beside the weights.

    Raises:
        DataError: not there, without a column ``loss``, or with something in it that is not a number.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            return np.array([float(row["loss"]) for row in csv.DictReader(file)])
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: wanted a table with a column of numbers called loss", hint="NAME.loss.csv, as `qimg train` writes"
        ) from error


def _running(values: NDArray[np.float64], width: int, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    t = float(stats.t.ppf((1 + level) / 2, width - 1))
    half: NDArray[np.float64] = t * windows.std(axis=1, ddof=1) / math.sqrt(width)
    return windows.mean(axis=1), half
