"""O1 to O5: does an observable keep what `qimg_core.observable` says? (floor 8; imports the bench, reference, dense)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.errors import DataError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import LocalStates, measurement_from_json, measurement_to_json
from qimg_core.observable import Observable
from qimg_core.testing.conformance.case import NotApplicable, Undecided, case
from qimg_core.testing.conformance.circuits import spread, zoo
from qimg_core.testing.conformance.dense import contracted, expected
from qimg_core.testing.conformance.part.bench import PartBench, refused, starts, torch_or_undecided

if TYPE_CHECKING:
    from qimg_core.testing.conformance.case import Checks

ROWS = 3
MOST_WIRES = 8


class ObservableBench(PartBench[Observable]):
    """An observable under test, with measured numbers for it."""

    def data(self) -> Any:
        """What the reference device measures of a few states: (rows, width)."""
        measurement = self.part.measurement
        n = max(2, max(measurement.wires, default=0) + 1)
        if n > MOST_WIRES:
            raise Undecided(f"it measures {n} wires; the kit makes states of up to {MOST_WIRES}")
        circuit, rng = zoo(n, 21), self.rng("states")
        inputs, weights = spread(rng, ROWS, circuit.n_inputs), spread(rng, 1, circuit.n_weights)[0]
        request = ExecutionRequest(circuit=circuit, inputs=inputs, weights=weights, measurement=measurement)
        return expected(request)

    def parameters(self, seed: int = 5) -> Any:
        """Of `reduce`, or None."""
        return self.part.initial(seed) if self.part.n_parameters else None


@case("O1", "the measurement is the same from every object, and after JSON")
def _measurement(bench: ObservableBench, checks: Checks) -> None:
    first = bench.part.measurement
    checks.that("the same measurement", first == bench.make().measurement, "two objects measure different things")
    checks.that("the same after JSON", measurement_from_json(measurement_to_json(first)) == first)
    bench.part.initial(1)
    checks.that("the same after use", bench.part.measurement == first)
    checks.evidence |= {"kind": first.kind.value, "wires": list(first.wires), "features": bench.part.n_features}
    checks.says = f"{first.kind.value}, {bench.part.n_features} features"


@case("O2", "reduce is linear in what was measured, row by row, and has the declared width")
def _linear(bench: ObservableBench, checks: Checks) -> None:
    import numpy as np

    part, data, parameters = bench.part, bench.data(), bench.parameters()
    out = part.reduce(data, parameters)
    wanted = (ROWS, part.n_features)
    if not checks.that("shape", np.shape(out) == wanted, f"wanted {wanted}, got {np.shape(out)}"):
        return
    other = bench.rng("other").normal(size=data.shape)
    both = part.reduce(2.5 * data - 0.5 * other, parameters)
    checks.near("of a sum", both, 2.5 * out - 0.5 * part.reduce(other, parameters), 1e-9)
    for row in range(ROWS):
        checks.near(f"row {row} alone", part.reduce(data[row : row + 1], parameters)[0], out[row], 1e-12)


@case("O3", "trained numbers are as many as declared, and start from their seed")
def _initial(bench: ObservableBench, checks: Checks) -> None:
    import numpy as np

    starts(bench, checks, bench.part.n_parameters)
    data = bench.data()
    if bench.part.n_parameters:
        more = np.zeros(bench.part.n_parameters + 1)
        refused(checks, "one parameter too many", DataError, lambda: bench.part.reduce(data, more))
    wider = np.concatenate([data, data[:, :1]], axis=1)
    refused(checks, "one number too many", DataError, lambda: bench.part.reduce(wider, bench.parameters()))


@case("O4", "torch tensors give the same features, and derivatives pass")
def _tensors(bench: ObservableBench, checks: Checks) -> None:
    torch = torch_or_undecided()
    part, data, parameters = bench.part, bench.data(), bench.parameters()
    d = torch.tensor(data, requires_grad=True)
    p = None if parameters is None else torch.tensor(parameters, requires_grad=True)
    out = part.reduce(d, p)
    if not checks.that("a tensor", hasattr(out, "detach"), f"got {type(out).__name__}"):
        return
    checks.near("the same numbers", out.detach().numpy(), part.reduce(data, parameters), 1e-12)
    probe = bench.rng("probe").normal(size=tuple(out.shape))
    (out * torch.tensor(probe)).sum().backward()
    shift = bench.rng("shift").normal(size=data.shape)
    slope = (part.reduce(shift, parameters) * probe).sum()  # linear: the directional derivative is exact
    checks.that("derivatives by the data", d.grad is not None, "none arrived")
    if d.grad is not None:
        checks.near("directional derivative", float((d.grad.numpy() * shift).sum()), slope, 1e-8)
    if p is not None:
        checks.that("derivatives by the parameters", p.grad is not None, "none arrived")


@case("O5", "the read-out's matrices are Hermitian, and reduce is the trace with them")
def _trace(bench: ObservableBench, checks: Checks) -> None:
    import numpy as np

    part, parameters = bench.part, bench.parameters()
    matrices = None if parameters is None else part.readout(parameters)
    if matrices is None:
        raise NotApplicable("the observable has no read-out by matrices")
    assert isinstance(part.measurement, LocalStates)
    for window, m in zip(part.measurement.windows, matrices, strict=True):
        h = np.asarray(m)
        size = 2 ** len(window)
        if not checks.that("shape", h.shape[1:] == (size, size), f"wanted (K, {size}, {size}), got {h.shape}"):
            return
        checks.near("Hermitian", h, h.conj().swapaxes(1, 2), 1e-12)
    data = bench.data()
    checks.near("Tr(rho H)", part.reduce(data, parameters), contracted(data, part.measurement, matrices), 1e-9)


CASES = (_measurement, _linear, _initial, _tensors, _trace)
