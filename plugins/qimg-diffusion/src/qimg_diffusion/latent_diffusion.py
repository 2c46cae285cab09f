"""`latent-diffusion`: a circuit guesses the noise in small latents, DDIM takes it out (imports qimg_core, torch).

Denoising diffusion (Ho et al., arXiv:2006.11239) in the latent space of `qimg_diffusion.autoencoder`, as in quantum
latent diffusion (De Falco et al., arXiv:2501.11174), with the cosine schedule. The class enters training and sampling
alike. With ``start="circuit"`` the circuit is elsewhere: the noise, in training and in sampling, is made of a circuit's
bit strings, and a classical denoiser turns these proposals into latents. A mixture sqrt(a) data + sqrt(1 - a) noise may
have noise of any law: what DDIM follows is the mean of either part (Albergo and Vanden-Eijnden, arXiv:2209.15571).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from attrs import evolve
from torch import nn

from qimg_core.errors import DataError
from qimg_core.generator import Arm, Parameters, Workload
from qimg_core.weights import check_state
from qimg_diffusion.base import seeded
from qimg_diffusion.denoise import N_TIMES, NoiseField, noise_loss
from qimg_diffusion.diffusion_config import LatentDiffusionConfig
from qimg_diffusion.flow import guided
from qimg_diffusion.latent_flow import COMPRESSOR, LatentFlow
from qimg_diffusion.layers import count, latent_map
from qimg_diffusion.optimise import assign, learning_rate
from qimg_diffusion.schedule import cosine, ddim, mixed, unddim
from qimg_diffusion.start import Start, parted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    from qimg_core.images import Images, TrainStep
    from qimg_core.session import Session
    from qimg_diffusion.layers import ArmMap

    Array = npt.NDArray[np.float32]


class LatentDiffusion(LatentFlow):
    """See the module's docstring. Bypass: a linear map stands for the circuit; normal numbers for its strings.

    What it shares with the latent flow is the latent space: the compressor, its training and its state.
    """

    name = "latent-diffusion"
    config_type: ClassVar[type[Any]] = LatentDiffusionConfig
    weights_format = "latent-diffusion/1"
    method = "denoising diffusion, cosine schedule, DDIM"
    sampling_settings = frozenset({"sample_steps", "guidance", "sample_batch"})

    def __init__(self, session: Session, config: Any) -> None:
        super().__init__(session, config)
        self.shares = cosine(config.times)
        self.start = Start(session, config) if config.start == "circuit" and self.arm is not Arm.BYPASS else None

    def build(self) -> nn.Module:
        """The denoiser; the embedding starts the same in every arm."""
        c: LatentDiffusionConfig = self.config
        own = c if c.start == "noise" else evolve(c, arm=Arm.TWIN)
        with seeded(self.session, "layer"):
            layer = latent_map(self.session, own, c.latent + c.embedding + N_TIMES, c.latent, label="denoiser")
        with seeded(self.session, "embedding"):
            return NoiseField(times=c.times, embedding=c.embedding, classes=c.classes, layer=layer)

    @property
    def layer(self) -> ArmMap | None:
        """What the arms exchange: the denoiser's map, or the source of the strings."""
        if self.config.start == "circuit":
            return None if self.start is None else self.start.source
        found: Any = self.net.layer
        return found  # type: ignore[no-any-return]

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(latent,); where strings are chosen, (depth,)."""
        return (self.config.latent,) if self.start is None else (self.config.depth,)

    def started(self, noise: torch.Tensor) -> torch.Tensor:
        """The session's noise (n, *noise_shape) -> where sampling starts, (n, latent)."""
        return noise if self.start is None else self.start.latents(noise)

    # -- training: first the compressor, then the strings, then the denoiser ----------------------

    def flow_steps(
        self, points: Callable[[Any], torch.Tensor], labels: torch.Tensor, steps: int, *, before: int
    ) -> Iterator[TrainStep]:
        """Train what comes after the compressor for ``steps`` steps; the arguments of `FlowGenerator.flow_steps`."""
        c: LatentDiffusionConfig = self.config
        if self.start is not None:
            own = self.start.steps(steps)
            for k, value in self.start.train(lambda: points(np.arange(len(labels))), own):
                yield self.stepped(before + k, value)
            steps, before = steps - own, before + own
        self.net.train()
        while (k := self.optimiser.step) < steps:
            rng = self.rng("batch", k)
            chosen = rng.integers(0, len(labels), c.batch)
            data = points(chosen)
            noise = self.started(torch.from_numpy(rng.standard_normal((c.batch, *self.noise_shape), dtype=np.float32)))
            t = torch.from_numpy(rng.integers(1, c.times + 1, c.batch))
            dropped = torch.from_numpy(rng.random(c.batch) < c.label_drop)
            asked = labels[chosen].masked_fill(dropped, c.classes)
            share = self.shares[t]
            loss = noise_loss(self.net(mixed(data, noise, share), t, asked), noise, share, c.weighting)
            value = self.optimiser.descend(loss, factor=learning_rate(k, steps))
            yield self.stepped(before + k + 1, value)

    def begin(self) -> None:
        """See `FlowGenerator.begin`."""
        super().begin()
        if self.start is not None:
            self.start.restart()

    def resume(self, state: Mapping[str, Array]) -> None:
        """See `FlowGenerator.resume`."""
        own, rest = parted(state)
        if self.start is not None:
            self.start.resume(own)
        super().resume(rest if self.start is not None else state)

    def training_state(self) -> dict[str, Array]:
        """See `Generator.training_state`."""
        return {**super().training_state(), **({} if self.start is None else self.start.training_state())}

    # -- sampling ---------------------------------------------------------------------------------

    def made(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """DDIM from the start to latents, and their pixels. The class is asked at every step."""
        c: LatentDiffusionConfig = self.config
        predict = guided(self.velocity, c.guidance, c.classes)
        latents = ddim(predict, self.started(noise), labels, self.shares, steps=c.sample_steps, trace=self.trace)
        return self.to_pixels(latents, labels)

    @property
    def settings(self) -> dict[str, Any]:
        """Of the sampler."""
        c: LatentDiffusionConfig = self.config
        return {"batch": c.sample_batch, "steps": c.sample_steps, "guidance": repr(float(c.guidance))}

    @property
    def evaluations(self) -> int:
        """One request a step."""
        steps: int = self.config.sample_steps
        return steps

    def invert(self, images: Images) -> Array:
        """Images back to their initial noise (n, latent): DDIM backwards, an estimate as `FlowGenerator.invert` is.

        Raises:
            DataError: images of another shape, or without labels.
            NotImplementedError: latents do not tell which strings they began as.
        """
        if self.start is not None:
            raise NotImplementedError(f"{self.name} with start=circuit has no map from images back to strings")
        c: LatentDiffusionConfig = self.config
        if images.shape != (c.size, c.size, c.channels) or images.labels is None:
            raise DataError(f"wanted labelled images of shape {(c.size, c.size, c.channels)}, got {images.shape}")
        predict, done = guided(self.velocity, c.guidance, c.classes), []
        with torch.no_grad():
            for pixels, y in self.batches(images.pixels, images.labels):
                done.append(unddim(predict, self.to_flow(pixels.numpy(), y), y, self.shares, steps=c.sample_steps))
        out: Array = torch.cat(done).numpy()
        return out

    # -- weights and facts ------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """The denoiser's averaged weights, the compressor, and what makes the strings."""
        return {**super().state(), **({} if self.start is None else self.start.state())}

    def load(self, state: Mapping[str, Array]) -> None:
        """See `Generator.load`."""
        check_state(state, {k: v.shape for k, v in self.state().items()}, self.name)
        own, rest = parted(state)
        assign(self.compressor.state_dict(), rest, COMPRESSOR)
        super(LatentFlow, self).load({k: v for k, v in rest.items() if not k.startswith(COMPRESSOR)})
        if self.compressing is not None:
            self.compressing.restart()
        if self.start is not None:
            self.start.load(own)

    def workload(self, n: int) -> Workload:
        """Bounds for ``sample(n)``; strings are one request, however many images, where they are not there yet."""
        if self.config.start == "noise":
            return super().workload(n)
        if self.start is None or self.quantum is None or self.start.ready:
            return Workload(requests=0, rows=0)
        return Workload(requests=1, rows=1, shots=self.config.pool)

    @property
    def parameters(self) -> Parameters:
        """Counts of what is trained and makes images."""
        found = super().parameters
        return found if self.start is None else evolve(found, total=found.total + count(self.start.source))

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return {**super().describe(), "start": "noise" if self.start is None else dict(self.start.facts)}
