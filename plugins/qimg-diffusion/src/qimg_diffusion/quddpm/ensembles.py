"""Ensembles of pure states to learn, drawn by seed (imports qimg_core, numpy).

Data of arXiv:2310.05866: a cluster around |0...0>, the circle of real one-wire states, ground states of the
transverse-field Ising chain. All are computed classically here; their sizes are small.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.errors import ConfigurationError
from qimg_core.seeds import derive_seed
from qimg_diffusion.quddpm.states import StateEnsemble

if TYPE_CHECKING:
    import numpy.typing as npt

    Complex = npt.NDArray[np.complex128]

SPREADS = {1: 0.08, 2: 0.06}
"""Of the published clusters, by wires: data fidelities 0.9876 and 0.9792."""


def normalised(vectors: Any) -> Complex:
    """Rows (n, d) divided by their norms."""
    array = np.asarray(vectors, dtype=np.complex128)
    out: Complex = array / np.linalg.norm(array, axis=1, keepdims=True)
    return out


def haar(n: int, wires: int, rng: np.random.Generator) -> Complex:
    """Haar-random states (n, 2**wires)."""
    d = 2**wires
    return normalised(rng.standard_normal((n, d)) + 1j * rng.standard_normal((n, d)))


def cluster(n: int, wires: int = 2, *, spread: float | None = None, seed: int = 0) -> StateEnsemble:
    """|0...0> + spread * sum_j c_j |j>, normalised, c_j complex with standard normal parts, j > 0.

    The mean of |<0|psi>|^2 is close to 1 - 2 spread^2 (2^wires - 1).

    Args:
        n: how many.
        wires: of each.
        spread: None takes the published one (1 and 2 wires), 0.06 elsewhere.
        seed: of the draws.
    """
    spread = SPREADS.get(wires, 0.06) if spread is None else spread
    rng = _rng(seed, "cluster", wires)
    d = 2 ** _wires(wires)
    vectors = spread * (rng.standard_normal((n, d)) + 1j * rng.standard_normal((n, d)))
    vectors[:, 0] = 1
    return _ensemble(f"cluster-{wires}", normalised(vectors), seed=seed, spread=repr(spread))


def circle(n: int, *, seed: int = 0) -> StateEnsemble:
    """cos(a/2)|0> + sin(a/2)|1>, a uniform on [0, 2 pi): the great circle of the Bloch sphere with <Y> = 0."""
    a = _rng(seed, "circle").uniform(0, 2 * math.pi, n) / 2
    return _ensemble("circle", np.stack([np.cos(a), np.sin(a)], 1), seed=seed)


def ising(n: int, wires: int = 4, *, low: float = 0.2, high: float = 0.4, seed: int = 0) -> StateEnsemble:
    """Ground states of -sum_i Z_i Z_{i+1} - g sum_i X_i on a ring, g uniform on [low, high).

    Args:
        n: how many.
        wires: 3 to 10.
        low: least field; above 0, where the ground state is unique.
        high: largest field.
        seed: of the draws.
    """
    if not 3 <= wires <= 10 or not 0 < low <= high:
        raise ConfigurationError(f"ising: wanted 3 to 10 wires and fields above 0, got {wires}, [{low}, {high})")
    fields = _rng(seed, "ising", wires).uniform(low, high, n)
    states = [np.linalg.eigh(ising_hamiltonian(wires, g))[1][:, 0] for g in fields]
    return _ensemble(f"ising-{wires}", np.array(states), seed=seed, low=repr(low), high=repr(high))


def ising_hamiltonian(wires: int, g: float) -> npt.NDArray[np.float64]:
    """-sum_i Z_i Z_{i+1} - g sum_i X_i on a ring, real (2**wires, 2**wires), wire 0 most significant."""
    index = np.arange(2**wires)
    spins = 1 - 2 * ((index[:, None] >> np.arange(wires)[::-1]) & 1)
    h = np.diag(-(spins * np.roll(spins, -1, 1)).sum(1).astype(np.float64))
    for wire in range(wires):
        h[index, index ^ (1 << wire)] -= g
    return h


def _named(what: str, wires: int, split: str = "train") -> StateEnsemble:
    """500 states to learn, 1,000 held out."""
    n, seed = {"train": (500, 1), "test": (1000, 2)}[split]
    if what == "cluster":
        return cluster(n, wires, seed=seed)
    return circle(n, seed=seed) if what == "circle" else ising(n, wires, seed=seed)


open_cluster_1 = partial(_named, "cluster", 1)
open_cluster_2 = partial(_named, "cluster", 2)
open_circle = partial(_named, "circle", 1)
open_ising = partial(_named, "ising", 4)


def _wires(wires: int) -> int:
    if not 1 <= wires <= 10:
        raise ConfigurationError(f"wires: wanted 1 to 10, got {wires}")
    return wires


def _rng(seed: int, *names: str | int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(derive_seed(seed, "states", *names)))


def _ensemble(name: str, states: Any, *, seed: int, **facts: Any) -> StateEnsemble:
    return StateEnsemble(
        title=f"states-{name}",
        states=normalised(states),
        facts={"made": f"drawn by seed: {name}", "seed": str(seed), **facts},
    )
