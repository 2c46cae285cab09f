"""`Surrogate`: a fitted classical stand-in for one circuit (imports qimg_core; numpy inside functions).

It answers for the circuit, measurement, weights and noise model that it was fitted for and refuses everything
else. What it gives is an estimate, with the error that was measured on inputs it had not seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_classical.outputs import possible
from qimg_core.capabilities import Mismatch
from qimg_core.execution import is_tensor
from qimg_core.proposals import measurement_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_classical.measured import ByOutput, MeasuredError
    from qimg_classical.series import Series
    from qimg_classical.training_set import Function
    from qimg_core.execution import ExecutionRequest, FloatArray
    from qimg_core.job import JSON
    from qimg_core.measurement import Measurement


@frozen(kw_only=True, eq=False)
class Surrogate:
    """See the module.

    Args:
        function: what it stands in for.
        measurement: the same measurement, to lay out the result.
        wires: of the circuit.
        series: the fitted sum.
        low, high: float64 (n_inputs,), the least and largest training input of each column.
        error: measured on held-out inputs.
        by_output: the same for each output.
        facts: how it was fitted and from what, JSON without floats.
        digest: of its file; empty before it is written.
    """

    function: Function
    measurement: Measurement
    wires: int
    series: Series
    low: FloatArray
    high: FloatArray
    error: MeasuredError
    by_output: ByOutput
    facts: Mapping[str, JSON]
    digest: str = ""

    def mismatches(self, request: ExecutionRequest) -> tuple[Mismatch, ...]:
        """Everything in a request that this surrogate was not fitted for; empty means that it answers."""
        f, tensors = self.function, is_tensor(request.inputs) or is_tensor(request.weights)
        pairs: list[tuple[str, Any, Any]] = [
            ("arrays", "torch tensors" if tensors else "numpy", "numpy"),
            ("circuit", request.circuit.digest, f.circuit),
            ("measurement", measurement_digest(request.measurement), f.measurement),
            ("weights", request.weights_digest, f.weights),
            ("noise", None if request.noise is None else request.noise.digest, f.noise),
            ("readout", None if request.readout is None else "contracted read-out", None),
            ("mitigation", None if request.mitigation is None else "error mitigation", None),
        ]
        return tuple(
            Mismatch(name, str(wanted or "none"), f"{offered or 'none'} (a surrogate fitted for it)")
            for name, wanted, offered in pairs
            if wanted != offered
        )

    def estimate(self, inputs: FloatArray) -> FloatArray:
        """The numbers of the measurement for each row, (rows, outputs); within what the measurement can give."""
        import numpy as np

        return possible(self.measurement, self.series(np.asarray(inputs, dtype=np.float64)))

    def extrapolates(self, inputs: FloatArray) -> int:
        """How many rows lie outside of the box of the training inputs, where the error was not measured."""
        outside = (inputs < self.low) | (inputs > self.high)
        return int(outside.any(axis=1).sum())

    def account(self, request: ExecutionRequest) -> str:
        """The measured error of an answer in words, for the record."""
        beyond = self.extrapolates(request.inputs)
        parts = [f"surrogate {self.digest or 'not saved'}: {self.error}"]
        if beyond:
            parts.append(f"{beyond} of {request.rows} rows extrapolate: their error was not measured")
        if request.shots is not None:
            parts.append(f"{request.shots} shots were asked and none were taken")
        return "; ".join(parts)
