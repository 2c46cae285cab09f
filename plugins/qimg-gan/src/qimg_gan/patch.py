"""`patch-gan`: small circuits of the same form make an image patch by patch (imports qimg_core, qimg_circuits, torch).

After Huang et al. 2021 (arXiv:2010.06201) and PQWGAN (Tsang et al., arXiv:2212.11614): every patch has a
circuit with weights of its own on the same noise; the last of its wires is an ancilla, and the distribution of
the others, given that the ancilla reads 0, is the patch. That makes the map from noise to pixels nonlinear. A
patch here is a run of pixels in reading order, so with as many patches as rows it is a row, as in PQWGAN.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from attrs import frozen
from torch import nn

from qimg_circuits.ansatzes.strongly_entangling import StronglyEntangling
from qimg_circuits.encoders.angle import AngleEncoder
from qimg_circuits.observables.probabilities import ProbabilityReadout
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm, arm_field
from qimg_core.torch_layer import QuantumLayer
from qimg_diffusion.layers import ClassicalMap, LinearMap, without_entanglers
from qimg_diffusion.torch_generator import seeded
from qimg_gan.adversarial import AdversarialGenerator

if TYPE_CHECKING:
    from qimg_core.session import Session

SCALES = ("max", "trained")


@frozen(kw_only=True)
class PatchConfig:
    """Settings of `PatchGan`.

    Args:
        arm: which form of the model.
        size: height and width of an image, a multiple of 4.
        channels: 1 or 3.
        classes: 1 learns images without their class, as published.
        patches: a divisor of size * size * channels.
        layers: of each circuit.
        scale: how probabilities become pixels: ``max`` divides a patch by its largest, as published, so that every
            patch has a white pixel; ``trained`` multiplies it by a trained brightness and saturates.
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
    patches: int = 28
    layers: int = 6
    scale: str = "trained"
    batch: int = 32
    rate: float = 1e-2
    critic_rate: float = 5e-4
    critic_width: int = 16
    critic_steps: int = 3
    penalty: float = 10.0
    average: float = 0.99
    sample_batch: int = 64

    def __attrs_post_init__(self) -> None:
        pixels = self.size**2 * self.channels
        if self.size % 4 or self.size < 8:
            raise ConfigurationError(f"size: wanted a multiple of 4 from 8 on, got {self.size}")
        if self.patches < 1 or pixels % self.patches:
            raise ConfigurationError(f"patches: wanted a divisor of {pixels}, got {self.patches}")
        if self.scale not in SCALES:
            raise ConfigurationError(f"scale: wanted one of {', '.join(SCALES)}, got {self.scale!r}")
        if min(self.layers, self.classes, self.critic_steps, self.batch) < 1 or not 2 <= self.per_patch <= 2048:
            raise ConfigurationError(
                f"wanted layers, classes, critic steps and a batch of 1 or more, and patches of 2 to 2048 pixels; got "
                f"{self.layers}, {self.classes}, {self.critic_steps}, {self.batch}, {self.per_patch} pixels"
            )

    @property
    def per_patch(self) -> int:
        """Pixels of a patch."""
        return self.size**2 * self.channels // self.patches

    @property
    def wires(self) -> int:
        """Of a circuit: enough for a patch, and the ancilla."""
        return max(1, math.ceil(math.log2(self.per_patch))) + 1


