"""The forward process: data states lose themselves in T steps (imports qimg_core, numpy).

*Scrambling* (arXiv:2310.05866): step t applies to each state a random circuit of its own, RZ RY RZ on each wire with
angles uniform on (-pi/8, pi/8) h_t, then RZZ on each pair with angles g h_t / (2 sqrt(wires)), g uniform on (0.4, 0.6).
One step is one request of the session, the angles are its inputs.

*Depolarising* (mixed-state QuDDPM, arXiv:2411.17608): rho_t = a_t rho_0 + (1 - a_t) I/d, by pure states: each is kept
with probability a_t and Haar-random otherwise; their mean is rho_t. Nothing runs on a device.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from qimg_core.circuit import Angle, Circuit, CircuitBuilder
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import State
from qimg_diffusion.quddpm.ensembles import haar, normalised

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.session import Session
    from qimg_diffusion.quddpm.config import QuDDPMConfig

    Complex = npt.NDArray[np.complex128]
    Floats = npt.NDArray[np.float64]


def prepared(builder: CircuitBuilder, wires: int) -> tuple[Angle, ...]:
    """Append a preparation of any state of the first wires; its inputs are all real parts, then all imaginary ones."""
    angles = tuple(builder.input(f"{part}{i}") for part in ("re", "im") for i in range(2**wires))
    builder.gate("prepare", *range(wires), angles=angles)
    return angles


def scrambler(wires: int) -> Circuit:
    """One scrambling step. Inputs: the state, three angles a wire, one a pair of wires."""
    b = CircuitBuilder(wires)
    prepared(b, wires)
    for wire in range(wires):
        for k, name in enumerate(("rz", "ry", "rz")):
            b.gate(name, wire, angles=(b.input(f"{name}{k}.{wire}"),))
    for pair in combinations(range(wires), 2):
        b.gate("rzz", *pair, angles=(b.input(f"rzz{pair[0]}.{pair[1]}"),))
    return b.build()


def strengths(config: QuDDPMConfig) -> Floats:
    """h_1 .. h_T of the scrambling, float64 (T,)."""
    t = config.timesteps
    if config.schedule == "quadratic":
        return config.last * (np.arange(1, t + 1) / t) ** 2
    return np.linspace(config.first, config.last, t)


def survivals(timesteps: int) -> Floats:
    """a_0 = 1 .. a_T = 0 of the depolarising process, float64 (T + 1,): cos^2(pi t / 2T)."""
    return np.cos(math.pi * np.arange(timesteps + 1) / (2 * timesteps)) ** 2


def forward(session: Session, config: QuDDPMConfig, states: Complex, seed: int) -> Complex:
    """The ensemble at every time, complex128 (T + 1, n, d); time 0 is the data.

    Args:
        session: runs the scrambling.
        config: which process.
        states: the data (n, d).
        seed: of all random draws.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    if config.forward == "depolarising":
        return depolarised(states, survivals(config.timesteps), rng)
    circuit, out = scrambler(config.wires), [np.asarray(states, dtype=np.complex128)]
    pairs = config.wires * (config.wires - 1) // 2
    for h in strengths(config):
        turns = rng.uniform(-math.pi / 8, math.pi / 8, (len(states), 3 * config.wires)) * h
        bonds = rng.uniform(0.4, 0.6, (len(states), pairs)) * h / (2 * math.sqrt(config.wires))
        request = ExecutionRequest(
            circuit=circuit,
            inputs=np.concatenate([out[-1].real, out[-1].imag, turns, bonds], 1),
            weights=np.zeros(0),
            measurement=State(),
        )
        # rounding adds up over the steps, and a preparation wants norm 1
        out.append(normalised(session.execute(request, label="scramble").data))
    return np.stack(out)


def depolarised(states: Complex, survival: Floats, rng: np.random.Generator) -> Complex:
    """Pure states whose mean at time t is a_t rho_0 + (1 - a_t) I/d: (times, n, d).

    A state that was lost at t stays lost, and is another Haar-random one at each later time.

    Args:
        states: the data (n, d).
        survival: a_t for each time, not increasing.
        rng: of the draws.
    """
    wires = states.shape[1].bit_length() - 1
    life = rng.random(len(states))
    out = [np.where((life < a)[:, None], states, haar(len(states), wires, rng)) for a in survival]
    return np.stack(out)
