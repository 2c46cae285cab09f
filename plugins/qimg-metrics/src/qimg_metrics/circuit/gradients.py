"""Gradient variance: whether a circuit can be trained from random parameters (numpy; arXiv:1803.11173)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qimg_core.capabilities import GradientMethod
from qimg_core.circuit import pauli
from qimg_core.errors import ConfigurationError
from qimg_core.execution import ExecutionRequest
from qimg_core.gradients import by_occurrence, gather, shifted
from qimg_core.measurement import Expectation
from qimg_metrics.bootstrap import LEVEL, RESAMPLES, bootstrap, number
from qimg_metrics.circuit.estimate import CircuitEstimate
from qimg_metrics.circuit.states import opened, random_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qimg_core.circuit import Circuit, PauliString
    from qimg_core.session import Session

_AMPLITUDES = 2**22


def gradient_variance(
    circuit: Circuit,
    *,
    observable: PauliString | None = None,
    points: int = 200,
    seed: int = 0,
    session: Session | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> CircuitEstimate:
    """Variance of d<P>/d weight over random parameters, the mean over all weights.

    Exact derivatives by parameter shift, all parameters uniform in [0, 2 pi). The reference is what a circuit
    gets that is a 2-design before and after each rotation: it halves with every further wire, which is a barren
    plateau (McClean et al. 2018, arXiv:1803.11173). An estimate within a factor two of it carries a warning.

    Args:
        circuit: of unitary gates, with one weight or more.
        observable: what is measured; None takes Z0 Z1 as McClean et al. do (Z0 on one wire).
        points: random sets of parameters. Each costs two to four rows for every parameterised gate.
        seed: of the parameters and of the resamples.
        session: where the circuit runs; None simulates it in a session of its own.
        resamples: of the bootstrap.
        level: of the interval.

    Raises:
        ConfigurationError: no weights, the identity as observable, fewer than 2 points.
    """
    if circuit.n_weights == 0:
        raise ConfigurationError("the circuit has no weights, so there is no gradient")
    measured = observable or pauli("Z0 Z1" if circuit.n_wires > 1 else "Z0")
    if not measured.factors:
        raise ConfigurationError("the identity has no gradient; wanted e.g. pauli('Z0 Z1')")
    values = random_values(circuit, points, seed=seed, name="gradient_variance")
    gradients = _derivatives(circuit, values, measured, seed=seed, session=session)

    def mean_variance(rows: NDArray[np.float64]) -> float:
        return float(rows.var(axis=0, ddof=1).mean())

    value = mean_variance(gradients)
    name = "gradient_variance"
    low, high = bootstrap(gradients, mean_variance, seed=seed, name=name, resamples=resamples, level=level)
    reference = two_design_variance(circuit.n_wires, measured.coefficient)
    each = gradients.var(axis=0, ddof=1)
    return CircuitEstimate(
        name=name,
        value=value,
        low=min(low, value),
        high=max(high, value),
        level=level,
        n=points,
        method=f"percentile bootstrap, {resamples} resamples of the parameter sets",
        note=f"of <{measured}>, mean over {len(each)} weights, which have {number(each.min())} to {number(each.max())}",
        reference=reference,
        reference_of="a 2-design:",
        warning=_warning(value, reference, circuit.n_wires),
        seed=seed,
    )


def two_design_variance(n_wires: int, coefficient: float = 1.0) -> float:
    """The variance between two 2-designs of d<P>/d angle, for a rotation exp(-i angle G / 2), G and P Paulis.

    c^2 N^2 / (2 (N^2 - 1) (N + 1)) with N = 2^wires: both Haar integrals of McClean et al. 2018, equation 5.
    """
    n = 2.0**n_wires
    return coefficient**2 * n**2 / (2 * (n**2 - 1) * (n + 1))


def _derivatives(
    circuit: Circuit, values: NDArray[np.float64], observable: PauliString, *, seed: int, session: Session | None
) -> NDArray[np.float64]:
    """Derivatives by the weights, (points, n_weights)."""
    plan = by_occurrence(circuit)
    step = max(1, _AMPLITUDES // (2**circuit.n_wires * (1 + len(plan.shifts))))
    out: list[NDArray[np.float64]] = []
    with opened(session, seed) as running:
        for start in range(0, len(values), step):
            part = values[start : start + step]
            request = ExecutionRequest(
                circuit=circuit,
                inputs=part[:, list(circuit.input_indices)],
                weights=part[:, list(circuit.weight_indices)],
                measurement=Expectation((observable,)),
            )
            method = GradientMethod.PARAMETER_SHIFT
            result = running.execute(shifted(request, plan), gradient=method, label="gradient_variance")
            _, derivatives = gather(result.data, len(part), plan)
            out.append(derivatives[:, 0, list(circuit.weight_indices)])
    return np.concatenate(out)


def _warning(value: float, reference: float, n_wires: int) -> str:
    if value > 2 * reference:
        return ""
    if value < 1e-20:
        return "the observable does not depend on the weights"
    if n_wires < 3:
        return ""  # so few wires leave no room between the two
    return (
        "perhaps a barren plateau: the gradients are as small as a random unitary's, whose variance halves with every "
        "further wire; measure it with more wires, or use fewer layers or weights that begin near 0"
    )
