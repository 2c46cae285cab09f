"""Is an engine right? Its step beside the judge's (imports numpy, scipy-free)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

if TYPE_CHECKING:
    from benchmarks.task import Arrays, Task

LIMIT = 1e-4
"""Largest difference, over the largest number of the array, that an engine in single precision may have."""


@frozen
class Verdict:
    """Args:
    error: largest difference over the largest number, of all arrays; for counts, standard deviations of the
        chi-squared statistic from its mean.
    reason: why the engine is wrong, or None.
    """

    error: float
    reason: str | None


def hermitian_part(h: np.ndarray) -> np.ndarray:
    """(H + H^dag) / 2: engines differ in what they call the derivative by a complex matrix, not in this."""
    return np.asarray((h + h.conj().transpose(0, 2, 1)) / 2)


def compare(task: Task, wanted: Arrays, got: Arrays, *, values_only: bool = False) -> Verdict:
    """An engine's arrays against the judge's.

    Args:
        task: what was asked.
        wanted: of `benchmarks.reference.solve`.
        got: of the engine.
        values_only: the engine gives no derivatives.
    """
    if task.reading == "counts":
        return _statistics(task, wanted["values"], got["counts"])
    worst = 0.0
    for name, right in wanted.items():
        if values_only and name != "values":
            continue
        if name not in got:
            return Verdict(float("inf"), f"no {name}")
        found = np.asarray(got[name])
        if found.shape != right.shape:
            return Verdict(float("inf"), f"{name}: shape {found.shape}, wanted {right.shape}")
        if name == "h":
            found = hermitian_part(found)
        error = float(np.abs(found - right).max() / np.abs(right).max())
        if not error <= LIMIT:
            return Verdict(error, f"{name} is off by {error:.1e} of its largest number")
        worst = max(worst, error)
    return Verdict(worst, None)


def _statistics(task: Task, p: np.ndarray, counts: np.ndarray) -> Verdict:
    """Pearson's chi-squared over all rows; outcomes expected fewer than five times are counted together."""
    assert task.shots is not None
    if counts.shape != p.shape or (counts.sum(1) != task.shots).any():
        return Verdict(float("inf"), f"counts of shape {counts.shape}, {counts.sum(1).min()} shots in a row")
    statistic, freedom = 0.0, 0
    for row, seen in zip(p * task.shots, counts, strict=True):
        often = row >= 5
        expected = np.append(row[often], row[~often].sum())
        observed = np.append(seen[often], seen[~often].sum())
        kept = expected >= 5
        statistic += float(((observed - expected)[kept] ** 2 / expected[kept]).sum())
        freedom += int(kept.sum()) - 1
    deviations = (statistic - freedom) / np.sqrt(2 * freedom)
    reason = None if abs(deviations) < 5 else f"outcomes are {deviations:.1f} deviations from their distribution"
    return Verdict(float(abs(deviations)), reason)
