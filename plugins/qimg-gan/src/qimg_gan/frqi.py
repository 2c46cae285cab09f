"""`frqi-gan`: one circuit holds the whole image (imports qimg_core, qimg_circuits, qimg_diffusion, torch).

After the flexible representation of quantum images (Le, Dong, Hirota 2011) and its generator with trained noise modes
(Jaeger, Kiwit, Riofrio, arXiv:2603.00233): 2k address wires in superposition and one colour wire; a pixel is the
chance that the colour reads 1 where the address reads the pixel's place. The noise is drawn from a mixture of Gaussians
whose means and spreads are trained, some for each class, and is uploaded in every layer. A ``mixed`` address is turned
and entangled like the colour, as published: places then have chances of their own, and one that is hardly ever read is
a speck. A ``still`` address only controls, so that every place is read with the same chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from attrs import frozen
from torch import nn

from qimg_circuits.encoders.reupload import ReuploadEncoder
from qimg_circuits.observables.probabilities import ProbabilityReadout
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm, arm_field
from qimg_core.torch_layer import QuantumLayer
from qimg_diffusion.layers import ClassicalMap, LinearMap, without_entanglers
from qimg_diffusion.torch_generator import seeded
from qimg_gan.adversarial import AdversarialGenerator
from qimg_gan.frqi_circuits import ADDRESSES, initial_weights, layer, opening, upload, z_order

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit

SIZES = (4, 8, 16, 32, 64)
TINY = 1e-9
"""Added to a place's chance: with few shots a place may not be read at all, and is black then."""


@frozen(kw_only=True)
class FrqiConfig:
    """Settings of `FrqiGan`.

    Args:
        arm: which form of the model.
        size: height and width of an image: 4, 8, 16, 32 or 64; log2(size**2) + 1 wires.
        channels: 1; colour is not made.
        classes: 1 learns images without their class.
        modes: Gaussians of the noise, for each class.
        address: ``still`` or ``mixed``, see above.
        layers: uploads.
        brightness: of an image before training and without noise, about, between 0 and 1.
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
    size: int = 16
    channels: int = 1
    classes: int = 10
    modes: int = 4
    address: str = "still"
    layers: int = 12
    brightness: float = 0.15
    batch: int = 32
    rate: float = 1e-2
    critic_rate: float = 5e-4
    critic_width: int = 16
    critic_steps: int = 3
    penalty: float = 10.0
    average: float = 0.99
    sample_batch: int = 64

    def __attrs_post_init__(self) -> None:
        if self.size not in SIZES or self.channels != 1:
            raise ConfigurationError(
                f"wanted a size of {', '.join(map(str, SIZES))} and 1 channel, got {self.size} and {self.channels}"
            )
        if self.address not in ADDRESSES:
            raise ConfigurationError(f"address: wanted {' or '.join(ADDRESSES)}, got {self.address!r}")
        if min(self.layers, self.classes, self.modes, self.critic_steps, self.batch) < 1:
            raise ConfigurationError(
                f"wanted layers, classes, modes, critic steps and a batch of 1 or more, got {self.layers}, "
                f"{self.classes}, {self.modes}, {self.critic_steps}, {self.batch}"
            )
        if not 0 < self.brightness < 1:
            raise ConfigurationError(f"brightness: wanted a number between 0 and 1, got {self.brightness}")

    @property
    def places(self) -> int:
        """Address wires."""
        return 2 * (self.size.bit_length() - 1)


class NoiseModes(nn.Module):
    """Standard normal noise -> a mixture of trained Gaussians; each class has Gaussians of its own.

    Args:
        classes: how many.
        modes: Gaussians of each.
        n: length of what is drawn.
    """

    def __init__(self, classes: int, modes: int, n: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(classes, modes, n) * 0.3)
        self.log_spread = nn.Parameter(torch.full((classes, modes, n), -1.0))

    def forward(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(rows, 1 + n) and (rows,) -> (rows, n). The first number chooses the Gaussian, all with the same chance."""
        modes = self.mean.shape[1]
        mode = (torch.special.ndtr(noise[:, 0]) * modes).long().clamp(max=modes - 1)
        drawn: torch.Tensor = self.mean[labels, mode] + self.log_spread[labels, mode].exp() * noise[:, 1:]
        return drawn


class AddressedImage(nn.Module):
    """The circuit: (rows, wires) -> chances (rows, size * size) in the order of addresses.

    Args:
        quantum: (rows, wires) -> (rows, 2**wires) probabilities, the colour is the last wire.
    """

    def __init__(self, quantum: QuantumLayer) -> None:
        super().__init__()
        self.quantum = quantum

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """P(colour = 1 | address)."""
        joint = self.quantum(latents).view(len(latents), -1, 2)
        out: torch.Tensor = joint[:, :, 1] / (joint.sum(2) + TINY)
        return out


