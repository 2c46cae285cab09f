"""Expressibility: how near a circuit's states come to Haar-random ones (numpy; Sim et al. 2019, arXiv:1905.10876)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qimg_core.errors import ConfigurationError
from qimg_metrics.bootstrap import LEVEL, RESAMPLES, centred_interval, generator
from qimg_metrics.circuit.estimate import CircuitEstimate
from qimg_metrics.circuit.states import random_states

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qimg_core.circuit import Circuit
    from qimg_core.session import Session


def expressibility(
    circuit: Circuit,
    *,
    samples: int = 5000,
    bins: int = 75,
    seed: int = 0,
    session: Session | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> CircuitEstimate:
    """Kullback-Leibler divergence of the histogram of fidelities from the Haar distribution, in nats.

    Fidelities |<psi(a)|psi(b)>|^2 of ``samples`` independent pairs, all parameters uniform in [0, 2 pi), in
    ``bins`` equal bins, against the exact Haar mass of each bin, (1-l)^(N-1) - (1-u)^(N-1) with N = 2^wires.
    Smaller is more expressive. A finite sample of Haar states itself has a divergence above 0: the estimate's
    ``reference``. Values near it cannot be told from perfect. An idle circuit has (N-1) ln bins.

    Args:
        circuit: of unitary gates.
        samples: pairs of states.
        bins: of the histogram; values of other numbers of bins do not compare.
        seed: of the parameters and of the resamples.
        session: where the circuit runs (a device that shows states); None simulates it in a session of its own.
        resamples: of the bootstrap.
        level: of the interval.

    Raises:
        ConfigurationError: fewer than 2 samples or bins, or a circuit without a pure state.
        CapabilityError: the session's device cannot show states.
    """
    if bins < 2 or samples < 2:
        raise ConfigurationError(f"wanted two samples and two bins or more, got {samples} and {bins}")
    fidelities = [
        np.abs((states[0::2].conj() * states[1::2]).sum(axis=1)) ** 2
        for states in random_states(circuit, 2 * samples, seed=seed, name="expressibility", session=session)
    ]
    found = np.histogram(np.clip(np.concatenate(fidelities), 0.0, 1.0), bins=bins, range=(0.0, 1.0))[0]
    mass = log_haar_mass(circuit.n_wires, bins)
    value = float(divergence(found[None], mass)[0])
    rng = generator(seed, "expressibility_resamples")
    draws = divergence(rng.multinomial(samples, found / samples, size=resamples), mass)
    low, high = centred_interval(value, draws, level, least=0.0)
    return CircuitEstimate(
        name="expressibility",
        value=value,
        low=low,
        high=high,
        level=level,
        n=samples,
        method=f"centred bootstrap, {resamples} resamples of the pairs",
        note=f"KL divergence in nats over {bins} bins; smaller is more expressive",
        reference=haar_floor(circuit.n_wires, samples=samples, bins=bins, seed=seed),
        reference_of=f"as many Haar-random pairs, {bins} bins:",
        seed=seed,
    )


def haar_floor(n_wires: int, *, samples: int, bins: int = 75, seed: int = 0, draws: int = 1000) -> float:
    """Mean divergence that a finite sample of Haar-random pairs has from its own distribution."""
    mass = log_haar_mass(n_wires, bins)
    p = np.exp(mass)
    found = generator(seed, "haar_floor").multinomial(samples, p / p.sum(), size=draws)
    return float(divergence(found, mass).mean())


def log_haar_mass(n_wires: int, bins: int) -> NDArray[np.float64]:
    """Logarithm of the probability that two Haar-random states have a fidelity in each bin, (bins,).

    In logarithms, because the last bins of many wires are too improbable for a float.
    """
    power = 2.0**n_wires - 1.0
    below = 1.0 - np.arange(bins) / bins
    above = 1.0 - np.arange(1, bins + 1) / bins
    return np.asarray(power * np.log(below) + np.log1p(-((above / below) ** power)))


def divergence(counts: NDArray[np.int64], log_mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kullback-Leibler divergence in nats of each histogram (rows, bins) from the distribution."""
    p = counts / counts.sum(axis=1, keepdims=True)
    terms = p * (np.log(np.where(p > 0, p, 1.0)) - log_mass)
    return np.asarray(np.maximum(terms.sum(axis=1), 0.0))
