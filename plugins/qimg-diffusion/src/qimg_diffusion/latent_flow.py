"""`quantum-latent-flow`: a circuit is the velocity field of a flow in a small latent space (imports qimg_core, torch).

A compressor takes images to 16 numbers. From those, the class and the time, a linear map makes the
angles of a re-uploading circuit; its trained two-wire observables, through a linear map, are the
velocity. Some 3,800 trained numbers turn noise into latents of digits; the decoder alone cannot.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from attrs import frozen
from torch import nn

from qimg_circuits.observables.adaptive import MOST_WIRES
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm, arm_field
from qimg_core.weights import check_state
from qimg_diffusion.autoencoder import COMPRESSORS, Autoencoder, Compressor, Principal
from qimg_diffusion.base import FlowGenerator, owned, seeded
from qimg_diffusion.layers import ArmMap, ClassicalMap, LinearMap, QuantumMap, count, reuploading, without_entanglers
from qimg_diffusion.optimise import Optimiser, arrays, assign, learning_rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from qimg_core.datasets import ImageSource
    from qimg_core.images import TrainStep
    from qimg_core.session import Session

    Array = npt.NDArray[np.float32]

COMPRESSOR = "compressor/"
N_TIMES = 9


@frozen(kw_only=True)
class LatentFlowConfig:
    """Settings of `LatentFlow`.

    Args:
        arm: which form of the model.
        size: height and width of an image, a multiple of 4.
        channels: 1 or 3.
        classes: labels 0 to classes - 1.
        compressor: ``vae`` (trained) or ``pca`` (computed).
        compressor_width: channels of the autoencoder's first convolution.
        compressor_share: share of the training steps that train the autoencoder.
        compressor_batch: images a step of it.
        compressor_rate: its largest learning rate.
        compressor_prior: weight of the prior term in its loss.
        compressor_contrast: factor of its decoder's logits when images are drawn.
        latent: length of the vectors.
        frames: ``all`` shifts and scales all vectors alike; ``class`` whitens those of each class.
        embedding: length of the class embedding.
        wires: of the circuit, 2 to 10.
        layers: how often angles are uploaded; every layer has its own.
        observables: trained matrices over all wires, up to 6 of them; each pair of wires has one more.
        train_observables: false keeps their entries as they are drawn: the fixed observable of an ablation.
        batch: vectors a training step of the velocity.
        rate: its largest learning rate.
        observable_rate: that of the observables' entries.
        decay: of the weights.
        average: of the running mean of the weights that sampling uses.
        label_drop: share of labels hidden in training, for guidance.
        times: law of the training times, see `qimg_diffusion.flow.draw_times`.
        sample_steps: of the solver.
        method: of the solver, see `qimg_diffusion.flow.solve`.
        guidance: 1 is none.
        sample_batch: images made together.
    """

    arm: Arm = arm_field()
    size: int = 28
    channels: int = 1
    classes: int = 10
    compressor: str = "vae"
    compressor_width: int = 20
    compressor_share: float = 0.34
    compressor_batch: int = 128
    compressor_rate: float = 2e-3
    compressor_prior: float = 0.1
    compressor_contrast: float = 1.5
    latent: int = 16
    frames: str = "all"
    embedding: int = 8
    wires: int = 8
    layers: int = 5
    observables: int = 0
    train_observables: bool = True
    batch: int = 256
    rate: float = 4e-3
    observable_rate: float = 1e-2
    decay: float = 1e-4
    average: float = 0.998
    label_drop: float = 0.1
    times: str = "uniform"
    sample_steps: int = 30
    method: str = "euler"
    guidance: float = 1.3
    sample_batch: int = 256

    def __attrs_post_init__(self) -> None:
        if self.compressor not in COMPRESSORS:
            raise ConfigurationError(f"compressor: wanted one of {', '.join(COMPRESSORS)}, got {self.compressor!r}")
        if self.frames not in ("all", "class"):
            raise ConfigurationError(f"frames: wanted all or class, got {self.frames!r}")
        if not 2 <= self.wires <= 10 or self.layers < 1 or self.latent < 1:
            raise ConfigurationError(
                f"wanted 2 to 10 wires, and 1 layer and latent or more, got {self.wires}, {self.layers}, {self.latent}"
            )
        if self.observables < 0 or (self.observables and self.wires > MOST_WIRES):
            raise ConfigurationError(
                f"wanted observables >= 0, on up to {MOST_WIRES} wires, got {self.observables} on {self.wires}"
            )
        if not 0 < self.compressor_share < 1:
            raise ConfigurationError(f"compressor_share: wanted a share between 0 and 1, got {self.compressor_share}")


class VelocityField(nn.Module):
    """v(z, t, label): what is known in closed form, and a map of [z, class embedding, time features].

    Were data and noise both standard normal, the best velocity at z_t = (1-t) noise + t data would be
    b(t) z, b = (2t - 1) / s(t)^2, s(t)^2 = t^2 + (1-t)^2, and what no model can know would have spread
    1 / s(t). So the map gets z / s, of spread 1, and gives what is missing, in units of 1 / s: the
    preconditioning of Karras et al. (arXiv:2206.00364) for a straight path. It has no parameters, is the
    same in every arm, and by itself takes noise to noise.

    Args:
        embedding: length of the class embedding.
        classes: labels 0 to classes - 1; label ``classes`` means any.
        layer: the map.
    """

    def __init__(self, *, embedding: int, classes: int, layer: ArmMap) -> None:
        super().__init__()
        self.label = nn.Embedding(classes + 1, embedding)
        self.layer = layer

    def forward(self, z: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The velocity, (rows, d)."""
        waves = math.pi * t[:, None] * 2 ** torch.arange((N_TIMES - 1) // 2)
        square = (t.square() + (1 - t).square())[:, None]
        scale = square.rsqrt()
        x = torch.cat([z * scale, self.label(labels), t[:, None], waves.sin(), waves.cos()], 1)
        out: torch.Tensor = (2 * t[:, None] - 1) / square * z + scale * self.layer(x)
        return out


class LatentFlow(FlowGenerator):
    """See the module's docstring. Bypass: a linear map of the same features stands for the circuit."""

    name = "quantum-latent-flow"
    config_type = LatentFlowConfig
    weights_format = "quantum-latent-flow/1"

    def __init__(self, session: Session, config: LatentFlowConfig) -> None:
        super().__init__(session, config)
        c = config
        frames = c.classes if c.frames == "class" else None
        with seeded(session, "compressor"):
            self.compressor: Compressor = (
                Principal(size=c.size, channels=c.channels, d=c.latent, classes=frames)
                if c.compressor == "pca"
                else Autoencoder(
                    size=c.size,
                    channels=c.channels,
                    d=c.latent,
                    classes=frames,
                    width=c.compressor_width,
                    kl=c.compressor_prior,
                    contrast=c.compressor_contrast,
                )
            )
        self.compressing: Optimiser | None = None  # principal components are computed, not trained
        if isinstance(self.compressor, Autoencoder):
            self.compressing = Optimiser(self.compressor, rate=c.compressor_rate, decay=0.0, average=0.0)

    def build(self) -> nn.Module:
        """The velocity field; the embedding starts the same in every arm."""
        c: LatentFlowConfig = self.config
        layer = self._layer()
        with seeded(self.session, "embedding"):
            return VelocityField(embedding=c.embedding, classes=c.classes, layer=layer)

    def _layer(self) -> ArmMap:
        c: LatentFlowConfig = self.config
        n_in = c.latent + c.embedding + N_TIMES
        with seeded(self.session, "layer"):
            if c.arm is Arm.BYPASS:
                return LinearMap(n_in, c.latent)
            windows = [(tuple(range(c.wires)), c.observables)] if c.observables else []
            encoder, circuit, initial, observable = reuploading(
                c.wires, c.layers, windows, shared=False, seed=self.session.seed_for("init")
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
                fixed_observable=not c.train_observables,
            )
            if c.arm is Arm.TWIN:
                return ClassicalMap(n_in, c.latent, parameters=count(layer), hidden=2)
        return layer

    @property
    def layer(self) -> ArmMap | None:
        """The velocity's map."""
        found: Any = self.net.layer
        return found  # type: ignore[no-any-return]

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(latent,)."""
        return (self.config.latent,)

    def to_flow(self, pixels: Array, labels: torch.Tensor) -> torch.Tensor:
        """Encode."""
        return self.compressor.encode(owned(pixels).permute(0, 3, 1, 2), labels)

    def to_pixels(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Decode."""
        return self.compressor.decode(x, labels).permute(0, 2, 3, 1)

    # -- training: first the compressor, then the velocity -------------------------------------

    def compressor_steps(self, steps: int) -> int:
        """How many of ``steps`` train the autoencoder; the rest, at least one, trains the velocity."""
        if self.config.compressor == "pca":
            return 0
        share: float = self.config.compressor_share
        return min(max(1, round(steps * share)), max(1, steps - 1))

    def steps(self, images: ImageSource, steps: int) -> Iterator[TrainStep]:
        """Train the autoencoder, encode all images once, train the velocity."""
        first = self.compressor_steps(steps)
        if isinstance(self.compressor, Autoencoder) and self.compressing is not None:
            yield from self._compress(self.compressor, self.compressing, images, first)
        elif isinstance(self.compressor, Principal):
            self.compressor.fit_components(self._parts(images))
        labels = torch.from_numpy(np.array(images.labels, dtype=np.int64))
        latents = self.compressor.fit_frames(self._parts(images), labels)
        yield from self.flow_steps(lambda chosen: latents[chosen], labels, steps - first, before=first)

    def _compress(
        self, compressor: Autoencoder, optimiser: Optimiser, images: ImageSource, steps: int
    ) -> Iterator[TrainStep]:
        c: LatentFlowConfig = self.config
        while (k := optimiser.step) < steps:
            rng = self.rng("compressor", k)
            chosen = rng.integers(0, images.n, c.compressor_batch)
            pixels = owned(images.images(chosen)).permute(0, 3, 1, 2)
            noise = torch.from_numpy(rng.standard_normal((len(chosen), c.latent), dtype=np.float32))
            value = optimiser.descend(compressor.loss(pixels, noise), factor=learning_rate(k, steps))
            yield self.stepped(k + 1, value)

    def _parts(self, images: ImageSource) -> Iterator[torch.Tensor]:
        for at in range(0, images.n, 2000):
            part = images.images(range(at, min(at + 2000, images.n)))
            yield owned(part).permute(0, 3, 1, 2)

    def begin(self) -> None:
        """See `FlowGenerator.begin`."""
        super().begin()
        if self.compressing is not None:
            self.compressing.restart()

    def resume(self, state: Mapping[str, Array]) -> None:
        """See `FlowGenerator.resume`."""
        if self.compressing is not None:
            self.compressing.load({k: v for k, v in state.items() if k.startswith(COMPRESSOR)}, COMPRESSOR)
        self.optimiser.load({k: v for k, v in state.items() if not k.startswith(COMPRESSOR)})

    def training_state(self) -> dict[str, Array]:
        """See `Generator.training_state`."""
        own = {} if self.compressing is None else self.compressing.state(COMPRESSOR)
        return {**super().training_state(), **own}

    # -- weights and facts ---------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """The velocity's averaged weights and the compressor."""
        return {**super().state(), **arrays(self.compressor.state_dict(), COMPRESSOR)}

    def load(self, state: Mapping[str, Array]) -> None:
        """See `Generator.load`."""
        own = self.compressor.state_dict()
        check_state(state, {k: v.shape for k, v in self.state().items()}, self.name)
        assign(own, state, COMPRESSOR)
        super().load({k: v for k, v in state.items() if not k.startswith(COMPRESSOR)})
        if self.compressing is not None:
            self.compressing.restart()

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        numbers = sum(v.numel() for v in self.compressor.state_dict().values())
        return {**super().describe(), "compressor": {"kind": self.config.compressor, "numbers": numbers}}
