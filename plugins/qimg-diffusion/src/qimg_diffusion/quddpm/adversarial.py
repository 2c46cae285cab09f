"""The one-shot quantum GAN that QuDDPM is compared with (imports qimg_core, qimg_circuits, torch).

One deep circuit takes Haar-random states to the data, its ancillas measured once; a second circuit with one ancilla
of its own judges states by <Z> of that ancilla. Generator and critic are trained in turns (Lloyd and Weedbrook 2018,
arXiv:1804.09139). The distance that the critic learns is linear in the state, so it compares mean states only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from qimg_circuits.encoders.amplitude import AmplitudeEncoder
from qimg_circuits.observables.pauli_strings import PauliStrings
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm
from qimg_core.images import TrainStep
from qimg_core.torch_layer import QuantumLayer
from qimg_diffusion.optimise import Optimiser, learning_rate
from qimg_diffusion.quddpm.backward import layered
from qimg_diffusion.quddpm.ensembles import haar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.session import Session
    from qimg_diffusion.quddpm.model import QuDDPM
    from qimg_diffusion.quddpm.states import StateEnsemble


class Critic(nn.Module):
    """States (rows, 2**wires) -> a number in [-1, 1] each, large for what looks like data.

    Args:
        session: runs the circuit.
        wires: of a state.
        layers: of the critic.
        spread: the angles begin uniform on [-spread, spread).
    """

    def __init__(self, session: Session, wires: int, layers: int, spread: float) -> None:
        super().__init__()
        n = wires + 1
        encoder = AmplitudeEncoder(2**wires, complex_input=True)
        ansatz = layered(n, layers, spread)
        self.quantum = QuantumLayer(
            session,
            encoder,
            encoder.circuit.on(range(wires), n).then(ansatz.circuit),
            PauliStrings((f"Z{wires}",)),
            initial=ansatz.initial(session.seed_for("init", "critic")),
            seed=session.seed_for("init"),
            label="critic",
        ).double()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(rows, d) complex -> (rows,)."""
        out: torch.Tensor = self.quantum(states)[:, 0]
        return out


def fit_adversarially(
    model: QuDDPM, data: StateEnsemble, *, steps: int, cycles: int = 5, critic_layers: int = 16
) -> Iterator[TrainStep]:
    """Train a one-step `QuDDPM` as a generative adversarial network; yields after every step.

    Args:
        model: with ``timesteps=1``, untrained.
        data: what to learn.
        steps: of the generator and of the critic together; half and half.
        cycles: in each the critic is trained first, then the generator.
        critic_layers: of the critic's circuit.

    Raises:
        DataError: states of another number of wires.
        ConfigurationError: more than one time step, an arm without a circuit to train, or fewer steps than two a cycle.
    """
    c = model.config
    model.check_images(data)
    if c.timesteps != 1 or model.arm not in (Arm.QUANTUM, Arm.SEPARABLE) or steps < 2 * cycles or cycles < 1:
        raise ConfigurationError(
            f"a one-shot GAN wants timesteps=1, the quantum or separable arm and two steps or more in each cycle; got "
            f"timesteps={c.timesteps}, arm={c.arm}, {steps} steps in {cycles} cycles"
        )
    return _steps(model, Critic(model.session, c.wires, critic_layers, c.spread), data, steps, cycles)


def _steps(model: QuDDPM, critic: Critic, data: StateEnsemble, steps: int, cycles: int) -> Iterator[TrainStep]:
    c, each = model.config, steps // (2 * cycles)
    makes, judges = (Optimiser(net, rate=c.rate, decay=0.0, average=0.0) for net in (model.net[0], critic))
    real = torch.from_numpy(data.states.copy())
    done = 0
    for turn in range(2 * cycles):
        judging = turn % 2 == 0
        for k in range(each):
            rng = model.rng("adversarial", done)
            x = torch.from_numpy(haar(c.batch, c.wires, rng))
            with torch.set_grad_enabled(not judging):
                states, chances = model.net[0](x, None)
            fake = (critic(states.flatten(0, 1)) * chances.flatten()).sum() / len(x)
            if judging:
                fake = fake - critic(real[rng.choice(data.n, min(c.batch, data.n), replace=False)]).mean()
            optimiser = judges if judging else makes
            value = optimiser.descend(fake if judging else -fake, factor=learning_rate(k, each))
            done += 1
            metrics = {"loss": value, "turn": float(turn)}
            model.session.step(done, metrics)
            yield TrainStep(step=done, metrics=metrics)
