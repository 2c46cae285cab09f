"""Entangling capability: the mean Meyer-Wallach measure of a circuit's states (numpy; arXiv:quant-ph/0108104)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_metrics.bootstrap import LEVEL, RESAMPLES, bootstrap
from qimg_metrics.circuit.estimate import CircuitEstimate
from qimg_metrics.circuit.states import random_states

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qimg_core.circuit import Circuit
    from qimg_core.session import Session


def meyer_wallach(
    circuit: Circuit,
    *,
    samples: int = 5000,
    seed: int = 0,
    session: Session | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> CircuitEstimate:
    """Mean of Q over random parameters, all uniform in [0, 2 pi) (Sim et al. 2019, arXiv:1905.10876).

    Q = 2 (1 - mean_k Tr rho_k^2) with rho_k the state of wire k alone: 0 for product states, 1 where every
    wire is maximally entangled with the others, (N-2)/(N+1) on average for Haar-random states of N = 2^wires.

    Args:
        circuit: of unitary gates.
        samples: random states.
        seed: of the parameters and of the resamples.
        session: where the circuit runs (a device that shows states); None simulates it in a session of its own.
        resamples: of the bootstrap.
        level: of the interval.

    Raises:
        ConfigurationError: fewer than 2 samples, or a circuit without a pure state.
        CapabilityError: the session's device cannot show states.
    """
    batches = random_states(circuit, samples, seed=seed, name="meyer_wallach", session=session)
    each = np.concatenate([meyer_wallach_of(states) for states in batches])

    def mean(rows: NDArray[np.float64]) -> float:
        return float(rows.mean())

    low, high = bootstrap(each, mean, seed=seed, name="meyer_wallach_resamples", resamples=resamples, level=level)
    return CircuitEstimate(
        name="meyer_wallach",
        value=mean(each),
        low=low,
        high=high,
        level=level,
        n=samples,
        method=f"percentile bootstrap, {resamples} resamples of the states",
        note="mean Q over random parameters; 0 for product states, at most 1",
        reference=haar_meyer_wallach(circuit.n_wires),
        reference_of="Haar-random states:",
        seed=seed,
    )


def meyer_wallach_of(states: NDArray[Any]) -> NDArray[np.float64]:
    """Q of each pure state, (rows,).

    Args:
        states: (rows, 2**n), of norm 1.
    """
    rows, size = states.shape
    n = size.bit_length() - 1
    purity = np.zeros(rows)
    for wire in range(n):
        parts = states.reshape(rows, 2**wire, 2, -1)
        rho = np.einsum("raib,rajb->rij", parts, parts.conj())
        purity += np.einsum("rij,rji->r", rho, rho).real
    q = np.clip(2 * (1 - purity / n), 0.0, 1.0)
    return np.where(q < 1e-12, 0.0, q)  # rounding of product states


def haar_meyer_wallach(n_wires: int) -> float:
    """Mean of Q over Haar-random states, (N-2)/(N+1)."""
    return (2.0**n_wires - 2) / (2.0**n_wires + 1)
