"""An arm over its seeds: metrics with intervals, budgets; scores with draws (imports statistics, result; no I/O)."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from qimg_compare import statistics
from qimg_compare.scales import SHARES
from qimg_compare.statistics import Score
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from qimg_compare.plan import ComparePlan
    from qimg_compare.result import Measured, RunResult

DRAWS = 200


@frozen(kw_only=True)
class Mean:
    """Mean of a metric over seeds with its 95 % interval (None of fewer than two seeds)."""

    value: float
    low: float | None
    high: float | None
    seeds: int


@frozen(kw_only=True)
class AtSeed:
    """One metric of one run with its interval over the images."""

    seed: int
    value: float
    low: float
    high: float


@frozen(kw_only=True)
class Summary:
    """One arm or control over its seeds; budgets are means of one run.

    Args:
        name: of the arm.
        role: what it answers; ``control`` for controls.
        metrics: by name.
        runs: every run's own, by name: what differences of arms are taken of.
        parameters: trained numbers; 0 for controls.
        trials: of tuning: made where the arm has a grid, else as declared.
        steps: of training, the mean over seeds.
        executions, shots: of training and sampling.
        train_seconds: None where weights were given or not every time is known.
        seconds_per_image: median over seeds.
        seconds_per_image_p95: 95th percentile over seeds.
        cost: upper bound, in the provider's unit.
        kinds: of devices.
        quantum, simulated: of all its images.
    """

    name: str
    role: str
    metrics: Mapping[str, Mean]
    runs: Mapping[str, tuple[AtSeed, ...]]
    parameters: int
    trials: int
    steps: int
    executions: float
    shots: float
    train_seconds: float | None
    seconds_per_image: float
    seconds_per_image_p95: float
    cost: float
    kinds: tuple[str, ...]
    quantum: bool
    simulated: bool


def scores_of(result: RunResult, metrics: Sequence[str]) -> list[Score]:
    """One score a metric that the run has, with draws that follow its interval."""
    return [
        Score(
            arm=result.arm,
            seed=result.seed,
            metric=m,
            value=found.value,
            draws=draws_of(found, result.arm, result.seed, m),
        )
        for m in metrics
        if (found := result.metrics.get(m)) is not None
    ]


def scores_again(summary: Summary, metric: str) -> list[Score]:
    """The scores that an arm's summary was made of, draws and all."""
    return [
        Score(
            arm=summary.name, seed=r.seed, metric=metric, value=r.value, draws=draws_of(r, summary.name, r.seed, metric)
        )
        for r in summary.runs.get(metric, ())
    ]


def draws_of(found: Measured | AtSeed, arm: str, seed: int, metric: str) -> NDArray[np.float64]:
    """Draws (200,) of a metric over its images: normal to either side of the value, 95 % within its interval."""
    z = np.random.default_rng(derive_seed(seed, "draws", arm, metric)).standard_normal(DRAWS)
    below, above = (found.value - found.low) / 1.96, (found.high - found.value) / 1.96
    return np.asarray(found.value + np.where(z < 0, z * below, z * above))


def summary(plan: ComparePlan, name: str, results: Sequence[RunResult]) -> Summary:
    """An arm or a control over its results."""
    arm = next((a for a in plan.arms if a.name == name), None)
    times = [r.sample_seconds / r.n for r in results if r.n]
    trained = [r.train_seconds for r in results]
    known = [t for t in trained if t is not None]
    return Summary(
        name=name,
        role="control" if arm is None else arm.role.value,
        metrics={m: mean for m in plan.every_metric if (mean := mean_of(name, results, m)) is not None},
        runs={m: tuple(_at(r, found) for r in results if (found := r.metrics.get(m))) for m in plan.every_metric},
        parameters=max((r.parameters.get("total", 0) for r in results), default=0),
        trials=0 if arm is None else arm.tried,
        steps=round(_average([r.steps for r in results])),
        executions=_average([r.train_executions + r.sample_executions for r in results]),
        shots=_average([r.train_shots + r.sample_shots for r in results]),
        train_seconds=_average(known) if known and len(known) == len(trained) else None,
        seconds_per_image=median(times) if times else 0.0,
        seconds_per_image_p95=float(np.quantile(times, 0.95)) if times else 0.0,
        cost=_average([float(r.cost) for r in results]),
        kinds=tuple(sorted({k for r in results for k in r.kinds})),
        quantum=bool(results) and all(r.quantum for r in results),
        simulated=bool(results) and all(r.simulated for r in results),
    )


def _at(result: RunResult, found: Measured) -> AtSeed:
    return AtSeed(seed=result.seed, value=found.value, low=found.low, high=found.high)


def mean_of(name: str, results: Sequence[RunResult], metric: str) -> Mean | None:
    """The mean over seeds, its interval from a bootstrap over seeds and images; None without any value."""
    scores = [s for r in results for s in scores_of(r, (metric,))]
    if not scores:
        return None
    values = np.array([s.value for s in scores])
    if len(values) < 2:
        return Mean(value=float(values[0]), low=None, high=None, seeds=1)
    noise = np.stack([s.draws - s.draws.mean() for s in scores])
    means = statistics.bootstrap_means(values, noise, seed=derive_seed(0, "mean", name, metric))
    low, high = statistics.expanded_interval(means, len(values))
    if metric in SHARES:
        low, high = max(0.0, low), min(1.0, high)
    return Mean(value=float(values.mean()), low=low, high=high, seeds=len(values))


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
