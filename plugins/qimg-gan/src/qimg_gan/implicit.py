"""`implicit-gan`: a circuit asked for pixels by their coordinates (imports qimg_core, qimg_circuits, torch).

After the coordinate-conditioned implicit quantum GAN (CoQui, 2026): a small perceptron turns a pixel's coordinates,
the noise and the class into angles; they are uploaded again and again, each time with trained scales, to a few
feature wires; controlled rotations write what the features say onto a colour wire, whose chance to read 1 is the
pixel. The image has no fixed grid: the same weights draw it at any size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from attrs import frozen
from torch import nn

from qimg_circuits.arrays import check_batch
from qimg_circuits.encoders.base import StandardEncoder
from qimg_circuits.encoders.reupload import ReuploadEncoder
from qimg_circuits.observables.pauli_strings import PauliStrings
from qimg_core.circuit import Circuit, CircuitBuilder, pauli
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm, arm_field
from qimg_core.torch_layer import QuantumLayer
from qimg_diffusion.layers import ClassicalMap, LinearMap, without_entanglers
from qimg_diffusion.torch_generator import seeded
from qimg_gan.adversarial import AdversarialGenerator

if TYPE_CHECKING:
    from qimg_core.execution import FloatArray

TURNS = ("rx", "ry", "rz")


@frozen(kw_only=True)
class ImplicitConfig:
    """Settings of `ImplicitGan`.

    Args:
        arm: which form of the model.
        size: height and width of an image, a multiple of 4.
        channels: 1; colour is not made.
        classes: 1 learns images without their class.
        features: feature wires, 1 to 8; one more is the colour.
        layers: uploads.
        latent: length of the noise.
        hidden: width of the perceptron that makes the angles.
        waves: frequencies of the coordinates, doubling from pi.
        brightness: of an image before training, between 0 and 1.
        batch: images a training step.
        rate: the generator's largest learning rate.
        critic_rate: the critic's.
        critic_width: its channels.
        critic_steps: of the critic before each of the generator.
        penalty: weight of the gradient penalty.
        average: of the running mean of the weights that sampling uses.
        sample_batch: images made together.
    """

    arm: Arm = arm_field()
    size: int = 28
    channels: int = 1
    classes: int = 10
    features: int = 3
    layers: int = 6
    latent: int = 16
    hidden: int = 64
    waves: int = 5
    brightness: float = 0.15
    batch: int = 32
    rate: float = 1e-3
    critic_rate: float = 5e-4
    critic_width: int = 16
    critic_steps: int = 3
    penalty: float = 10.0
    average: float = 0.99
    sample_batch: int = 32

    def __attrs_post_init__(self) -> None:
        if self.size % 4 or self.size < 8 or self.channels != 1:
            raise ConfigurationError(
                f"wanted a size that is a multiple of 4 from 8 on, and 1 channel, got {self.size} and {self.channels}"
            )
        if not 1 <= self.features <= 8 or min(self.layers, self.latent, self.hidden, self.waves, self.classes) < 1:
            raise ConfigurationError(
                "wanted 1 to 8 features, and layers, latent, hidden, waves and classes of 1 or more, got "
                f"{self.features}, {self.layers}, {self.latent}, {self.hidden}, {self.waves}, {self.classes}"
            )
        if not 0 < self.brightness < 1:
            raise ConfigurationError(f"brightness: wanted a number between 0 and 1, got {self.brightness}")


@frozen
class FeatureTurns(StandardEncoder):
    """RX, RY and RZ on each feature wire 1, 2, ..., three angles a wire, as they are; wire 0 is left alone."""

    n_turned: int

    @property
    def circuit(self) -> Circuit:
        b = CircuitBuilder(self.n_turned + 1)
        for w in range(self.n_turned):
            for axis in TURNS:
                b.gate(axis, 1 + w, angles=(b.input(f"{axis}{w}"),))
        return b.build()

    @property
    def n_features(self) -> int:
        return 3 * self.n_turned

    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, 3 * wires), as they are."""
        check_batch(batch, self.n_features, "feature turns")
        return batch


def colour_circuit(features: int) -> Circuit:
    """The colour's first rotation, RY by one weight on wire 0."""
    b = CircuitBuilder(features + 1)
    return b.ry(0, b.weight("brightness")).build()


def writing_layer(features: int) -> Circuit:
    """After an upload: RY RZ RY on each feature, a ring of CX among them, CRY from each to the colour, RY RZ RY there.

    4 * features + 3 weights.
    """
    b = CircuitBuilder(features + 1)

    def general(wire: int) -> None:
        for k, axis in enumerate(("ry", "rz", "ry")):
            b.gate(axis, wire, angles=(b.weight(f"{wire}.{k}"),))

    for w in range(1, features + 1):
        general(w)
    for w in range(1, features + 1) if features > 1 else ():
        b.cx(w, 1 + w % features)
    for w in range(1, features + 1):
        b.gate("cry", w, 0, angles=(b.weight(f"write{w}"),))
    general(0)
    return b.build()


