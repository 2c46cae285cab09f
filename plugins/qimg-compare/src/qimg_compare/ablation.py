"""Ablation bars: each arm minus the reference on one metric, with its interval (imports drawing, summary, verdict).

The reference is the classical arm of the plan, so a bar says what an arm's form brings over it. The intervals are of
single differences, from the same bootstrap as everywhere; they are not adjusted and test nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_compare import drawing
from qimg_compare.scales import Better, scale_of
from qimg_compare.statistics import paired
from qimg_compare.summary import scores_again
from qimg_compare.verdict import compare
from qimg_core.seeds import derive_seed
from qimg_metrics.bootstrap import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_compare.analysis import Analysis
    from qimg_compare.plan import ComparePlan

LEFT, RIGHT, ROW, TOP = 190, 230, 30, 62
BETTER, WORSE, OPEN = "#1b7f4d", "#b3372f", "#9ca3af"


@frozen(kw_only=True)
class Bar:
    """An arm minus the reference over the seeds that both have.

    Args:
        arm: its name.
        pairs: seeds.
        difference, low, high: mean and 95 % interval.
    """

    arm: str
    pairs: int
    difference: float
    low: float
    high: float


def bars_of(plan: ComparePlan, analysis: Analysis) -> tuple[Bar, ...]:
    """A bar for every arm that shares two seeds or more with the reference on the primary metric.

    The candidate's is the comparison that decides.
    """
    found = {a.name: a for a in analysis.arms}
    reference = scores_again(found[plan.reference], plan.primary)
    seeds, out = {s.seed for s in reference}, []
    for arm in plan.arms:
        if arm.name == plan.reference:
            continue
        if arm.name == plan.candidate and analysis.primary is not None:
            c = analysis.primary
        else:
            own = scores_again(found[arm.name], plan.primary)
            if len(seeds & {s.seed for s in own}) < 2:
                continue
            pairs = paired([*own, *reference], arm.name, plan.reference, plan.primary)
            seed = derive_seed(plan.seed, "bootstrap", plan.primary, arm.name, "ablation")
            c = compare(pairs, metric=plan.primary, first=arm.name, second=plan.reference, margin=0.0, seed=seed)
        out.append(Bar(arm=arm.name, pairs=c.pairs, difference=c.difference, low=c.low, high=c.high))
    return tuple(out)


def ablation(plan: ComparePlan, bars: Sequence[Bar]) -> str:
    """The bars as a standalone SVG; a bar is coloured where its interval leaves out 0."""
    scale = scale_of(plan.primary)
    of = f"distance of {plan.primary} from 1" if scale is Better.NEAR_ONE else plan.primary
    title = f"Each arm minus {plan.reference}: {of}"
    if not bars:
        return drawing.picture(drawing.WIDTH, 72, title, [drawing.text(12, 48, "no two arms share two seeds")])
    bottom = TOP + ROW * len(bars)
    ends = [v for b in bars for v in (b.low, b.high)] + [0.0]
    across = drawing.axis_over(ends, LEFT, drawing.WIDTH - RIGHT)
    parts = [_direction(across, scale)]
    for value in across.ticks:
        x = across.at(value)
        parts += [
            drawing.line(x, TOP, x, bottom, stroke=drawing.GRID),
            drawing.text(x, bottom + 19, drawing.shown(value), anchor="middle"),
        ]
    for i, b in enumerate(bars):
        y = TOP + ROW * i + ROW / 2
        tint = _tint(b, scale)
        zero, tip = sorted((across.at(0.0), across.at(b.difference)))
        words = f"{number(b.difference)} [{number(b.low)}, {number(b.high)}]"
        low, high = across.at(b.low), across.at(b.high)
        parts += [
            drawing.text(LEFT - 10, y + 4, drawing.cut(b.arm), anchor="end"),
            f'<rect x="{zero:.1f}" y="{y - 9:.1f}" width="{tip - zero:.1f}" height="18" fill="{tint}" opacity="0.75"/>',
            drawing.line(low, y, high, y, more=' stroke-width="1.4"'),
            *(drawing.line(x, y - 5, x, y + 5, more=' stroke-width="1.4"') for x in (low, high)),
            drawing.text(drawing.WIDTH - RIGHT + 12, y + 4, words, more=' font-size="12"'),
        ]
    parts.append(drawing.line(across.at(0.0), TOP - 4, across.at(0.0), bottom + 4))
    return drawing.picture(drawing.WIDTH, bottom + 30, title, parts)


def _tint(b: Bar, scale: Better) -> str:
    if b.low <= 0 <= b.high:
        return OPEN
    return BETTER if (b.difference > 0) == (scale is Better.LARGER) else WORSE


def _direction(across: drawing.Axis, scale: Better) -> str:
    words = "larger is better →" if scale is Better.LARGER else "← smaller is better"
    return drawing.text((across.start + across.end) / 2, 46, words, anchor="middle", fill=drawing.MUTED)
