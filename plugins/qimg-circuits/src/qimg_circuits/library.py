"""The nineteen circuits of Sim, Johnson and Aspuru-Guzik 2019 (arXiv:1905.10876), figure 2 (imports qimg_core).

Reference points for expressibility and entangling capability. Drawn there on four wires; here on
any number of wires from 2, by the same pattern. Wires count from 0 at the top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_circuits.ansatzes.base import check_sizes
from qimg_core.circuit import CircuitBuilder
from qimg_core.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.circuit import Angle, Circuit

NUMBERS = range(1, 20)


def sim_circuit(number: int, n_wires: int = 4, layers: int = 1) -> Circuit:
    """Circuit ``number`` of the paper, all its angles weights, in the order of application.

    Args:
        number: 1 to 19.
        n_wires: 2 or more; the paper has 4.
        layers: repetitions of the drawn layer (the RY that opens circuit 10 is not repeated).

    Raises:
        UnknownName: no such circuit.
        ConfigurationError: too few wires or layers.
    """
    if number not in NUMBERS:
        raise UnknownName("circuit of Sim et al.", str(number), map(str, NUMBERS))
    check_sizes(n_wires, layers, least_wires=2)
    drawing = _Drawing(n_wires)
    for layer in range(layers):
        _draw(drawing, number, first=layer == 0)
    return drawing.builder.build()


class _Drawing:
    """A builder whose parametric gates take a new weight each."""

    def __init__(self, n: int) -> None:
        self.n, self.builder, self._count = n, CircuitBuilder(n), 0

    def turns(self, *names: str, wires: Iterable[int] | None = None) -> None:
        chosen = list(range(self.n) if wires is None else wires)
        for name in names:
            for w in chosen:
                self.builder.gate(name, w, angles=(self._next(),) if name != "h" else ())

    def pairs(self, name: str, pairs: Iterable[tuple[int, int]]) -> None:
        for pair in pairs:
            self.builder.gate(name, *pair, angles=(self._next(),) if name in ("crx", "crz") else ())

    def _next(self) -> Angle:
        self._count += 1
        return self.builder.weight(f"w{self._count - 1}")


def _draw(d: _Drawing, number: int, *, first: bool) -> None:
    n = d.n
    ladder = [(w, w - 1) for w in range(n - 1, 0, -1)]
    even, odd = [(w + 1, w) for w in range(0, n - 1, 2)], [(w + 1, w) for w in range(1, n - 1, 2)]
    ring = [(w, (w + 1) % n) for w in range(n - 1, -1, -1)]
    back = [(w, (w - 1) % n) for w in [n - 1, *range(n - 1)]]
    if number <= 4:
        d.turns("rx", "rz")
        if number > 1:
            d.pairs({2: "cx", 3: "crz", 4: "crx"}[number], ladder)
    elif number <= 6:
        d.turns("rx", "rz")
        every = [(c, t) for c in range(n - 1, -1, -1) for t in range(n - 1, -1, -1) if c != t]
        d.pairs("crz" if number == 5 else "crx", every)
        d.turns("rx", "rz")
    elif number <= 8:
        gate = "crz" if number == 7 else "crx"
        d.turns("rx", "rz")
        d.pairs(gate, even)
        d.turns("rx", "rz")
        d.pairs(gate, odd)
    elif number == 9:
        d.turns("h")
        d.pairs("cz", ladder)
        d.turns("rx")
    elif number == 10:
        if first:
            d.turns("ry")
        d.pairs("cz", [*ladder, (n - 1, 0)] if n > 2 else ladder)
        d.turns("ry")
    elif number <= 12:
        gate = "cx" if number == 11 else "cz"
        d.turns("ry", "rz")
        d.pairs(gate, even)
        d.turns("ry", "rz", wires=range(1, n - 1))
        d.pairs(gate, odd)
    elif number <= 15:
        gate = {13: "crz", 14: "crx", 15: "cx"}[number]
        d.turns("ry")
        d.pairs(gate, ring)
        d.turns("ry")
        d.pairs(gate, back)
    elif number <= 17:
        d.turns("rx", "rz")
        d.pairs("crz" if number == 16 else "crx", [*even, *odd])
    else:
        d.turns("rx", "rz")
        d.pairs("crz" if number == 18 else "crx", ring)
