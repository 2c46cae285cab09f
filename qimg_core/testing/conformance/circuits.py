"""Circuits that find faults (floor 8; imports circuit).

Bell and GHZ states, and uniform superpositions, hardly find any fault of an adapter: reversed bits, negated angles
and half angles leave their distributions as they are. The circuits of the *zoo* have a rotation about each axis on
every wire between all other gates, every two-wire gate once, and no symmetry, and are measured in orders that are
neither their own inverse nor a reversal.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from qimg_core.circuit.builder import CircuitBuilder
from qimg_core.circuit.gates import PARAMETRIC, TWO_WIRE, GateName
from qimg_core.circuit.pauli import PauliString

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

    from qimg_core.circuit.ir import Angle, Circuit

G = GateName
ORDER3, ORDER5 = (2, 0, 1), (3, 0, 1, 4)
"""Not involutive, and reversal is another permutation than the inverse."""
SINGLES = (G.P, G.H, G.T, G.SX, G.SDG, G.Y, G.TDG, G.S, G.X, G.Z)


def words(wires: Sequence[int]) -> tuple[PauliString, ...]:
    """The Z words of every subset of the wires, and an X and a Y of each wire: for devices of expectation values."""
    subsets = itertools.chain.from_iterable(itertools.combinations(wires, k) for k in range(1, len(wires) + 1))
    z = [PauliString(tuple((w, "Z") for w in s)) for s in subsets]
    return (*z, *(PauliString(((w, p),)) for w in wires for p in ("X", "Y")))  # type: ignore[arg-type]


def turn(b: CircuitBuilder, wire: int, angles: Sequence[Angle | float]) -> None:
    """RY, RZ, RX on a wire: any angle's sign shows."""
    for name, angle in zip((G.RY, G.RZ, G.RX), angles, strict=True):
        b.gate(name, wire, angles=(angle,))


def zoo(n: int, seed: int, *, inputs: bool = True, only: Iterable[GateName] | None = None) -> Circuit:
    """Every gate of the IR on n wires, between layers of rotations.

    The first layer's angles are inputs, some of the second's weights, the others constants.

    Args:
        n: wires, 2 or more; CCX takes part from 3.
        seed: of the angles and wires.
        inputs: False makes every angle a constant.
        only: gates that may appear; None for all.
    """
    rng = _rng(seed)
    allowed = set(G) if only is None else set(only)
    b = CircuitBuilder(n)

    def layer(role: str) -> None:
        for w in range(n):
            constants = [float(rng.uniform(0.4, 1.3)) for _ in range(3)]
            if role == "input" and inputs:
                turn(b, w, [b.input(f"x{w}.{k}") for k in range(3)])
            elif role == "weight" and inputs:
                turn(b, w, [b.weight(f"w{w}"), *constants[1:]])
            else:
                turn(b, w, constants)

    layer("input")
    pairs = list(itertools.permutations(range(n), 2))
    for k, name in enumerate(g for g in sorted(TWO_WIRE) if g in allowed):
        pair = pairs[int(rng.integers(len(pairs)))]
        b.gate(name, *pair, angles=(float(rng.uniform(0.5, 1.4)),) if name in PARAMETRIC else ())
        if k % 3 == 2:
            layer("weight" if k == 2 else "constant")
    layer("constant")
    for k, name in enumerate(g for g in SINGLES if g in allowed):
        b.gate(name, k % n, angles=(float(rng.uniform(0.6, 1.4)),) if name in PARAMETRIC else ())
        if k % n == n - 1:
            layer("constant")
    if G.CCX in allowed and n > 2:
        b.gate(G.CCX, *(int(w) for w in rng.permutation(n)[:3]))
    layer("constant")
    return b.build()


def lone_x(n: int, wire: int) -> Circuit:
    """X on one of n wires."""
    return CircuitBuilder(n).x(wire).build()


def one_gate(name: GateName) -> tuple[Circuit, tuple[int, ...]]:
    """A gate on wires in an odd order of a larger register, between rotations that are inputs, and its wires.

    The rotations before make the input state and those after the basis: one circuit, as many states as rows.
    """
    k = name.n_wires or 2
    n = max(k, 3) if k > 1 else 2
    wires = {1: (1,), 2: (2, 0), 3: (2, 0, 1)}[k]
    b = CircuitBuilder(n)
    before = [[b.input(f"a{w}.{j}") for j in range(3)] for w in range(n)]
    after = [[b.input(f"b{w}.{j}") for j in range(3)] for w in range(n)]
    angle = (b.input("angle") * 1.0,) if name in PARAMETRIC else ()
    for w in range(n):
        turn(b, w, before[w])
    b.gate(name, *wires, angles=angle)
    for w in range(n):
        turn(b, w, after[w])
    return b.build(), wires


def prepared(amplitudes: int, *, complex_state: bool) -> Circuit:
    """A state on wires (2, 0) of three, from inputs, after which every wire is turned."""
    b = CircuitBuilder(3)
    count = amplitudes * (2 if complex_state else 1)
    b.gate(G.PREPARE, 2, 0, angles=tuple(b.input(f"a{i}") for i in range(count)))
    for w in range(3):
        turn(b, w, (0.4 + 0.3 * w, 0.9, 0.7 - 0.2 * w))
    return b.cx(0, 1).build()


def spread(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Angles (rows, columns) of either sign, away from 0 and from multiples of pi / 2, different in each row."""
    import numpy as np

    size = rng.uniform(0.3, 1.25, (rows, columns))
    return np.asarray(size * rng.choice([-1.0, 1.0], (rows, columns)))


def _rng(seed: int) -> np.random.Generator:
    import numpy as np

    return np.random.Generator(np.random.PCG64(seed))