class QuantumPatches(nn.Module):
    """All patches' circuits as one request: (rows, wires) -> (rows, patches, 2**(wires - 1)) probabilities.

    Args:
        session: runs it.
        config: of the model.
    """

    def __init__(self, session: Session, config: PatchConfig) -> None:
        super().__init__()
        n = config.wires
        ansatz = StronglyEntangling(n, config.layers)
        encoder = AngleEncoder(n, "y")
        circuit = encoder.circuit.then(ansatz.circuit)
        if config.arm is Arm.SEPARABLE:
            circuit = without_entanglers(circuit)
        initial = [ansatz.initial(session.seed_for("init", "patch", k)) for k in range(config.patches)]
        # the ancilla is read first, so that the patch is the first half of the distribution
        order = [n - 1, *range(n - 1)]
        self.quantum = QuantumLayer(
            session,
            encoder,
            circuit,
            ProbabilityReadout(order),
            initial=np.array(initial),
            seed=session.seed_for("init"),
            label="patches",
            frozen=config.arm is Arm.FROZEN,
        )
        self.patches = config.patches

    def forward(self, angles: torch.Tensor) -> torch.Tensor:
        """Unnormalised: the chance that the ancilla reads 0 is their sum."""
        rows = len(angles)
        data: torch.Tensor = self.quantum(angles.repeat(self.patches, 1))
        return data[:, : data.shape[1] // 2].view(self.patches, rows, -1).transpose(0, 1)


class ClassicalPatches(nn.Module):
    """What stands for the circuits in classical arms: a map of its own for each patch, squared.

    Args:
        maps: (rows, wires) -> (rows, 2**(wires - 1)), one a patch.
    """

    quantum = None

    def __init__(self, maps: list[nn.Module]) -> None:
        super().__init__()
        self.maps = nn.ModuleList(maps)

    def forward(self, angles: torch.Tensor) -> torch.Tensor:
        """(rows, wires) -> (rows, patches, 2**(wires - 1)), not negative."""
        return torch.stack([m(angles) for m in self.maps], 1).square()


class PatchNet(nn.Module):
    """Noise and class -> angles -> patches -> pixels.

    Args:
        config: of the model.
        layer: (rows, wires) -> (rows, patches, outcomes).
    """

    def __init__(self, config: PatchConfig, layer: QuantumPatches | ClassicalPatches) -> None:
        super().__init__()
        self.config, self.layer = config, layer
        self.label = nn.Embedding(config.classes, config.wires) if config.classes > 1 else None
        if self.label is not None:
            nn.init.uniform_(self.label.weight, -math.pi, math.pi)
        self.brightness = nn.Parameter(torch.zeros(config.patches)) if config.scale == "trained" else None

    def forward(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(n, wires) normal numbers and (n,) classes -> (n, channels, size, size) in [0, 1]."""
        c = self.config
        angles = torch.special.ndtr(noise) * (math.pi / 2)  # uniform in (0, pi / 2), as published
        if self.label is not None:
            angles = angles + self.label(labels)
        p = self.layer(angles)
        p = p / (p.sum(2, keepdim=True) + 1e-9)
        p = p[:, :, : c.per_patch]
        if self.brightness is None:
            pixels = p / (p.amax(2, keepdim=True) + 1e-9)
        else:
            pixels = 1 - torch.exp(-p * (c.per_patch / 4 * self.brightness.exp())[:, None])
        out: torch.Tensor = pixels.reshape(len(noise), c.channels, c.size, c.size)
        return out


class PatchGan(AdversarialGenerator):
    """See the module's docstring. Bypass: one linear map a patch, squared, stands for its circuit."""

    name = "patch-gan"
    config_type = PatchConfig
    weights_format = "patch-gan/1"

    def build(self) -> nn.Module:
        """The net; the class angles start the same in every arm."""
        c: PatchConfig = self.config
        with seeded(self.session, "layer"):
            layer = self._layer(c)
        with seeded(self.session, "label"):
            return PatchNet(c, layer)

    def _layer(self, c: PatchConfig) -> QuantumPatches | ClassicalPatches:
        n_in, n_out = c.wires, 2 ** (c.wires - 1)
        if c.arm is Arm.BYPASS:
            return ClassicalPatches([LinearMap(n_in, n_out) for _ in range(c.patches)])
        if c.arm is not Arm.TWIN:
            return QuantumPatches(self.session, c)
        each = StronglyEntangling(c.wires, c.layers).circuit.n_weights
        least = n_in + 1 + 2 * n_out
        if each < least:
            raise ConfigurationError(
                f"a twin of a circuit with {each} weights cannot reach {n_out} pixels: {least} or more are needed",
                hint=f"--set layers={-(-least // (3 * c.wires))}, or more patches",
            )
        return ClassicalPatches([ClassicalMap(n_in, n_out, parameters=each) for _ in range(c.patches)])

    @property
    def layer(self) -> nn.Module:
        """The patches."""
        found: nn.Module = self.net.layer  # type: ignore[assignment]
        return found

    @property
    def quantum(self) -> QuantumLayer | None:
        """The patches' circuits."""
        found: QuantumLayer | None = self.layer.quantum  # type: ignore[assignment]
        return found

    @property
    def rows_per_image(self) -> int:
        """A row for each patch."""
        return int(self.config.patches)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(wires,)."""
        return (self.config.wires,)
