"""`Row`: published, expected, ours, and whether ours lies in the band (imports recipe, summary, statistics; no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import fields, frozen

from qimg_compare import statistics
from qimg_compare.reproduce.recipe import (
    Band,
    BetterShare,
    Count,
    Difference,
    Effort,
    Entanglement,
    Figure,
    Metric,
)
from qimg_compare.scales import Better, scale_of
from qimg_compare.statistics import paired
from qimg_compare.summary import mean_of, scores_of
from qimg_compare.verdict import turned
from qimg_core.ledger.canonical import real
from qimg_core.seeds import derive_seed
from qimg_core.verdict import Verdict
from qimg_metrics.bootstrap import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from qimg_compare.reproduce.recipe import Measure
    from qimg_compare.result import RunResult
    from qimg_metrics.bootstrap import Estimate


@frozen(kw_only=True)
class Ours:
    """A number of ours.

    Args:
        value: the number.
        low, high: 95 % interval; None where it has none (one seed).
        basis: what it was made from, in words.
    """

    value: float
    low: float | None = None
    high: float | None = None
    basis: str


@frozen(kw_only=True)
class Row:
    """One figure, judged.

    Args:
        name: of it.
        published: as it was given.
        definition: of the published number.
        band: where ours is expected; None: nowhere in particular.
        ours: None where it could not be had.
        data: the same of fresh data, which no model can be asked to surpass; None where that was not measured.
        verdict: pass: in the band; fail: outside; inconclusive: not judged, though there is a band; not_applicable: no
            band, as nothing to expect is known.
        remark: why it was not judged, or why published and ours are not the same.
    """

    name: str
    published: str | None
    definition: str
    band: Band | None
    ours: Ours | None
    verdict: Verdict
    remark: str = ""
    data: Ours | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON without floats."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(Row)}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return real(value)
    if isinstance(value, (Band, Ours)):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(type(value))}
    return value.value if isinstance(value, Verdict) else value


def row_of(figure: Figure, ours: Ours | None, effort: Effort, *, data: str | None = None, why: str = "") -> Row:
    """Judge a figure: by its interval, which lies in the band, outside of it, or across an end.

    Args:
        figure: what is expected.
        ours: the number; None: it could not be had.
        effort: at ``quick`` nothing is judged.
        data: the known dataset that was learned; a band for another one judges nothing.
        why: there is no number.
    """
    band = figure.bands.get(Effort.USUAL if effort is Effort.QUICK else effort)
    verdict, reason = _judged(ours, band, effort, data, why)
    comparable = f"not comparable: {figure.not_comparable}" if figure.not_comparable else ""
    return Row(
        name=figure.name,
        published=figure.published,
        definition=figure.definition,
        band=band,
        ours=ours,
        verdict=verdict,
        remark="; ".join(part for part in (reason, comparable) if part),
    )


def _judged(ours: Ours | None, band: Band | None, effort: Effort, data: str | None, why: str) -> tuple[Verdict, str]:
    if ours is None:
        return (Verdict.NOT_APPLICABLE if band is None else Verdict.INCONCLUSIVE), why
    if band is None:
        return Verdict.NOT_APPLICABLE, ""
    if effort is Effort.QUICK:
        return Verdict.INCONCLUSIVE, "quick judges nothing"
    if band.data not in (None, data):
        return Verdict.INCONCLUSIVE, f"the band is for {band.data}, these are other data"
    if ours.low is None or ours.high is None:
        return Verdict.INCONCLUSIVE, "one seed has no interval"
    inside = band.holds(ours.low, ours.high)
    if inside is None:
        return Verdict.INCONCLUSIVE, "the interval crosses an end of the band"
    return (Verdict.PASS if inside else Verdict.FAIL), ""


def overall(rows: Sequence[Row]) -> Verdict:
    """Fail where one row fails; pass where every row with a band passes and there is one; else inconclusive."""
    found = {r.verdict for r in rows}
    if Verdict.FAIL in found:
        return Verdict.FAIL
    return Verdict.PASS if Verdict.PASS in found and Verdict.INCONCLUSIVE not in found else Verdict.INCONCLUSIVE


# -- numbers of ours from the runs -------------------------------------------------------------------------------


def measured(
    measure: Measure, results: Sequence[RunResult], *, circuit: Callable[[int], Estimate]
) -> tuple[Ours | None, str]:
    """A number of ours, or None and why.

    Args:
        measure: what.
        results: of all runs.
        circuit: measures the entanglement of so many layers.
    """
    if isinstance(measure, Metric):
        own = [r for r in results if r.arm == measure.arm]
        found = mean_of(measure.arm, own, measure.metric)
        if found is None:
            return None, f"no run of {measure.arm} has {measure.metric}"
        return Ours(value=found.value, low=found.low, high=found.high, basis=_seeds(found.seeds)), ""
    if isinstance(measure, (Difference, BetterShare)):
        made = _difference(measure, results) if isinstance(measure, Difference) else _share(measure, results)
        return made, "" if made else f"no seed has both {measure.first} and {measure.second}"
    if isinstance(measure, Count):
        counts = {r.parameters[measure.part] for r in results if r.arm == measure.arm and measure.part in r.parameters}
        if len(counts) != 1:
            return None, f"no run of {measure.arm} counts its {measure.part} numbers"
        value = float(counts.pop())
        return Ours(value=value, low=value, high=value, basis="exact"), ""
    if isinstance(measure, Entanglement):
        e = circuit(measure.layers)
        return Ours(value=e.value, low=e.low, high=e.high, basis=f"{e.n:,} states"), ""
    return None, "only shown as published"


def _difference(measure: Difference, results: Sequence[RunResult]) -> Ours | None:
    values = _common(measure, results)
    if not len(values):
        return None
    d = values[:, 0] - values[:, 1]
    value, basis = float(d.mean()), _seeds(len(d), "paired ")
    if len(d) < 2:
        return Ours(value=value, basis=basis)
    scores = [s for r in results for s in scores_of(r, (measure.metric,))]
    noise = paired(scores, measure.first, measure.second, measure.metric).noise
    seed = derive_seed(0, "difference", measure.first, measure.second, measure.metric)
    low, high = statistics.expanded_interval(statistics.bootstrap_means(d, noise, seed=seed), len(d))
    return Ours(value=value, low=min(low, value), high=max(high, value), basis=basis)


def _share(measure: BetterShare, results: Sequence[RunResult]) -> Ours | None:
    values = turned(measure.metric, _common(measure, results))
    if not len(values):
        return None
    sign = -1 if scale_of(measure.metric) is Better.LARGER else 1
    n, better = len(values), int((sign * values[:, 0] < sign * values[:, 1]).sum())
    low, high = clopper_pearson(better, n)
    return Ours(value=better / n, low=low, high=high, basis=_seeds(n, "paired "))


def _common(measure: Difference | BetterShare, results: Sequence[RunResult]) -> NDArray[np.float64]:
    """Values of both arms (seeds, 2) at the seeds that both have."""
    found = {(r.arm, r.seed): r.metrics[measure.metric].value for r in results if measure.metric in r.metrics}
    seeds = sorted({seed for _, seed in found})
    both = [(found.get((measure.first, s)), found.get((measure.second, s))) for s in seeds]
    return np.array([pair for pair in both if None not in pair], dtype=np.float64).reshape(-1, 2)


def _seeds(n: int, kind: str = "") -> str:
    return f"{n} {kind}seed{'' if n == 1 else 's'}"
