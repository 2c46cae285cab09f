"""A forest plot as SVG by hand, so that the same numbers give the same bytes (imports drawing, verdict)."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qimg_compare.drawing import cut
from qimg_compare.scales import scale_of
from qimg_compare.tables import outcome_words
from qimg_compare.verdict import Outcome
from qimg_metrics.bootstrap import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_compare.verdict import Comparison

COLOURS = {
    Outcome.BETTER: "#1b7f4d",
    Outcome.WORSE: "#b3372f",
    Outcome.EQUIVALENT: "#1f4e9c",
    Outcome.INCONCLUSIVE: "#6b7280",
}
LEFT, RIGHT, ROW, TOP = 190, 210, 30, 54


def forest(comparisons: Sequence[Comparison], *, width: int = 820) -> str:
    """Differences of one metric with their intervals, one arm a row; the margin is a band about 0.

    Args:
        comparisons: all of one metric.
        width: of the picture in pixels.

    Returns:
        a standalone SVG; a title alone where there are no comparisons.
    """
    height = TOP + ROW * len(comparisons) + 40
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="13" role="img"><rect width="{width}" height="{height}" fill="white"/>'
    )
    if not comparisons:
        return f'{head}<text x="12" y="22">no comparisons</text></svg>'
    metric, first = comparisons[0].metric, comparisons[0].first
    reach = 1.08 * max(max(abs(c.low), abs(c.high), c.margin) for c in comparisons) or 1.0
    inner = width - LEFT - RIGHT

    def x(value: float) -> float:
        return LEFT + inner * (value + reach) / (2 * reach)

    bottom = TOP + ROW * len(comparisons)
    title = f"{first} minus each arm: {metric} ({scale_of(metric).value} is better)"
    parts = [head, f"<title>{escape(title)}</title>", f'<text x="12" y="24" font-weight="bold">{escape(title)}</text>']
    for i, c in enumerate(comparisons):
        y, colour = TOP + ROW * i + ROW / 2, COLOURS[c.outcome]
        if c.margin:
            band = f'x="{x(-c.margin):.1f}" width="{x(c.margin) - x(-c.margin):.1f}"'
            parts.append(f'<rect {band} y="{y - ROW / 2:.1f}" height="{ROW}" fill="#e8edf5"/>')
        ends = f'x1="{x(c.low):.1f}" x2="{x(c.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"'
        parts += [
            f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(cut(c.second))}</text>',
            f'<line {ends} stroke="{colour}" stroke-width="2"/>',
            f'<circle cx="{x(c.difference):.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>',
            f'<text x="{width - RIGHT + 12}" y="{y + 4:.1f}" fill="{colour}">{escape(outcome_words(c))}</text>',
        ]
    ends = f'x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{TOP - 8}" y2="{bottom + 4}"'
    parts.append(f'<line {ends} stroke="#111827" stroke-dasharray="3 3"/>')
    for value in (-reach / 1.08, 0.0, reach / 1.08):
        parts.append(f'<text x="{x(value):.1f}" y="{bottom + 22}" text-anchor="middle">{number(value)}</text>')
    return "".join([*parts, "</svg>"])
