"""C5 and C7: parameters in every role, and rows together, alone and in chunks (floor 8; imports the bench)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.chunks import join
from qimg_core.circuit.builder import CircuitBuilder
from qimg_core.circuit.ir import Circuit, Parameter
from qimg_core.settings import bound
from qimg_core.testing.conformance.case import case
from qimg_core.testing.conformance.circuits import spread
from qimg_core.testing.conformance.compare import agree, counts_of
from qimg_core.testing.conformance.device.wires import zoo_of
from qimg_core.testing.statistics import same_distribution

if TYPE_CHECKING:
    from qimg_core.execution import ExecutionRequest
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks


def affine() -> Circuit:
    """Inputs x, y and weights v, w, each used by several gates, scaled and shifted, in mixed order."""
    b = CircuitBuilder(3)
    v, x, w, y = b.weight("v"), b.input("x"), b.weight("w"), b.input("y")
    b.ry(0, x * -1.5 + 0.4).ry(1, w + 0.3).ry(2, y).rx(1, x * 0.7).rz(0, w * 0.5).rz(2, v * -2.0 + 1.0)
    b.cx(2, 0).rx(0, v).ry(2, x * 0.5 + 0.2).cx(0, 1).rz(1, y * -1.0).rx(2, w * -1.0).ry(1, v * 0.25)
    return b.cx(1, 2).rx(1, 0.8).ry(0, y * 2.0 + -0.3).build()


def _as_role(circuit: Circuit, role: Any) -> Circuit:
    return evolve(circuit, parameters=tuple(Parameter(p.name, role) for p in circuit.parameters))


@case("C5", "constants, inputs, weights and weights by row are the same numbers; angles are affine and shared")
def _roles(bench: Bench, checks: Checks) -> None:
    bench.needs_wires(3)
    circuit, rng = affine(), bench.rng("roles")
    rows = bench.rows
    inputs, shared, by_row = spread(rng, rows, 2), spread(rng, 1, 2)[0], spread(rng, rows, 2)
    view = bench.view((1, 2, 0))
    import numpy as np

    with bench.site() as site:

        def tried(what: str, circuit: Circuit, inputs: Any, weights: Any) -> None:
            request = bench.request(circuit, view, inputs, weights)
            agree(bench, checks, what, request, bench.run(site.driver, request))

        tried("inputs and shared weights", circuit, inputs, shared)
        tried("inputs and weights by row", circuit, inputs, by_row)
        values = circuit.values(inputs, by_row)
        tried("everything an input", _as_role(circuit, "input"), values, np.zeros(0))
        tried("everything a weight by row", _as_role(circuit, "weight"), np.zeros((rows, 0)), values)
        for row in range(1 if bench.options.quick else rows):
            tried("everything a constant", bound(circuit, values[row]), np.zeros((1, 0)), np.zeros(0))


@case("C7", "rows together, one by one and in chunks give the same, in their order")
def _batches(bench: Bench, checks: Checks) -> None:
    n = min(3, bench.caps.max_wires)
    bench.needs_wires(2)
    circuit, rng = zoo_of(bench, n, 7), bench.rng("batch")
    inputs, weights = spread(rng, 5, circuit.n_inputs), spread(rng, 5, circuit.n_weights)
    request = bench.request(circuit, bench.view(tuple(range(n))[::-1]), inputs, weights)
    with bench.site() as site:
        driver = site.driver
        whole = bench.run(driver, request)
        agree(bench, checks, "five rows at once", request, whole)
        plan = bench.plan(driver, request)
        if len(plan.rows_per_job) == 1:
            plan = evolve(plan, rows_per_job=(2, 1, 2))
        chunks = join(plan, [d.raw.data for d in bench.carry(driver, plan)])
        agree(bench, checks, f"chunks of {plan.rows_per_job} rows", request, chunks)
        for row in (0, 3) if bench.options.quick else range(5):
            one = evolve(request, inputs=inputs[row : row + 1], weights=weights[row])
            alone = bench.run(driver, one)
            agree(bench, checks, f"row {row} alone", one, alone)
            _alike(bench, checks, row, one, alone, whole)


def _alike(bench: Bench, checks: Checks, row: int, one: ExecutionRequest, alone: Any, whole: Any) -> None:
    """On noisy devices the batch is compared with the single row itself."""
    if not bench.noisy or one.shots is None or not hasattr(one.measurement, "wires") or whole.ndim < 2:
        return
    first = counts_of(checks, f"row {row}", one, alone)
    second = counts_of(checks, f"row {row} of five", one, whole[row : row + 1])
    if first is None or second is None:
        return
    p = same_distribution(first[0], second[0], seed=bench.options.seed, draws=100_000)
    checks.least("smallest_p_of_two_runs", p)
    checks.that(f"row {row} alone and in the batch", p > bench.alpha, f"they differ, p = {p:.1e}")


CASES = (_roles, _batches)
