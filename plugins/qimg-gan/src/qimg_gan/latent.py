"""`latent-gan`: a circuit makes latent vectors, an autoencoder's decoder makes them images (imports qimg_core, torch).

After the style-based quantum generator (Bravo-Prieto et al., arXiv:2110.06933) and LaSt-QGAN (arXiv:2406.02668): every
rotation of every layer has an angle of its own that is linear in the noise and the class, so the noise enters in each
layer; a linear read-out of the measured pairs of wires is the latent vector. The critic judges latent vectors, which
makes a step cheap. The autoencoder (`qimg_diffusion.autoencoder`) is classical, the same in every arm, and is trained
first, on a share of the steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from attrs import frozen
from torch import nn

from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm, arm_field
from qimg_core.weights import check_state
from qimg_diffusion.autoencoder import Autoencoder
from qimg_diffusion.layers import ArmMap, ClassicalMap, LinearMap, QuantumMap, count, reuploading, without_entanglers
from qimg_diffusion.optimise import Optimiser, arrays, assign, learning_rate
from qimg_diffusion.torch_generator import seeded
from qimg_gan.adversarial import AdversarialGenerator
from qimg_gan.critic import LatentCritic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qimg_core.datasets import ImageSource
    from qimg_core.images import TrainStep
    from qimg_core.session import Session
    from qimg_core.torch_layer import QuantumLayer
    from qimg_gan.adversarial import Array

COMPRESSOR = "compressor/"


@frozen(kw_only=True)
class LatentConfig:
    """Settings of `LatentGan`.

    Args:
        arm: which form of the model.
        size: height and width of an image, a multiple of 4.
        channels: 1 or 3.
        classes: 1 learns images without their class.
        latent: length of the latent vectors.
        noise: length of the noise.
        wires: of the circuit, 2 to 10.
        layers: how often noise and class are uploaded.
        compressor_width: channels of the autoencoder's first convolution.
        compressor_share: of the steps, for the autoencoder.
        compressor_batch: images of such a step.
        compressor_rate: largest learning rate of the autoencoder.
        batch: vectors a training step.
        rate: the generator's largest learning rate.
        critic_rate: the critic's.
        critic_width: its hidden numbers.
        critic_steps: of the critic before each of the generator.
        penalty: weight of the gradient penalty.
        average: of the running mean of the weights that sampling uses.
        sample_batch: images made together.
    """

    arm: Arm = arm_field()
    size: int = 28
    channels: int = 1
    classes: int = 10
    latent: int = 12
    noise: int = 12
    wires: int = 6
    layers: int = 4
    compressor_width: int = 16
    compressor_share: float = 0.3
    compressor_batch: int = 128
    compressor_rate: float = 2e-3
    batch: int = 64
    rate: float = 3e-3
    critic_rate: float = 1e-3
    critic_width: int = 128
    critic_steps: int = 3
    penalty: float = 1.0
    average: float = 0.99
    sample_batch: int = 256

    def __attrs_post_init__(self) -> None:
        if self.size % 4 or self.size < 8 or self.channels not in (1, 3):
            raise ConfigurationError(
                "wanted a size that is a multiple of 4 from 8 on, and 1 or 3 channels, got "
                f"{self.size} and {self.channels}"
            )
        if not 2 <= self.wires <= 10 or min(self.latent, self.noise, self.layers, self.classes) < 1:
            raise ConfigurationError(
                "wanted 2 to 10 wires, and latent, noise, layers and classes of 1 or more, got "
                f"{self.wires}, {self.latent}, {self.noise}, {self.layers}, {self.classes}"
            )
        if not 0 < self.compressor_share < 1 or min(self.critic_steps, self.batch, self.compressor_batch) < 1:
            raise ConfigurationError(
                "wanted a compressor_share between 0 and 1, and critic steps and batches of 1 or more, got "
                f"{self.compressor_share}, {self.critic_steps}, {self.batch}, {self.compressor_batch}"
            )


class StyleNet(nn.Module):
    """Noise and class -> latent vector.

    Args:
        classes: 1 leaves the class out.
        layer: (rows, noise + classes) -> (rows, latent).
    """

    def __init__(self, classes: int, layer: ArmMap) -> None:
        super().__init__()
        self.classes, self.layer = classes, layer

    def forward(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(n, noise) and (n,) -> (n, latent)."""
        x = noise
        if self.classes > 1:
            x = torch.cat([x, nn.functional.one_hot(labels, self.classes).to(x.dtype)], 1)
        out: torch.Tensor = self.layer(x)
        return out


