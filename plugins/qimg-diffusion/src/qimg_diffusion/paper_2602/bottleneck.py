"""What the arms exchange: a map from (latent, time, class) to K + 1 features (imports qimg_core, torch).

The class reaches the model here and nowhere else: through a table of numbers for each (time, class),
angles in the quantum arms and a matrix in the twin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from qimg_core.capabilities import GradientMethod
from qimg_core.errors import ConfigurationError
from qimg_core.execution import ExecutionRequest
from qimg_core.generator import Arm
from qimg_core.measurement import LocalStates, State
from qimg_diffusion.paper_2602 import circuits
from qimg_diffusion.paper_2602.states import unit_norm

if TYPE_CHECKING:
    from qimg_core.circuit.ir import Circuit
    from qimg_core.measurement import Measurement
    from qimg_core.session import Session
    from qimg_diffusion.paper_2602.config import PaperConfig


class QuantumBottleneck(torch.nn.Module):
    """Amplitude encoding, U1, Hadamard test of U2, U3, and K trained Hermitians on all wires.

    Two requests: blocks one and two with the ancilla (`circuits.front`), and block three on a state
    prepared anew (`circuits.back`). Between them the state vector is changed by hand, as released:
    this needs a simulator. On it the two are exactly the three circuits of the released code.

    Shape: (rows, 2**qubits) unit vectors, times 0..T-1 (rows,), classes (rows,) -> (rows, K + 1).

    Raises:
        ConfigurationError: the session has shots or noise, with which there is no state vector.
    """

    def __init__(self, session: Session, config: PaperConfig) -> None:
        super().__init__()
        if session.shots is not None or session.noise_model is not None:
            raise ConfigurationError(
                "hybrid-unet-2602.03405 changes the state vector between two circuits, which exists only in an exact "
                "simulation; this session has shots or noise",
                hint="run without shots and noise, or take arm=twin",
            )
        self.session, self.config = session, config
        n, dimension = config.qubits, 2**config.qubits
        entangling = config.arm is not Arm.SEPARABLE
        self.front = circuits.front(n, config.reps, entangling=entangling)
        self.back = circuits.back(n, config.reps, entangling=entangling)
        table = torch.randn(config.timesteps, config.classes, config.angles) * config.spread
        self.angles = torch.nn.Parameter(table, requires_grad=config.arm is not Arm.FROZEN)
        self.observables = torch.nn.Parameter(torch.randn(config.observables, dimension, dimension, 2) * config.spread)

    def forward(self, latent: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Features: <H_1> ... <H_K>, then <Z> of the ancilla."""
        angles = self.angles[t, labels]
        joint = self._run(self.front, latent, angles[:, : self.front.n_weights], State())
        zero, one = joint[:, 0::2], joint[:, 1::2]  # the ancilla is the last wire
        ancilla = (_squares(zero) - _squares(one)).sum(1, keepdim=True)
        state = self.between(zero, one)
        expected = self._expected(torch.cat([state.real, state.imag], 1), angles[:, self.front.n_weights :])
        return torch.cat([expected, ancilla], 1)

    def between(self, zero: torch.Tensor, one: torch.Tensor) -> torch.Tensor:
        """The state handed to block three, from the amplitudes (rows, d) with the ancilla in |0> and in |1>."""
        state = unit_norm(zero + one if self.config.middle == "released" else zero)
        if self.config.activation:
            leaky = torch.nn.functional.leaky_relu
            state = unit_norm(torch.complex(leaky(state.real, 0.01), leaky(state.imag, 0.01)))
        return state

    def hermitians(self) -> torch.Tensor:
        """H = (M + M^dagger)/2, complex (K, d, d) (arXiv:2602.03405, eq. 22)."""
        m = torch.view_as_complex(self.observables)
        return (m + m.mH) / 2

    def _expected(self, inputs: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        h = self.hermitians()
        if self.session.backend().capabilities.contracts:
            window = LocalStates((tuple(range(self.config.qubits)),))
            return self._run(self.back, inputs, angles, window, (h,))
        psi = self._run(self.back, inputs, angles, State())
        return torch.einsum("ri,kij,rj->rk", psi.conj(), h.to(psi.dtype), psi).real

    def _run(
        self,
        circuit: Circuit,
        inputs: torch.Tensor,
        weights: torch.Tensor,
        measurement: Measurement,
        readout: tuple[Any, ...] | None = None,
    ) -> torch.Tensor:
        request = ExecutionRequest(
            circuit=circuit, inputs=inputs, weights=weights, measurement=measurement, readout=readout
        )
        gradient = GradientMethod.BACKPROP if torch.is_grad_enabled() else None
        data: torch.Tensor = self.session.execute(request, gradient=gradient, label="bottleneck").data
        return data


class ClassicalBottleneck(torch.nn.Module):
    """The twin: the same shapes, tables of the same size, and a shared read-out of the same size.

    The table of a (time, class) is a matrix on the latent (its numbers are the angles' number, cut to
    whole rows); a small shared net with one hidden layer reads it out. Trainable parameters agree
    within 2 % with the quantum layer's at the released sizes.
    """

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        dimension, features = 2**config.qubits, config.observables + 1
        rows = max(1, config.angles // dimension)
        scale = dimension**-0.5
        self.tables = torch.nn.Parameter(torch.randn(config.timesteps, config.classes, rows, dimension) * scale)
        of_quantum = config.timesteps * config.classes * config.angles + 2 * config.observables * dimension**2
        left = of_quantum - self.tables.numel()
        width = max(1, round((left - features) / (rows + 1 + features)))
        self.hidden = torch.nn.Linear(rows, width)
        self.out = torch.nn.Linear(width, features)

    def forward(self, latent: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """As `QuantumBottleneck.forward`."""
        # one product for all tables, then each row's own: cheaper than gathering a matrix for every row
        steps, classes, rows, _ = self.tables.shape
        everything = latent @ self.tables.reshape(steps * classes * rows, -1).t()
        index = (t * classes + labels)[:, None, None].expand(-1, 1, rows)
        chosen = everything.view(-1, steps * classes, rows).gather(1, index).squeeze(1)
        features: torch.Tensor = self.out(torch.tanh(self.hidden(torch.tanh(chosen))))
        return features


def _squares(z: torch.Tensor) -> torch.Tensor:
    return z.real.square() + z.imag.square()