class AddressedMap(nn.Module):
    """What stands for the circuit in the twin: a perceptron of the latents and the bits of the address.

    Args:
        each: (rows, wires + address) -> (rows, 1).
        address: bits.
    """

    quantum = None
    bits: torch.Tensor

    def __init__(self, each: ClassicalMap, address: int) -> None:
        super().__init__()
        self.each = each
        places = torch.arange(2**address)[:, None] >> torch.arange(address - 1, -1, -1) & 1
        self.register_buffer("bits", 2.0 * places - 1, persistent=False)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """(rows, wires) -> (rows, 2**address) in (0, 1)."""
        rows, places = len(latents), len(self.bits)
        pairs = torch.cat([latents[:, None].expand(-1, places, -1), self.bits.expand(rows, -1, -1)], 2)
        out: torch.Tensor = torch.sigmoid(self.each(pairs.flatten(0, 1))).view(rows, places)
        return out


class LinearImage(nn.Module):
    """What stands for the circuit in the bypass: one linear map to all places.

    Args:
        n: length of the latents.
        address: bits of an address.
    """

    quantum = None

    def __init__(self, n: int, address: int) -> None:
        super().__init__()
        self.map = LinearMap(n, 2**address)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """(rows, n) -> (rows, 2**address) in (0, 1)."""
        return torch.sigmoid(self.map(latents))


class FrqiNet(nn.Module):
    """Noise and class -> latents -> places -> pixels.

    Args:
        config: of the model.
        modes: of the noise.
        layer: latents (rows, wires) -> (rows, size * size) in the order of addresses.
    """

    order: torch.Tensor

    def __init__(self, config: FrqiConfig, modes: NoiseModes, layer: nn.Module) -> None:
        super().__init__()
        self.size, self.modes, self.layer = config.size, modes, layer
        self.register_buffer("order", torch.from_numpy(z_order(config.size)), persistent=False)

    def forward(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(n, 1 + wires) and (n,) -> (n, 1, size, size) in [0, 1]."""
        pixels = self.layer(self.modes(noise, labels))[:, self.order]
        out: torch.Tensor = pixels.view(len(noise), 1, self.size, self.size)
        return out


class FrqiGan(AdversarialGenerator):
    """See the module's docstring. Bypass: one linear map from the latents to all pixels stands for the circuit."""

    name = "frqi-gan"
    config_type = FrqiConfig
    weights_format = "frqi-gan/1"

    def build(self) -> nn.Module:
        """The net; the modes of the noise start the same in every arm."""
        c: FrqiConfig = self.config
        with seeded(self.session, "layer"):
            layer = self._layer(c)
        with seeded(self.session, "modes"):
            return FrqiNet(c, NoiseModes(c.classes, c.modes, c.places + 1), layer)

    def _layer(self, c: FrqiConfig) -> nn.Module:
        n = c.places + 1
        if c.arm is Arm.BYPASS:
            return LinearImage(n, c.places)
        encoder, circuit = self._circuit(c)
        if c.arm is Arm.TWIN:
            trained = circuit.n_weights + encoder.n_parameters
            return AddressedMap(ClassicalMap(n + c.places, 1, parameters=trained), c.places)
        seed = self.session.seed_for("init")
        return AddressedImage(
            QuantumLayer(
                self.session,
                encoder,
                without_entanglers(circuit) if c.arm is Arm.SEPARABLE else circuit,
                ProbabilityReadout([*range(n)]),
                initial=initial_weights(circuit.n_weights, c.brightness, seed),
                seed=seed,
                label="image",
                frozen=c.arm is Arm.FROZEN,
            )
        )

    @staticmethod
    def _circuit(c: FrqiConfig) -> tuple[ReuploadEncoder, Circuit]:
        encoder = ReuploadEncoder(upload(c.places, c.address, c.layers), c.layers)
        return encoder, opening(c.places).then(encoder.weave_layers([layer(c.places, c.address)] * c.layers))

    @property
    def layer(self) -> nn.Module:
        """What draws the image of its latents."""
        found: Any = self.net.layer
        return found  # type: ignore[no-any-return]

    @property
    def quantum(self) -> QuantumLayer | None:
        """The circuit of an image."""
        found: Any = self.layer.quantum
        return found  # type: ignore[no-any-return]

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(1 + wires,): the first number chooses the mode."""
        return (self.config.places + 2,)