def initial_weights(features: int, layers: int, brightness: float, seed: int) -> FloatArray:
    """The colour starts at the brightness asked for; all other angles are small, so that little is written at first."""
    rng = np.random.Generator(np.random.PCG64(seed))
    each = rng.normal(size=(layers, 4 * features + 3)) * 0.3
    each[:, 3 * features : 4 * features] /= 3
    each[:, 4 * features :] /= 10
    return np.concatenate([[math.acos(1 - 2 * brightness)], each.ravel()])


class ImplicitNet(nn.Module):
    """Noise and class -> angles of every pixel -> pixels.

    Args:
        config: of the model.
        quantum: (rows, 3 * features) -> (rows, 1) <Z> of the colour; or None.
        classical: (rows, 3 * features) -> (rows, 1) instead.
    """

    def __init__(self, config: ImplicitConfig, quantum: QuantumLayer | None, classical: nn.Module | None) -> None:
        super().__init__()
        c = self.config = config
        n_place, n_out = 2 + 4 * c.waves, 3 * c.features
        self.place = nn.Linear(n_place, c.hidden)
        self.style = nn.Linear(c.latent + (c.classes if c.classes > 1 else 0), c.hidden)
        self.angles = nn.Sequential(nn.ReLU(), nn.Linear(c.hidden, c.hidden), nn.ReLU(), nn.Linear(c.hidden, n_out))
        self.quantum, self.classical = quantum, classical

    def forward(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(n, latent) and (n,) -> (n, 1, size, size) in [0, 1]."""
        return self.drawn(noise, labels, self.config.size)

    def drawn(self, noise: torch.Tensor, labels: torch.Tensor, size: int) -> torch.Tensor:
        """The same image on a grid of any size."""
        c = self.config
        style = noise
        if c.classes > 1:
            style = torch.cat([noise, nn.functional.one_hot(labels, c.classes).to(noise.dtype)], 1)
        h = self.place(places(size, c.waves))[None] + self.style(style)[:, None]
        angles = math.pi * torch.tanh(self.angles(h)).view(len(noise) * size**2, -1)
        if self.quantum is not None:
            pixels = (1 - self.quantum(angles)) / 2
        else:
            assert self.classical is not None
            pixels = torch.sigmoid(self.classical(angles))
        out: torch.Tensor = pixels.view(len(noise), 1, size, size)
        return out


def places(size: int, waves: int) -> torch.Tensor:
    """(size * size, 2 + 4 waves): x and y of each pixel from 0 to 1, then sines and cosines of 2**k pi x, 2**k pi y."""
    at = torch.arange(size) / size
    y, x = torch.meshgrid(at, at, indexing="ij")
    xy = torch.stack([x, y], -1).view(-1, 2)
    turns = [f(2**k * math.pi * xy) for k in range(waves) for f in (torch.sin, torch.cos)]
    return torch.cat([xy, *turns], 1)


class ImplicitGan(AdversarialGenerator):
    """See the module's docstring. Bypass: one linear map from the angles to the pixel stands for the circuit."""

    name = "implicit-gan"
    config_type = ImplicitConfig
    weights_format = "implicit-gan/1"

    def build(self) -> nn.Module:
        """The net; its perceptron starts the same in every arm."""
        c: ImplicitConfig = self.config
        quantum, classical = None, None
        if c.arm in (Arm.TWIN, Arm.BYPASS):
            with seeded(self.session, "layer"):
                classical = self._classical(c)
        else:
            quantum = self._circuit(c)
        with seeded(self.session, "net"):
            return ImplicitNet(c, quantum, classical)

    def _circuit(self, c: ImplicitConfig) -> QuantumLayer:
        encoder = ReuploadEncoder(FeatureTurns(c.features), c.layers)
        circuit = colour_circuit(c.features).then(encoder.weave_layers([writing_layer(c.features)] * c.layers))
        if c.arm is Arm.SEPARABLE:
            circuit = without_entanglers(circuit)
        seed = self.session.seed_for("init")
        return QuantumLayer(
            self.session,
            encoder,
            circuit,
            PauliStrings([pauli("Z0")]),
            initial=initial_weights(c.features, c.layers, c.brightness, seed),
            seed=seed,
            label="pixels",
            frozen=c.arm is Arm.FROZEN,
        )

    def _classical(self, c: ImplicitConfig) -> nn.Module:
        n_in = 3 * c.features
        if c.arm is Arm.BYPASS:
            found: nn.Module = LinearMap(n_in, 1)
        else:
            trained = 2 * n_in * c.layers + 1 + c.layers * (4 * c.features + 3)
            found = ClassicalMap(n_in, 1, parameters=trained)
        with torch.no_grad():
            last = found.linear if isinstance(found, LinearMap) else found.read_out  # type: ignore[union-attr]
            last.bias.fill_(math.log(c.brightness / (1 - c.brightness)))  # type: ignore[union-attr, operator]
        return found

    @property
    def layer(self) -> nn.Module:
        """What reads a pixel from its angles."""
        found: Any = self.net.quantum if self.net.quantum is not None else self.net.classical
        return found  # type: ignore[no-any-return]

    @property
    def quantum(self) -> QuantumLayer | None:
        """The circuit of a pixel."""
        found: Any = self.net.quantum
        return found  # type: ignore[no-any-return]

    @property
    def rows_per_image(self) -> int:
        """A row for each pixel."""
        return int(self.config.size**2)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(latent,)."""
        return (self.config.latent,)
