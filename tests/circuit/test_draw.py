"""Drawings: every line of the text joins on to the next, nothing is lost, and the SVG is well formed and bounded."""

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter
from qimg_core.circuit.draw import angle_label, number_label, svg, text
from qimg_core.errors import ConfigurationError

SVG = "{http://www.w3.org/2000/svg}"
DOWN, UP, SIGNS = set("│┼┌┐┬┤├"), set("│┼└┘┴┤├"), set("●⊕╳")


def test_a_small_circuit_exactly():
    b = CircuitBuilder(3)
    circuit = b.h(0).ry(1, b.input("x") * 2 + math.pi / 2).cx(0, 2).gate("crz", 2, 1, angles=(b.weight("w"),)).build()
    assert text(circuit).splitlines() == [
        "           ┌───┐",
        "0: ────────┤ H ├────────●─────────────",
        "           └───┘        │",
        "     ┌───────────────┐  │  ┌───────┐",
        "1: ──┤ RY(2·x + π/2) ├──┼──┤ RZ(w) ├──",
        "     └───────────────┘  │  └───┬───┘",
        "                        │      │",
        "2: ─────────────────────⊕──────●──────",
        "",
    ]


@st.composite
def circuits(draw):
    n = draw(st.integers(1, 6))
    usable = [g for g in sorted(GateName) if g.n_wires is None or g.n_wires <= n]
    gates = []
    for _ in range(draw(st.integers(0, 25))):
        name = draw(st.sampled_from(usable))
        wires = draw(st.permutations(range(n)))[: name.n_wires or draw(st.integers(1, min(n, 3)))]
        angles = tuple(Angle(0, 0.5, 0.1 * k) for k in range(name.n_angles))
        if name is GateName.PREPARE:
            angles = tuple(Angle(offset=0.5) for _ in range(2 ** len(wires)))
        gates.append(Gate(name, wires, angles))
    return Circuit(n, tuple(gates), (Parameter("θ", "weight"),))


def check_joined(panel: list[str], n_wires: int) -> None:
    """Every upward stroke meets a downward one, and every wire runs through."""
    assert len(panel) == 3 * n_wires
    wide = max(map(len, panel))
    grid = [re.sub(r"┤ [^┤├]* ├", lambda m: "┤" + "." * (len(m[0]) - 2) + "├", line).ljust(wide) for line in panel]
    for above, below in zip([" " * wide, *grid], [*grid, " " * wide], strict=True):
        for a, b in zip(above, below, strict=True):
            if a in SIGNS or b in SIGNS:
                continue
            assert (a in DOWN) == (b in UP), f"{a!r} over {b!r}"
    for wire, line in enumerate(grid[1::3]):
        assert re.fullmatch(rf" *{wire}: [─┼●⊕╳]+", re.sub(r"┤\.+├", "─", line.rstrip()))


@settings(max_examples=150, deadline=None)
@given(circuits())
def test_every_stroke_joins(circuit):
    drawn = text(circuit)
    check_joined(drawn[:-1].split("\n"), circuit.n_wires)
    signs = {g: drawn.count(g) for g in "●⊕╳"}
    names = [g.name for g in circuit.gates]
    assert signs["⊕"] == sum(n in (GateName.CX, GateName.CCX) for n in names)
    assert signs["╳"] == 2 * names.count(GateName.SWAP)
    dots = {GateName.CX: 1, GateName.CCX: 2, GateName.CZ: 2, GateName.CRX: 1, GateName.CRY: 1, GateName.CRZ: 1}
    assert signs["●"] == sum(dots.get(n, 0) for n in names)
    boxes = {**dict.fromkeys(dots, 0), GateName.SWAP: 0, GateName.CRX: 1, GateName.CRY: 1, GateName.CRZ: 1}
    assert drawn.count("┤") == sum(boxes.get(g.name, len(g.wires)) for g in circuit.gates)


