"""The circuits of the released model, gate for gate (imports qimg_core.circuit only).

Source: ``implementation/source/src/models/ansatzes.py`` of the authors' repository at commit d4b58c5
(``ConvUnit``, ``PhaseMixing``, ``PennyLanePQC``). A layer on n wires is the three-parameter block on
the pairs (0,1), (2,3), ..., then (1,2), ..., (n-1,0), then Hadamards, a CZ chain and one RX a wire.
"""

from __future__ import annotations

import math

from qimg_core.circuit.builder import CircuitBuilder
from qimg_core.circuit.compose import controlled, repeat
from qimg_core.circuit.gates import GateName
from qimg_core.circuit.ir import Angle, Circuit

HALF_PI = math.pi / 2
ENTANGLING = (GateName.CX, GateName.CZ)


def conv_unit() -> Circuit:
    """The non-local block N of Vatan and Williams (quant-ph/0308006) on two wires, three CX, three weights.

    The weights are in the released order: ``gamma``, ``alpha``, ``beta``. Up to the phase
    exp(-i pi/4) it is exp(+i (alpha XX + beta YY + gamma ZZ)); the paper writes exp(-i ...).
    """
    b = CircuitBuilder(2)
    gamma, alpha, beta = (b.weight(name) for name in ("gamma", "alpha", "beta"))
    b.rz(1, -HALF_PI).cx(1, 0)
    b.rz(0, gamma * -2.0 + HALF_PI).ry(1, alpha * 2.0 + -HALF_PI)
    b.cx(0, 1).ry(1, beta * -2.0 + HALF_PI).cx(1, 0)
    return b.rz(0, HALF_PI).build()


def ring_pairs(n: int) -> tuple[tuple[int, int], ...]:
    """Where the block goes on n wires: even pairs, then odd pairs closing the ring."""
    return tuple((i, (i + 1) % n) for i in (*range(0, n - 1, 2), *range(1, n, 2)))


def layer(n: int) -> Circuit:
    """One repetition: the ring of blocks, then H, the CZ chain and RX. 3 * pairs + n weights."""
    b = CircuitBuilder(n)
    for k, pair in enumerate(ring_pairs(n)):
        b.extend(conv_unit().renamed(f"conv{k}.").on(pair, n))
    for wire in range(n):
        b.h(wire)
    for wire in range(n - 1):
        b.cz(wire, wire + 1)
    for wire in range(n):
        b.rx(wire, b.weight(f"mix{wire}"))
    return b.build()


def block(n: int, reps: int, *, entangling: bool = True) -> Circuit:
    """``reps`` layers with weights of their own.

    Args:
        n: wires.
        reps: layers.
        entangling: False leaves out every two-qubit gate and keeps all weights.
    """
    circuit = repeat(layer(n), reps)
    if entangling:
        return circuit
    return Circuit(n, tuple(g for g in circuit.gates if g.name not in ENTANGLING), circuit.parameters)


def prepared(n: int, *, complex_amplitudes: bool) -> Circuit:
    """`prepare` on n wires from inputs ``re0`` ... and, for complex amplitudes, ``im0`` ..."""
    b = CircuitBuilder(n)
    parts = ("re", "im") if complex_amplitudes else ("re",)
    angles: tuple[Angle | float, ...] = tuple(b.input(f"{part}{i}") for part in parts for i in range(2**n))
    return b.gate(GateName.PREPARE, *range(n), angles=angles).build()


def front(n: int, reps: int, *, entangling: bool = True) -> Circuit:
    """Blocks one and two on n + 1 wires: amplitude encoding, U1, and the Hadamard test of U2.

    The last wire is the ancilla: H, controlled U2, H. Its <Z> is Re <psi|U2|psi> for psi = U1 x. The
    weights of U1 come first. Without entangling gates U2 acts without its control, and <Z> is 1.
    """
    one = prepared(n, complex_amplitudes=False).then(block(n, reps, entangling=entangling).renamed("one."))
    wires = range(n)
    two = block(n, reps, entangling=entangling).renamed("two.")
    test = controlled(two, n + 1, n, wires) if entangling else two.on(wires, n + 1)
    b = CircuitBuilder(n + 1).h(n).extend(test).h(n)
    return one.on(wires, n + 1).then(b.build())


def back(n: int, reps: int, *, entangling: bool = True) -> Circuit:
    """Block three: a complex state prepared anew, and U3."""
    three = block(n, reps, entangling=entangling).renamed("three.")
    return prepared(n, complex_amplitudes=True).then(three)
