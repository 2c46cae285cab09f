"""Circuits as pictures: box-drawing text and standalone SVG (imports gates, ir, errors).

Both share one layout: gates move as far left as their wires allow, and a gate on several wires keeps
the wires between them free. Angles are shown short (``2·x + π/2``); the circuit itself keeps all digits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal
from xml.sax.saxutils import escape

from attrs import frozen

from qimg_core.circuit.gates import CONTROLLED_ROTATIONS, GateName
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qimg_core.circuit.ir import Angle, Circuit, Gate

G = GateName
_LABELS = {G.SDG: "S†", G.TDG: "T†", G.SX: "√X", G.MEASURE: "M", G.RESET: "|0⟩"}
_LONGEST_NAME = 24


@frozen
class _Mark:
    """What stands on one wire: a box with a label, or a sign of one letter's width."""

    kind: Literal["box", "control", "not", "cross"]
    label: str = ""


@frozen
class _Column:
    """Gates one above the other: marks by wire, and the vertical lines between them."""

    marks: dict[int, _Mark]
    links: list[tuple[int, int]]

    def linked(self, wire: int) -> tuple[bool, bool]:
        """Whether a line leaves ``wire`` upwards, and downwards."""
        up = any(top < wire <= bottom for top, bottom in self.links)
        return up, any(top <= wire < bottom for top, bottom in self.links)


def text(circuit: Circuit, width: int | None = None) -> str:
    """The circuit in box-drawing characters, three lines a wire, wire 0 on top.

    Args:
        circuit: any.
        width: characters a line may have; what is longer goes on below. None: no limit.

    Raises:
        ConfigurationError: a width under 20.
    """
    if width is not None and width < 20:
        raise ConfigurationError(f"a drawing needs 20 characters or more, got width {width}")
    names = [f"{w}: " for w in range(circuit.n_wires)]
    start = max(map(len, names), default=0)
    drawn = [_text_column(column, circuit.n_wires) for column in _columns(circuit)]
    limit = None if width is None else width - start - 2
    parts: list[str] = []
    for part in _parts([len(rows[0]) for rows in drawn], limit):
        lines: list[str] = []
        for row in range(3 * circuit.n_wires):
            on_wire = row % 3 == 1
            line = "─" if on_wire else " "
            head = names[row // 3].rjust(start) if on_wire else " " * start
            lines.append((head + line + "".join(drawn[i][row] for i in part) + line).rstrip())
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def svg(circuit: Circuit, width: int = 960) -> str:
    """The circuit as one standalone SVG document that carries its own ground, light or dark.

    Args:
        circuit: any.
        width: pixels after which the drawing goes on below.

    Raises:
        ConfigurationError: a width under 200.
    """
    if width < 200:
        raise ConfigurationError(f"a drawing needs 200 pixels or more, got width {width}")
    columns = _columns(circuit)
    widths = [_svg_width(column) for column in columns]
    start = 24.0 + 8.0 * len(str(circuit.n_wires - 1))
    parts = list(_parts(widths, width - start - 16))
    pitch, height = 40, 40 * circuit.n_wires
    right = max((start + sum(widths[i] for i in part) for part in parts), default=start) + 16
    total = len(parts) * (height + 16) + 8
    body: list[str] = []
    for number, part in enumerate(parts):
        top = 8.0 + number * (height + 16)
        for wire in range(circuit.n_wires):
            y = top + pitch * (wire + 0.5)
            body.append(_words(start - 16, y, str(wire), "name"))
            body.append(f'<line class="wire" x1="{start - 6:g}" y1="{y:g}" x2="{right - 8:g}" y2="{y:g}"/>')
        x = start
        for i in part:
            body += _svg_column(columns[i], x + widths[i] / 2, top, pitch)
            x += widths[i]
    title = f"Quantum circuit: {circuit.n_wires} wires, {len(circuit.gates)} gates"
    size = f'width="{right:g}" height="{total:g}" viewBox="0 0 {right:g} {total:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>',
            f"<title>{title}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="ground" width="{right:g}" height="{total:g}" rx="6"/>',
            *body,
            "</svg>\n",
        ]
    )


def number_label(value: float) -> str:
    """A number as short as a drawing wants it: a fraction of π where it is one, else four digits."""
    if value:
        for part in (1, 2, 3, 4, 6, 8):
            times = value * part / math.pi
            whole = round(times)
            if 0 < abs(whole) <= 16 and abs(times - whole) < 1e-12:
                head = {1: "", -1: "-"}.get(whole, str(whole))
                return f"{head}π" if part == 1 else f"{head}π/{part}"
    return f"{value:.4g}"


def angle_label(angle: Angle, circuit: Circuit) -> str:
    """``scale·name + offset``, short."""
    if angle.parameter is None:
        return number_label(angle.offset)
    name = "".join(c if c.isprintable() else "?" for c in circuit.parameters[angle.parameter].name)
    if len(name) > _LONGEST_NAME:
        name = name[: _LONGEST_NAME - 1] + "…"
    scale = {1.0: "", -1.0: "-"}.get(angle.scale, number_label(angle.scale) + "·")
    if angle.offset == 0:
        return scale + name
    return f"{scale}{name} {'-' if angle.offset < 0 else '+'} {number_label(abs(angle.offset))}"


def _columns(circuit: Circuit) -> list[_Column]:
    out: list[_Column] = []
    free = [0] * circuit.n_wires
    for gate in circuit.gates:
        top, bottom = min(gate.wires), max(gate.wires)
        at = max(free[top : bottom + 1])
        if at == len(out):
            out.append(_Column({}, []))
        out[at].marks.update(_marks(gate, circuit))
        if bottom > top:
            out[at].links.append((top, bottom))
        free[top : bottom + 1] = [at + 1] * (bottom + 1 - top)
    return out


