"""E1 to E5: does an encoder keep what `qimg_core.encoder` says? (floor 8; imports the bench, reference)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.circuit.ir import Circuit
from qimg_core.encoder import Encoder
from qimg_core.errors import DataError
from qimg_core.testing.conformance.case import Undecided, case
from qimg_core.testing.conformance.part.bench import PartBench, refused, starts, torch_or_undecided
from qimg_core.testing.reference import statevector

if TYPE_CHECKING:
    from qimg_core.testing.conformance.case import Checks

ROWS = 4
MOST_WIRES = 10


class EncoderBench(PartBench[Encoder]):
    """An encoder under test, with data that it takes."""

    def data(self) -> Any:
        """(rows, n_features): normal numbers, numbers in [0, 1], or bits, whichever it takes first."""
        rng, n = self.rng("data"), self.part.n_features
        for batch in (rng.normal(size=(ROWS, n)), rng.uniform(size=(ROWS, n)), rng.integers(2, size=(ROWS, n)) * 1.0):
            try:
                self.part.features(batch, self.parameters())
            except DataError:
                continue
            return batch
        raise Undecided("it takes neither normal numbers nor numbers in [0, 1] nor bits")

    def parameters(self) -> Any:
        """Of `features`, or None."""
        return self.part.initial(5) if self.part.n_parameters else None


@case("E1", "the circuit is the same from every object, and all its parameters are inputs")
def _circuit(bench: EncoderBench, checks: Checks) -> None:
    first, again = bench.part.circuit, bench.make().circuit
    checks.that("the same digest", first.digest == again.digest, "two objects have two circuits")
    checks.that("the same digest from JSON", Circuit.from_json(first.to_json()).digest == first.digest)
    weights = [p.name for p in first.parameters if p.role != "input"]
    checks.that("inputs only", not weights, f"weights: {weights[:5]}")
    used = {a.parameter for g in first.gates for a in g.angles}
    idle = [p.name for i, p in enumerate(first.parameters) if i not in used]
    checks.that("every input is used", not idle, f"no gate reads {idle[:5]}")
    checks.evidence |= {"wires": first.n_wires, "inputs": first.n_inputs, "digest": first.digest}
    checks.says = f"{first.n_wires} wires, {first.n_inputs} inputs"


@case("E2", "features are the circuit's inputs, row by row, and make states of norm 1")
def _features(bench: EncoderBench, checks: Checks) -> None:
    import numpy as np

    encoder, batch, parameters = bench.part, bench.data(), bench.parameters()
    before = batch.copy()
    out = encoder.features(batch, parameters)
    wanted = (ROWS, encoder.circuit.n_inputs)
    if not checks.that("shape", out.shape == wanted, f"wanted {wanted}, got {out.shape}"):
        return
    checks.that("the batch is left as it was", np.array_equal(batch, before), "features changed its argument")
    for row in range(ROWS):
        checks.near(f"row {row} alone", encoder.features(batch[row : row + 1], parameters)[0], out[row], 1e-12)
    if encoder.circuit.n_wires <= MOST_WIRES:
        for row in out:
            norm = float(np.linalg.norm(statevector(encoder.circuit, row)))
            checks.near("norm of the state", norm, 1.0, 1e-9)
    loss = encoder.normalisation_loss
    checks.that("a share of the data is lost", 0 <= loss <= 1, f"normalisation_loss is {loss}")


@case("E3", "trained numbers are as many as declared, and start from their seed")
def _initial(bench: EncoderBench, checks: Checks) -> None:
    starts(bench, checks, bench.part.n_parameters)


@case("E4", "torch tensors give the same features, and derivatives pass")
def _tensors(bench: EncoderBench, checks: Checks) -> None:
    torch = torch_or_undecided()
    encoder, batch, parameters = bench.part, bench.data(), bench.parameters()
    x = torch.tensor(batch, requires_grad=True)
    p = None if parameters is None else torch.tensor(parameters, requires_grad=True)
    out = encoder.features(x, p)
    if not checks.that("a tensor", hasattr(out, "detach"), f"got {type(out).__name__}"):
        return
    checks.near("the same numbers", out.detach().numpy(), encoder.features(batch, parameters), 1e-12)
    checks.that("in the graph", out.requires_grad, "the features are detached")
    probe = torch.tensor(bench.rng("probe").normal(size=tuple(out.shape)))
    (out * probe).sum().backward()
    for name, leaf in (("data", x), ("parameters", p)):
        if leaf is not None:
            finite = leaf.grad is not None and bool(torch.isfinite(leaf.grad).all())
            checks.that(f"derivatives by the {name}", finite, "missing or not finite")


@case("E5", "data of the wrong shape or with NaN is refused")
def _refusals(bench: EncoderBench, checks: Checks) -> None:
    import numpy as np

    encoder, batch, parameters = bench.part, bench.data(), bench.parameters()
    nan = batch.copy()
    nan[0, 0] = np.nan
    wider = np.concatenate([batch, batch[:, :1]], axis=1)
    refused(checks, "one number too many", DataError, lambda: encoder.features(wider, parameters))
    refused(checks, "a NaN", DataError, lambda: encoder.features(nan, parameters))
    refused(checks, "no rows", DataError, lambda: encoder.features(batch[:0], parameters))


CASES = (_circuit, _features, _initial, _tensors, _refusals)
