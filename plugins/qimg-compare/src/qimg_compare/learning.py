"""Learning curves: the loss over the steps, for every arm its median and range over seeds (imports drawing, plan).

Each training leaves its losses beside its weights, and as an artefact of its own log. Losses of two generators cannot
be compared, so each has a panel; nor is a lower loss a better image.
"""

from __future__ import annotations

import logging
from statistics import median
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_compare import drawing
from qimg_compare.drawing import Axis
from qimg_compare.result import run_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from qimg_compare.plan import ComparePlan

log = logging.getLogger("qimg")

LOSSES = "weights.loss.csv"
PLACES = 160
"""Of a drawn curve."""
SMOOTH = 0.02
"""Share of the steps over which a running mean is taken."""
LEFT, TOP, PANEL, BELOW = 76, 44, 230, 54


@frozen(kw_only=True)
class Curve:
    """One arm's losses over its seeds, at some steps.

    Args:
        arm: its name.
        seeds: how many trainings.
        steps: where, from 1.
        low, middle, high: smallest, median and largest of the seeds' running means.
    """

    arm: str
    seeds: int
    steps: tuple[int, ...]
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]


def losses_of(folder: Path, plan: ComparePlan, seeds: Sequence[int]) -> dict[str, list[list[float]]]:
    """The losses of every arm that was trained here, one list a seed; arms that brought weights have none.

    A file that is not whole counts as none, with a warning; a curve's name says of how many seeds it is.
    """
    out = {}
    for arm in plan.arms:
        files = (run_folder(folder, arm.name, seed) / LOSSES for seed in seeds)
        read = [losses for file in files if file.exists() and (losses := _read(file))]
        if read:
            out[arm.name] = read
    return out


def _read(file: Path) -> list[float]:
    try:
        return [float(row.split(",")[1]) for row in file.read_text("utf-8").splitlines()[1:]]
    except (IndexError, ValueError) as error:
        log.warning("%s is not whole and is left out of the learning curves (%s)", file, error)
        return []


def curve_of(arm: str, losses: Sequence[Sequence[float]]) -> Curve:
    """Median and range over seeds, as far as the shortest training goes.

    Args:
        arm: its name.
        losses: of each seed, one a step.
    """
    length = min(len(one) for one in losses)
    smooth = [_running(one[:length], max(1, round(SMOOTH * length))) for one in losses]
    places = sorted({round(k * (length - 1) / max(1, PLACES - 1)) for k in range(PLACES)})
    columns = [[one[k] for one in smooth] for k in places]
    return Curve(
        arm=arm,
        seeds=len(losses),
        steps=tuple(k + 1 for k in places),
        low=tuple(min(c) for c in columns),
        middle=tuple(median(c) for c in columns),
        high=tuple(max(c) for c in columns),
    )


def _running(values: Sequence[float], window: int) -> list[float]:
    """The mean of the last ``window`` values, of fewer at the beginning."""
    total, out = 0.0, []
    for i, value in enumerate(values):
        total += value - (values[i - window] if i >= window else 0.0)
        out.append(total / min(i + 1, window))
    return out


def learning_curves(plan: ComparePlan, losses: Mapping[str, Sequence[Sequence[float]]]) -> str | None:
    """A picture with a panel for each generator; None where nothing was trained here.

    Args:
        plan: gives order and generators of the arms.
        losses: of `losses_of`.
    """
    panels: dict[str, list[tuple[Curve, int]]] = {}
    for i, arm in enumerate(plan.arms):
        if arm.name in losses:
            made = curve_of(arm.name, losses[arm.name])
            panels.setdefault(arm.generator, []).append((made, i))
    if not panels:
        return None
    parts: list[str] = []
    for k, (generator, curves) in enumerate(panels.items()):
        parts += _panel(generator, curves, TOP + k * (PANEL + BELOW))
    title = "Loss over the steps: median and range over seeds"
    return drawing.picture(drawing.WIDTH, TOP + len(panels) * (PANEL + BELOW), title, parts)


def _panel(generator: str, curves: Sequence[tuple[Curve, int]], top: float) -> list[str]:
    right = drawing.WIDTH - 24 - max(drawing.width_of(_name(c)) for c, _ in curves)
    bottom, head = top + PANEL - 4, top + 22
    last = [c.steps[-1] for c, _ in curves]
    across = Axis(low=1, high=max(last[0], *last, 2), start=LEFT, end=right, log=max(last) > 5 * min(last))
    up = _heights([c for c, _ in curves], bottom, head)
    parts = [drawing.text(LEFT, top + 12, generator, fill=drawing.MUTED)]
    for value in up.ticks:
        y = up.at(value)
        parts += [
            drawing.line(LEFT, y, right, y, stroke=drawing.GRID),
            drawing.text(LEFT - 8, y + 4, drawing.shown(value), anchor="end"),
        ]
    for value in [v for v in across.ticks if v >= 1]:
        x = across.at(value)
        parts += [
            drawing.line(x, bottom, x, bottom + 4),
            drawing.text(x, bottom + 19, drawing.shown(value), anchor="middle"),
        ]
    parts += [
        drawing.line(LEFT, bottom, right, bottom),
        drawing.text((LEFT + right) / 2, bottom + 37, "step", anchor="middle", fill=drawing.MUTED),
    ]
    box = f'x="{LEFT}" y="{head:g}" width="{right - LEFT:g}" height="{bottom - head:g}"'
    view = f'viewBox="{LEFT} {head:g} {right - LEFT:g} {bottom - head:g}"'
    lines, names = [], []
    ends = [up.at(c.middle[-1]) for c, _ in curves]
    for (c, i), end, place in zip(curves, ends, drawing.kept_apart(ends, drawing.LINE, head, bottom), strict=True):
        tint, xs = drawing.colour(i), [across.at(s) for s in c.steps]
        low, middle, high = ([(x, up.at(v)) for x, v in zip(xs, of, strict=True)] for of in (c.low, c.middle, c.high))
        lines += [
            f'<polygon points="{drawing.points([*high, *low[::-1]])}" fill="{tint}" fill-opacity="0.16"/>',
            drawing.polyline(middle, stroke=tint, more=f' stroke-width="1.8"{drawing.dashes(i)}'),
        ]
        names += [
            drawing.line(xs[-1], end, right + 10, place, stroke=tint, more=' stroke-width="0.8" opacity="0.6"'),
            drawing.text(right + 14, place + 4, _name(c), fill=tint),
        ]
    return [*parts, f"<svg {box} {view}>", *lines, "</svg>", *names]  # the inner one cuts off what leaves the panel


def _name(curve: Curve) -> str:
    return f"{drawing.cut(curve.arm)} ({curve.seeds})"


def _heights(curves: Sequence[Curve], bottom: float, head: float) -> Axis:
    """All losses, but for the first tenth of each training: the panel shows three times the reach of the rest."""
    late = [v for c in curves for k in [len(c.steps) // 10] for v in (*c.low[k:], *c.high[k:])]
    early = max(v for c in curves for v in c.high)
    low, high = min(late), max(late)
    return drawing.axis_over([low, max(high, min(early, low + 3 * (high - low)))], bottom, head)
