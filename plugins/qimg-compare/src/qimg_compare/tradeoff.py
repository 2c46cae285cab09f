"""Cost against quality: each arm a point, those that no other beats in both are the Pareto front (imports drawing).

Cost is seconds or money for an image, as the plan's KPI says; quality is the primary metric. The front is of means:
where intervals overlap, another set of seeds may draw it otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_compare import drawing
from qimg_compare.scales import Better, scale_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qimg_compare.analysis import Analysis
    from qimg_compare.plan import ComparePlan
    from qimg_compare.summary import Summary

LEFT, RIGHT, TOP, BOTTOM, HEIGHT = 84, 26, 52, 58, 420
WIDE = 20.0
"""Costs that lie farther apart than this factor are drawn in decades."""


@frozen(kw_only=True)
class Place:
    """An arm in the picture.

    Args:
        arm: its name.
        index: in the plan, for its colour.
        cost: for an image.
        quality: the metric's mean over seeds (of one that is best near 1, its distance from 1).
        low, high: its interval, None where there is none.
    """

    arm: str
    index: int
    cost: float
    quality: float
    low: float | None
    high: float | None


def places_of(plan: ComparePlan, analysis: Analysis) -> tuple[tuple[Place, ...], str]:
    """All arms that have both numbers, in the plan's order, and what the cost is.

    Cost is time where the KPI is money and nothing was paid.
    """
    arms = {a.name: a for a in analysis.arms}
    paid = plan.kpi == "money" and any(a.cost for a in analysis.arms)
    near = scale_of(plan.primary) is Better.NEAR_ONE
    out = []
    for i, arm in enumerate(plan.arms):
        a: Summary = arms[arm.name]
        mean = a.metrics.get(plan.primary)
        if mean is None:
            continue
        cost = a.cost / plan.n if paid else a.seconds_per_image
        quality, low, high = (abs(mean.value - 1), None, None) if near else (mean.value, mean.low, mean.high)
        out.append(Place(arm=arm.name, index=i, cost=cost, quality=quality, low=low, high=high))
    return tuple(out), "cost of a run for each image" if paid else "seconds for an image"


def front(places: Iterable[Place], *, larger: bool) -> tuple[Place, ...]:
    """Those that no other place beats: none is as good and as cheap, and better in one; the cheapest first.

    Args:
        places: in any order.
        larger: larger values of the metric are better.
    """
    every = list(places)

    def beaten(p: Place) -> bool:
        return any(
            q.cost <= p.cost and _gain(q, p, larger) >= 0 and (q.cost < p.cost or _gain(q, p, larger) > 0)
            for q in every
        )

    return tuple(sorted((p for p in every if not beaten(p)), key=lambda p: (p.cost, p.arm)))


def _gain(q: Place, p: Place, larger: bool) -> float:
    """By how much q is better than p."""
    return q.quality - p.quality if larger else p.quality - q.quality


def cost_quality(plan: ComparePlan, places: Sequence[Place], cost: str) -> str:
    """The picture as a standalone SVG: arms with a ring and bold names are on the front.

    Args:
        plan: names the metric.
        places: of `places_of`.
        cost: what it is, in words.
    """
    scale = scale_of(plan.primary)
    of = f"distance of {plan.primary} from 1" if scale is Better.NEAR_ONE else plan.primary
    larger = scale is Better.LARGER
    title = f"Cost and quality: {of} ({'larger' if larger else 'smaller'} is better)"
    if not places:
        return drawing.picture(drawing.WIDTH, 72, title, [drawing.text(12, 48, f"no arm has {plan.primary}")])
    costs = [p.cost for p in places]
    log = min(costs) > 0 and max(costs) > WIDE * min(costs)
    right, bottom = drawing.WIDTH - RIGHT, HEIGHT - BOTTOM
    across = drawing.axis_over(costs, LEFT, right, log=log, room=0.1)
    up = drawing.axis_over(
        [v for p in places for v in (p.low, p.quality, p.high) if v is not None], bottom, TOP, room=0.1
    )
    parts = _frame(across, up, cost)
    best = front(places, larger=larger)
    at = {p.arm: (across.at(p.cost), up.at(p.quality)) for p in places}
    corners = [at[best[0].arm]]
    for p in best[1:]:
        x, y = at[p.arm]
        corners += [(x, corners[-1][1]), (x, y)]  # what can be had for less than x is what the one before gives
    parts.append(drawing.polyline(corners, stroke=drawing.MUTED, more=' stroke-dasharray="5 4"'))
    taken: list[drawing.Box] = []
    for p in places:
        x, y = at[p.arm]
        ends = (y, y) if p.low is None or p.high is None else (up.at(p.high), up.at(p.low))
        taken.append((x - 8, min(y - 8, ends[0]), x + 8, max(y + 8, ends[1])))
        tint = drawing.colour(p.index)
        parts.append(drawing.line(x, ends[0], x, ends[1], stroke=tint, more=' stroke-width="1.6"'))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{tint}"/>')
    rings = (
        f'<circle cx="{at[p.arm][0]:.1f}" cy="{at[p.arm][1]:.1f}" r="9" fill="none" stroke="#111827"/>' for p in best
    )
    parts += rings
    for p in places:
        x, y, box = drawing.beside(*at[p.arm], drawing.cut(p.arm), taken, (LEFT, TOP - 8, right, bottom))
        taken.append(box)
        bold = ' font-weight="bold"' if p in best else ""
        parts.append(drawing.text(x, y, drawing.cut(p.arm), fill=drawing.colour(p.index), more=bold))
    return drawing.picture(drawing.WIDTH, HEIGHT, title, parts)


def _frame(across: drawing.Axis, up: drawing.Axis, cost: str) -> list[str]:
    bottom, right = up.start, across.end
    parts = []
    for value in up.ticks:
        y = up.at(value)
        parts.append(drawing.line(LEFT, y, right, y, stroke=drawing.GRID))
        parts.append(drawing.text(LEFT - 8, y + 4, drawing.shown(value), anchor="end"))
    for value in across.ticks:
        x = across.at(value)
        parts.append(drawing.line(x, bottom, x, bottom + 4))
        parts.append(drawing.text(x, bottom + 19, drawing.shown(value), anchor="middle"))
    words = f"{cost} (ringed: no other arm is both cheaper and better)"
    return [
        *parts,
        drawing.line(LEFT, bottom, right, bottom),
        drawing.text((LEFT + right) / 2, bottom + 42, words, anchor="middle", fill=drawing.MUTED),
    ]