class LatentGan(AdversarialGenerator):
    """See the module's docstring. Bypass: one linear map of noise and class stands for the circuit."""

    name = "latent-gan"
    config_type = LatentConfig
    weights_format = "latent-gan/1"

    def __init__(self, session: Session, config: LatentConfig) -> None:
        super().__init__(session, config)
        c = config
        with seeded(session, "compressor"):
            self.compressor = Autoencoder(size=c.size, channels=c.channels, d=c.latent, width=c.compressor_width)
        self.compressing = Optimiser(self.compressor, rate=c.compressor_rate, decay=0.0, average=0.0)

    def build(self) -> nn.Module:
        """The net."""
        c: LatentConfig = self.config
        with seeded(self.session, "layer"):
            return StyleNet(c.classes, self._layer(c))

    def _layer(self, c: LatentConfig) -> ArmMap:
        n_in = c.noise + (c.classes if c.classes > 1 else 0)
        if c.arm is Arm.BYPASS:
            return LinearMap(n_in, c.latent)
        encoder, circuit, initial, observable = reuploading(
            c.wires, c.layers, [], shared=False, seed=self.session.seed_for("init")
        )
        layer = QuantumMap(
            self.session,
            n_in=n_in,
            n_out=c.latent,
            encoder=encoder,
            circuit=without_entanglers(circuit) if c.arm is Arm.SEPARABLE else circuit,
            observable=observable,
            initial=initial,
            seed=self.session.seed_for("init", "observable"),
            bounded=False,
            frozen=c.arm is Arm.FROZEN,
            label="latents",
        )
        if c.arm is Arm.TWIN:
            return ClassicalMap(n_in, c.latent, parameters=count(layer), hidden=2)
        return layer

    def build_critic(self) -> nn.Module:
        """Of latent vectors."""
        c: LatentConfig = self.config
        return LatentCritic(n=c.latent, classes=c.classes, width=c.critic_width)

    @property
    def layer(self) -> ArmMap:
        """What makes a latent vector."""
        found: Any = self.net.layer
        return found  # type: ignore[no-any-return]

    @property
    def quantum(self) -> QuantumLayer | None:
        """The circuit of a latent vector."""
        return self.layer.quantum

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(noise,)."""
        return (self.config.noise,)

    def finished(self, judged: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Decode."""
        return self.compressor.decode(judged, labels).permute(0, 2, 3, 1)

    # -- training: first the autoencoder, then the circuit against its critic ---------------------

    def compressor_steps(self, steps: int) -> int:
        """How many of ``steps`` train the autoencoder; the rest, at least one, trains the net."""
        share: float = self.config.compressor_share
        return min(max(1, round(steps * share)), max(1, steps - 1))

    def steps(self, images: ImageSource, steps: int) -> Iterator[TrainStep]:
        """Train the autoencoder, encode all images once, train the net."""
        c: LatentConfig = self.config
        first = self.compressor_steps(steps)
        while (k := self.compressing.step) < first:
            rng = self.rng("compressor", k)
            chosen = rng.integers(0, images.n, c.compressor_batch)
            noise = torch.from_numpy(rng.standard_normal((len(chosen), c.latent), dtype=np.float32))
            loss = self.compressor.loss(self.real(images, chosen), noise)
            value = self.compressing.descend(loss, factor=learning_rate(k, first))
            yield self.stepped(k + 1, {"loss": value})
        labels = torch.zeros(images.n, dtype=torch.int64)  # one frame for all: the class does not enter
        parts = (self.real(images, range(at, min(at + 2000, images.n))) for at in range(0, images.n, 2000))
        latents = self.compressor.fit_frames(parts, labels)
        yield from self.adversarial_steps(lambda chosen: latents[chosen], images, steps - first, before=first)

    def begin(self) -> None:
        """See `AdversarialGenerator.begin`."""
        super().begin()
        self.compressing.restart()

    def resume(self, state: Mapping[str, Array]) -> None:
        """See `AdversarialGenerator.resume`."""
        self.compressing.load({k: v for k, v in state.items() if k.startswith(COMPRESSOR)}, COMPRESSOR)
        super().resume(state)

    def training_state(self) -> dict[str, Array]:
        """See `Generator.training_state`."""
        return {**super().training_state(), **self.compressing.state(COMPRESSOR)}

    # -- weights and facts ------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """The net's averaged weights and the autoencoder."""
        return {**super().state(), **arrays(self.compressor.state_dict(), COMPRESSOR)}

    def load(self, state: Mapping[str, Array]) -> None:
        """See `Generator.load`."""
        check_state(state, {k: v.shape for k, v in self.state().items()}, self.name)
        assign(self.compressor.state_dict(), state, COMPRESSOR)
        super().load({k: v for k, v in state.items() if not k.startswith(COMPRESSOR)})
        self.compressing.restart()

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        numbers = sum(v.numel() for v in self.compressor.state_dict().values())
        return {**super().describe(), "compressor": {"kind": "vae", "numbers": numbers}}
