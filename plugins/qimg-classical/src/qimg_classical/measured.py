"""The error of a surrogate on points that it has not seen, with its interval (imports qimg_core.ledger, numpy)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from qimg_core.ledger.canonical import real

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.execution import FloatArray
    from qimg_core.job import JSON

RESAMPLES = 1000


@frozen(kw_only=True)
class MeasuredError:
    """Root mean square error over held-out inputs and all outputs that are not fixed by definition.

    Args:
        rmse: the error.
        low, high: 95 % percentile bootstrap interval over the inputs (Efron and Tibshirani 1993, section 13).
        largest: the largest single deviation.
        n: held-out inputs.
        outputs: numbers per input that were compared.
    """

    rmse: float
    low: float
    high: float
    largest: float
    n: int
    outputs: int

    def __str__(self) -> str:
        return (
            f"held-out RMSE {self.rmse:.3g} (95 % {self.low:.3g} to {self.high:.3g}), "
            f"largest {self.largest:.3g}, n={self.n} inputs of {self.outputs} numbers"
        )

    def to_json(self) -> dict[str, JSON]:
        """Without floats."""
        numbers = {k: real(getattr(self, k)) for k in ("rmse", "low", "high", "largest")}
        method = f"percentile bootstrap over inputs, {RESAMPLES} resamples"
        return {**numbers, "n": self.n, "outputs": self.outputs, "level": "0.95", "method": method}

    @classmethod
    def from_json(cls, document: Any) -> MeasuredError:
        numbers = {k: float(document[k]) for k in ("rmse", "low", "high", "largest")}
        return cls(**numbers, n=int(document["n"]), outputs=int(document["outputs"]))


@frozen(eq=False)
class ByOutput:
    """The same per output: four float64 arrays (outputs,)."""

    rmse: FloatArray
    low: FloatArray
    high: FloatArray
    largest: FloatArray


def measure(
    estimate: FloatArray, truth: FloatArray, free: npt.NDArray[np.bool_], seed: int
) -> tuple[MeasuredError, ByOutput]:
    """Compare estimates with what was recorded.

    Args:
        estimate: (inputs, outputs).
        truth: the same.
        free: (outputs,) which outputs count in the whole.
        seed: of the bootstrap.
    """
    squares = (estimate - truth) ** 2
    n = len(squares)
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n
    means = drawn @ squares
    low, high = np.sqrt(np.quantile(means, [0.025, 0.975], axis=0))
    whole_low, whole_high = np.sqrt(np.quantile(means[:, free].mean(1), [0.025, 0.975]))
    whole = MeasuredError(
        rmse=float(np.sqrt(squares[:, free].mean())),
        low=float(whole_low),
        high=float(whole_high),
        largest=float(np.sqrt(squares[:, free].max())),
        n=n,
        outputs=int(free.sum()),
    )
    return whole, ByOutput(np.sqrt(squares.mean(0)), low, high, np.sqrt(squares.max(0)))
