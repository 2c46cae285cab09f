"""What the pictures are made of: axes with round ticks, labels that keep apart, colours (imports attrs, nothing heavy).

SVG by hand: the same numbers give the same bytes. Widths of text are bounds, as no font is at hand here.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH, SIZE, LINE = 820, 13, 17
INK, GRID, MUTED = "#111827", "#e5e7eb", "#6b7280"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a6508a", "#8a6d00", "#3a9bd1", "#5b5b5b", "#7a3e9d")
"""Okabe and Ito's, which the colour-blind tell apart, the light ones darkened; arms take them in the plan's order."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def colour(index: int) -> str:
    """Of the arm in this place; they come again after eight."""
    return COLOURS[index % len(COLOURS)]


def dashes(index: int) -> str:
    """An attribute that tells the lines of arms apart whose colours are the same."""
    return "" if index < len(COLOURS) else ' stroke-dasharray="6 3"'


def width_of(text: str, size: float = SIZE) -> float:
    """A bound of the width of a text in a sans-serif font, in pixels."""
    return 0.62 * size * len(text)


def cut(name: str, most: int = 22) -> str:
    """A name of so many characters at most; what was cut off is a dot dot dot."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def picture(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """A standalone SVG with its title on top."""
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" ',
            f'font-size="{SIZE}" role="img"><rect width="{width:g}" height="{height:g}" fill="white"/>',
            f"<title>{escape(title)}</title>",
            f'<text x="12" y="24" font-weight="bold">{escape(title)}</text>',
            *parts,
            "</svg>",
        ]
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", fill: str = INK, more: str = "") -> str:
    """A line of text; ``more`` is further attributes, each after a space."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}"{more}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, stroke: str = INK, more: str = "") -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="{stroke}"{more}/>'


def points(pairs: Iterable[tuple[float, float]]) -> str:
    """Coordinates of a polyline or polygon."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def polyline(pairs: Iterable[tuple[float, float]], *, stroke: str, more: str = "") -> str:
    """A line from point to point."""
    return f'<polyline points="{points(pairs)}" fill="none" stroke="{stroke}"{more}/>'


@frozen(kw_only=True)
class Axis:
    """Values to pixels.

    Args:
        low, high: of the values.
        start, end: where those two lie, in pixels; upwards end is the smaller one.
        log: decades are of one length.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies, also outside; of a logarithmic axis, what is below lies on the border."""
        low, high, v = (
            (math.log(x) for x in (self.low, self.high, max(value, self.low)))
            if self.log
            else (
                self.low,
                self.high,
                value,
            )
        )
        share = (v - low) / (high - low) if high > low else 0.5
        return self.start + (self.end - self.start) * share

    @property
    def ticks(self) -> list[float]:
        """Round values within the axis."""
        return log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high)


def axis_over(values: Sequence[float], start: float, end: float, *, log: bool = False, room: float = 0.06) -> Axis:
    """An axis that holds all values with some room to either side."""
    low, high = min(values), max(values)
    if log:
        factor = (high / low) ** room if high > low else 1.5
        return Axis(low=low / factor, high=high * factor, start=start, end=end, log=True)
    more = room * (high - low) or 0.5 * abs(high) or 1.0
    return Axis(low=low - more, high=high + more, start=start, end=end)


def ticks(low: float, high: float, wanted: int = 7) -> list[float]:
    """Up to ``wanted`` or so multiples of 1, 2 or 5 times a power of ten between low and high."""
    if not high > low:
        return [low]
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten; with 2 and 5 times them where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        found = [m * 10.0**k for k in decades for m in factors if low <= m * 10.0**k <= high]
        if len(found) >= 3:
            return found
    return found or [low, high]


def shown(value: float) -> str:
    """A tick's label."""
    return f"{value:.6g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3g}"


def kept_apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places on a line, each near the one wanted, ``gap`` from the next and within low and high as far as they fit.

    The order of the wanted ones is kept.
    """
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    found = [0.0] * len(wanted)
    last = low - gap
    for i in order:
        last = found[i] = max(wanted[i], last + gap)
    limit = high
    for i in reversed(order):
        found[i] = min(found[i], limit)
        limit = found[i] - gap
    return found


def overlap(a: Box, b: Box) -> bool:
    """Do two boxes share a point inside?"""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def beside(x: float, y: float, words: str, taken: Sequence[Box], within: Box) -> tuple[float, float, Box]:
    """Where words go beside a point: (x, baseline, box), clear of what is taken and inside; else to its right.

    Right of it is tried first, then left, above, below, and farther off in turn.
    """
    wide, high = width_of(words), LINE - 3.0
    first: tuple[float, float, Box] | None = None
    for off in (13.0, 22.0, 34.0, 50.0, 70.0):
        for left, top in (
            (x + off, y - high / 2),
            (x - off - wide, y - high / 2),
            (x - wide / 2, y - off - high),
            (x - wide / 2, y + off),
            (x + off, y - off - high),
            (x + off, y + off),
            (x - off - wide, y - off - high),
            (x - off - wide, y + off),
        ):
            box = (left, top, left + wide, top + high)
            place = (left, top + high - 3, box)
            first = first or place
            inside = box[0] >= within[0] and box[1] >= within[1] and box[2] <= within[2] and box[3] <= within[3]
            if inside and not any(overlap(box, other) for other in taken):
                return place
    assert first is not None
    return first
