"""One backward step: a circuit on state and ancillas, the ancillas measured; or its classical twin (imports torch).

The step is a request of the session whose result is the state of all wires, in the same graph as the weights. The
ancillas' outcome k has probability p_k = ||phi_k||^2, with phi_k the part of that state where they read k; the
state that stays is phi_k / sqrt(p_k).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from qimg_circuits.ansatzes.hardware_efficient import HardwareEfficient
from qimg_circuits.encoders.amplitude import AmplitudeEncoder
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm
from qimg_core.measurement import State
from qimg_core.observable import Observable
from qimg_core.torch_layer import QuantumLayer
from qimg_diffusion.layers import ClassicalMap, without_entanglers

if TYPE_CHECKING:
    from qimg_core.measurement import Measurement
    from qimg_core.session import Session
    from qimg_diffusion.quddpm.config import QuDDPMConfig

Branches = tuple[torch.Tensor, torch.Tensor]
"""States complex128 (rows, K, d) and their weights (rows, K), which add up to 1 in each row."""
TINY = 1e-18


class Amplitudes(Observable):
    """The state itself, (rows, 2**wires) complex. Simulators only.

    Args:
        wires: of the circuit.
    """

    def __init__(self, wires: int) -> None:
        self.wires = wires

    @property
    def measurement(self) -> Measurement:
        """The state of all wires."""
        return State()

    @property
    def n_features(self) -> int:
        """2**wires."""
        return int(2**self.wires)

    def reduce(self, data: Any, parameters: Any = None) -> Any:
        """As it is."""
        return data


class QuantumStep(nn.Module):
    """Circuit and measurement of one time step.

    Args:
        session: runs it. Its shots and noise must be None.
        config: of the model.
        t: which step, for its seed.

    Raises:
        ConfigurationError: a session with noise, in which no state is pure.
    """

    def __init__(self, session: Session, config: QuDDPMConfig, t: int) -> None:
        super().__init__()
        if session.noise_model is not None or session.shots is not None:
            raise ConfigurationError(
                "quddpm reads pure states: it takes a session without noise and without shots",
                hint="leave --noise and --shots out; a device would run the whole chain with mid-circuit measurement",
            )
        n = config.wires + config.ancillas
        encoder = AmplitudeEncoder(config.dimension, complex_input=True)
        ansatz = layered(n, config.layers, config.spread)
        trained = without_entanglers(ansatz.circuit) if config.arm is Arm.SEPARABLE else ansatz.circuit
        circuit = encoder.circuit.on(range(config.wires), n).then(trained)
        self.outcomes = 2**config.ancillas
        self.quantum = QuantumLayer(
            session,
            encoder,
            circuit,
            Amplitudes(n),
            initial=ansatz.initial(session.seed_for("init", "step", t)),
            seed=session.seed_for("init"),
            label="backward",
            frozen=config.arm is Arm.FROZEN,
        ).double()

    def forward(self, x: torch.Tensor, u: torch.Tensor | None) -> Branches:
        """States (rows, d) one step back.

        Args:
            x: complex128 of norm 1.
            u: (rows,) in (0, 1): draws one outcome of each row, of weight 1; None gives all of them.
        """
        phi = self.quantum(x).unflatten(1, (x.shape[1], self.outcomes)).transpose(1, 2)
        chances = phi.real.square().sum(2) + phi.imag.square().sum(2)
        if u is not None:
            passed = chances.detach().cumsum(1)
            k = (u[:, None] * passed[:, -1:] >= passed).sum(1).clamp(max=self.outcomes - 1)
            rows = torch.arange(len(x))
            phi, chances = phi[rows, k][:, None], chances[rows, k][:, None]
        states = phi / chances.clamp(min=TINY).sqrt()[..., None]
        return states, torch.ones_like(chances) if u is not None else chances


class ClassicalStep(nn.Module):
    """The twin: amplitudes and one random number in, a correction of the amplitudes out, normalised.

    Exactly as many trainable numbers as the circuit has angles. It sees the amplitudes with the first one real,
    as a state has no global phase.

    Args:
        config: of the model.
        parameters: how many.
    """

    outcomes = 1

    def __init__(self, config: QuDDPMConfig, parameters: int) -> None:
        super().__init__()
        d = config.dimension
        self.net = ClassicalMap(2 * d + 1, 2 * d, parameters=parameters).double()

    def forward(self, x: torch.Tensor, u: torch.Tensor | None) -> Branches:
        """As `QuantumStep.forward`; always one branch. Without ``u`` its random number is a half."""
        phase = x[:, :1] / x[:, :1].abs().clamp(min=TINY)
        x = x * phase.conj()
        chance = torch.full_like(x[:, 0].real, 0.5) if u is None else u
        d = x.shape[1]
        out = self.net(torch.cat([x.real, x.imag, 2 * chance[:, None] - 1], 1))
        moved = x + torch.complex(out[:, :d], out[:, d:])
        norms = torch.linalg.vector_norm(moved, dim=1, keepdim=True)
        return (moved / norms.clamp(min=TINY))[:, None], torch.ones_like(norms)


def layered(wires: int, layers: int, spread: float) -> HardwareEfficient:
    """RX and RY on every wire, then a chain of CZ, in each layer: the published ansatz.

    Args:
        wires: of the circuit.
        layers: how many.
        spread: the angles begin uniform on [-spread, spread).
    """
    rotations: Any = ("rx", "ry")
    return HardwareEfficient(wires, layers, rotations=rotations, entangler="cz", topology="chain", spread=spread)


def angles_per_step(config: QuDDPMConfig) -> int:
    """Trainable numbers of one step: RX and RY on every wire and layer."""
    return 2 * (config.wires + config.ancillas) * config.layers
