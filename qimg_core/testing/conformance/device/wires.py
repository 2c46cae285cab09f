"""C1 to C4: which wire is which (floor 8; imports the bench)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.circuit.builder import CircuitBuilder
from qimg_core.circuit.gates import GateName
from qimg_core.testing.conformance.case import case
from qimg_core.testing.conformance.circuits import ORDER3, ORDER5, lone_x, spread, turn, zoo
from qimg_core.testing.conformance.compare import agree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.circuit.ir import Circuit
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks

G = GateName
SEED3, SEED5 = 35, 44
"""Of the zoo circuits: every known fault moves them by a total variation distance of 0.1 or more."""
GENTLE = frozenset({G.CX, G.P, G.H, G.T, G.SX, G.SDG})
"""The zoo of noisy devices: one two-wire gate, so that something of the distribution is left."""


def zoo_of(bench: Bench, n: int, seed: int) -> Circuit:
    """The zoo on n wires, for this device."""
    return zoo(n, seed, only=GENTLE if bench.noisy else None)


def zoo_rows(bench: Bench, checks: Checks, n: int, seed: int, orders: Sequence[tuple[int, ...]]) -> None:
    """The zoo with several rows of inputs, measured in each of the orders."""
    bench.needs_wires(n)
    circuit = zoo_of(bench, n, seed)
    rng = bench.rng("zoo", n)
    inputs, weights = spread(rng, bench.rows, circuit.n_inputs), spread(rng, 1, circuit.n_weights)[0]
    with bench.site() as site:
        for order in orders:
            request = bench.request(circuit, bench.view(order), inputs, weights)
            agree(bench, checks, f"wires {order}", request, bench.run(site.driver, request))


@case("C1", "X on one wire sets the bit of that wire")
def _lone(bench: Bench, checks: Checks) -> None:
    with bench.site() as site:
        for n in sorted({min(n, bench.caps.max_wires) for n in (3, 5)}):
            for wire in range(n):
                request = bench.request(lone_x(n, wire), bench.view(range(n)))
                agree(bench, checks, f"X on wire {wire} of {n}", request, bench.run(site.driver, request))


@case("C2.zoo3", "every gate on three wires, measured in the order (2, 0, 1)")
def _zoo3(bench: Bench, checks: Checks) -> None:
    zoo_rows(bench, checks, 3, SEED3, [ORDER3])


@case("C2.zoo5", "every gate on five wires, measured in the order (3, 0, 1, 4)")
def _zoo5(bench: Bench, checks: Checks) -> None:
    zoo_rows(bench, checks, 5, SEED5, [ORDER5])


@case("C2.zoo4", "every gate on four wires and then its inverse give back |0000>")
def _zoo4(bench: Bench, checks: Checks) -> None:
    bench.needs_wires(4)
    there = zoo(4, 4, inputs=False, only=GENTLE if bench.noisy else None)
    request = bench.request(there.then(there.inverse()), bench.view(range(4)))
    with bench.site() as site:
        agree(bench, checks, "there and back", request, bench.run(site.driver, request))


@case("C3", "idle wires keep their places")
def _idle(bench: Bench, checks: Checks) -> None:
    bench.needs_wires(5)
    b = CircuitBuilder(5)
    for w in (0, 2, 4):
        turn(b, w, (0.5 + 0.2 * w, -0.8, 0.3 * w - 0.5))
    circuit = b.cx(4, 0).cz(0, 2).ry(4, -0.6).build()
    with bench.site() as site:
        for order in ((4, 1, 0, 3), (1, 3), (0, 1, 2, 3, 4)):
            request = bench.request(circuit, bench.view(order))
            agree(bench, checks, f"wires {order}, 1 and 3 idle", request, bench.run(site.driver, request))


@case("C4", "some wires alone are measured")
def _partial(bench: Bench, checks: Checks) -> None:
    zoo_rows(bench, checks, min(4, max(2, bench.caps.max_wires)), 8, _parts(min(4, bench.caps.max_wires)))


def _parts(n: int) -> list[tuple[int, ...]]:
    orders: list[tuple[int, ...]] = [(1,), (3, 0), (2, 0, 3), (1, 0), (0,)]
    return [o for o in orders if max(o) < n][:4]


CASES = (_lone, _zoo3, _zoo5, _zoo4, _idle, _partial)