def _marks(gate: Gate, circuit: Circuit) -> Iterator[tuple[int, _Mark]]:
    name, wires = gate.name, gate.wires
    if name in (G.CX, G.CCX, G.CZ):
        controls, last = wires[:-1], _Mark("control" if name is G.CZ else "not")
        yield from ((w, _Mark("control")) for w in controls)
        yield wires[-1], last
    elif name is G.SWAP:
        yield from ((w, _Mark("cross")) for w in wires)
    elif name is G.PREPARE:
        bits = len(wires) > 1
        yield from ((w, _Mark("box", f"Prepare {k}" if bits else "Prepare")) for k, w in enumerate(wires))
    else:
        label = _LABELS.get(name, name.value.upper())
        if name in CONTROLLED_ROTATIONS:
            yield wires[0], _Mark("control")
            label = label[1:]
        if gate.angles:
            label = f"{label}({angle_label(gate.angle, circuit)})"
        yield wires[-1], _Mark("box", label)
        if len(wires) == 2 and name not in CONTROLLED_ROTATIONS:  # rxx, ryy, rzz: the same from both sides
            yield wires[0], _Mark("box", name.value.upper())


def _parts(widths: Sequence[float], limit: float | None) -> Iterator[list[int]]:
    """Columns in groups of at most ``limit`` together; one group at least, one column at least in each."""
    group: list[int] = []
    taken = 0.0
    for i, w in enumerate(widths):
        if group and limit is not None and taken + w > limit:
            yield group
            group, taken = [], 0.0
        group.append(i)
        taken += w
    yield group


_SIGNS = {"control": "●", "not": "⊕", "cross": "╳"}


def _text_column(column: _Column, n_wires: int) -> list[str]:
    """Three strings of one width for each wire."""
    boxes = [len(m.label) + 4 for m in column.marks.values() if m.kind == "box"] or [1]
    centre = max(boxes) // 2 + 1
    width = centre + max(b - b // 2 for b in boxes) + 1
    rows: list[str] = []
    for wire in range(n_wires):
        up, down = column.linked(wire)
        mark = column.marks.get(wire)
        above, below = ("│" if up else " "), ("│" if down else " ")
        if mark is not None and mark.kind == "box":
            size = len(mark.label) + 4
            left, right = size // 2, size - size // 2 - 1  # beside the centre, the frame included
            frame = "─" * (left - 1), "─" * (right - 1)
            cells = (
                f"┌{frame[0]}{'┴' if up else '─'}{frame[1]}┐",
                f"┤ {mark.label} ├",
                f"└{frame[0]}{'┬' if down else '─'}{frame[1]}┘",
            )
        else:
            left, right = 0, 0
            cross = "┼" if up and down else "─"
            cells = (above, _SIGNS[mark.kind] if mark is not None else cross, below)
        for cell, line in zip(cells, " ─ ", strict=True):
            rows.append(line * (centre - left) + cell + line * (width - centre - right - 1))
    return rows


_STYLE = (
    ".ground{fill:#ffffff}.wire,.link{stroke:#3b4252;stroke-width:1.2}.box{fill:#e8f0fb;stroke:#2b5fa8}"
    ".dot{fill:#2b5fa8}.ring{fill:#ffffff;stroke:#2b5fa8;stroke-width:1.4}.line{stroke:#2b5fa8;stroke-width:1.6}"
    ".link{stroke:#2b5fa8}.label,.name{fill:#1b2430;font:13px ui-monospace,Menlo,Consolas,monospace;"
    "text-anchor:middle}.name{fill:#5a6472}"
    "@media (prefers-color-scheme:dark){.ground{fill:#15191f}.wire{stroke:#8b95a5}.box{fill:#1f3350;stroke:#7fb0f0}"
    ".dot{fill:#7fb0f0}.ring{fill:#15191f;stroke:#7fb0f0}.line,.link{stroke:#7fb0f0}.label{fill:#e8edf4}"
    ".name{fill:#9aa5b5}}"
)
_LETTER = 8.0


def _box_width(label: str) -> float:
    return max(28.0, len(label) * _LETTER + 12)


def _svg_width(column: _Column) -> float:
    return max(_box_width(m.label) if m.kind == "box" else 22.0 for m in column.marks.values()) + 10


def _svg_column(column: _Column, x: float, top: float, pitch: float) -> Iterator[str]:
    for first, last in column.links:
        y1, y2 = top + pitch * (first + 0.5), top + pitch * (last + 0.5)
        yield f'<line class="link" x1="{x:g}" y1="{y1:g}" x2="{x:g}" y2="{y2:g}"/>'
    for wire, mark in sorted(column.marks.items()):
        y = top + pitch * (wire + 0.5)
        if mark.kind == "box":
            w = _box_width(mark.label)
            yield f'<rect class="box" x="{x - w / 2:g}" y="{y - 13:g}" width="{w:g}" height="26" rx="3"/>'
            yield _words(x, y, mark.label, "label")
        elif mark.kind == "control":
            yield f'<circle class="dot" cx="{x:g}" cy="{y:g}" r="4.5"/>'
        elif mark.kind == "not":
            yield f'<circle class="ring" cx="{x:g}" cy="{y:g}" r="9"/>'
            yield f'<path class="line" d="M{x - 9:g} {y:g}h18M{x:g} {y - 9:g}v18"/>'
        else:
            yield f'<path class="line" d="M{x - 6:g} {y - 6:g}l12 12M{x - 6:g} {y + 6:g}l12 -12"/>'


def _words(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y + 4.5:g}">{escape(words)}</text>'