@settings(max_examples=60, deadline=None)
@given(circuits(), st.integers(30, 100))
def test_a_width_wraps_and_loses_nothing(circuit, width):
    drawn = text(circuit, width)
    lines = drawn[:-1].split("\n")
    assert max(map(len, lines)) <= width
    size = 3 * circuit.n_wires
    assert (len(lines) + 1) % (size + 1) == 0
    for start in range(0, len(lines), size + 1):
        check_joined(lines[start : start + size], circuit.n_wires)
    for sign in "●⊕╳┤├":
        assert drawn.count(sign) == text(circuit).count(sign)


def test_gates_on_a_wire_keep_their_order_and_others_move_left():
    b = CircuitBuilder(3)
    circuit = b.cx(0, 2).x(1).h(0).gate("s", 0).build()
    lines = text(circuit).splitlines()
    assert re.findall(r"[A-Z●⊕]", lines[1]) == ["●", "H", "S"]
    assert lines[4].index("X") > lines[1].index("●")  # x(1) is between the wires of the cx and keeps clear of it
    h_column = text(b.h(2).build()).splitlines()
    assert h_column[1].index("H") == h_column[7].index("H")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        *((0.0, "0"), (math.pi, "π"), (-math.pi / 2, "-π/2"), (3 * math.pi / 4, "3π/4"), (2 * math.pi, "2π")),
        *((1.0, "1"), (0.123456, "0.1235"), (-math.pi / 5, "-0.6283"), (1e-9, "1e-09")),
    ],
)
def test_numbers(value, label):
    assert number_label(value) == label


@pytest.mark.parametrize(
    ("angle", "label"),
    [
        (Angle(0), "a"),
        (-Angle(0), "-a"),
        (Angle(0, 2.5, -math.pi / 2), "2.5·a - π/2"),
        (Angle(0, math.pi / 3, 1.0), "π/3·a + 1"),
        (Angle(None, 1.0, 0.25), "0.25"),
    ],
)
def test_angles(angle, label):
    assert angle_label(angle, Circuit(1, (), (Parameter("a", "weight"),))) == label


def test_a_long_or_odd_name_is_cut_and_cannot_break_the_drawing():
    b = CircuitBuilder(1)
    circuit = b.rx(0, b.input('<script>"&\n\x1b[31m' + "x" * 40)).build()
    drawn = text(circuit)
    assert "\x1b" not in drawn
    assert len(drawn.splitlines()) == 3
    assert 'RX(<script>"&??[31mxxxxxxx…)' in drawn
    root = ET.fromstring(svg(circuit))
    assert 'RX(<script>"&??[31mxxxxxxx…)' in [t.text for t in root.iter(f"{SVG}text")]


@settings(max_examples=60, deadline=None)
@given(circuits(), st.sampled_from([200, 500, 960]))
def test_svg_is_standalone_and_stays_inside_its_frame(circuit, width):
    document = svg(circuit, width)
    root = ET.fromstring(document)
    assert re.findall(r"https?://[^\"]*", document) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"url\(|@import|<image|<use|href", document)
    _, _, wide, high = map(float, root.get("viewBox").split())
    for rect in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(k, 0)) for k in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= wide
        assert 0 <= y <= y + h <= high
    for line in root.iter(f"{SVG}line"):
        assert all(0 <= float(line.get(k)) <= wide for k in ("x1", "x2"))
        assert all(0 <= float(line.get(k)) <= high for k in ("y1", "y2"))
    names = [g.name for g in circuit.gates]
    rings = [e for e in root.iter(f"{SVG}circle") if e.get("class") == "ring"]
    assert len(rings) == sum(n in (GateName.CX, GateName.CCX) for n in names)
    boxes = [e for e in root.iter(f"{SVG}rect") if e.get("class") == "box"]
    assert len(boxes) == text(circuit).count("┤")


def test_a_notebook_shows_the_svg():
    circuit = CircuitBuilder(2).h(0).cx(0, 1).build()
    assert circuit._repr_svg_() == svg(circuit)


def test_too_narrow():
    circuit = CircuitBuilder(1).build()
    with pytest.raises(ConfigurationError, match="width 5"):
        text(circuit, 5)
    with pytest.raises(ConfigurationError, match="width 5"):
        svg(circuit, 5)
