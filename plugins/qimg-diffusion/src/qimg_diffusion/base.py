"""`FlowGenerator`: what the flow-matching models of this plugin share (imports qimg_core, torch_generator, flow).

A model adds its net and the two maps between images and the space the flow lives in.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.func import functional_call

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.images import Images, TrainStep
from qimg_diffusion.flow import Trace, calls, draw_times, flow_loss, guided, solve, unsolve
from qimg_diffusion.optimise import Optimiser, learning_rate
from qimg_diffusion.torch_generator import TorchGenerator
from qimg_diffusion.torch_generator import owned as owned
from qimg_diffusion.torch_generator import seeded as seeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from qimg_core.datasets import ImageSource
    from qimg_core.session import Session
    from qimg_core.torch_layer import QuantumLayer
    from qimg_diffusion.layers import ArmMap

    Array = npt.NDArray[np.float32]


class FlowGenerator(TorchGenerator):
    """A velocity field trained by flow matching, sampled by an ODE with classifier-free guidance.

    The configuration has: size, channels, classes; batch, rate, observable_rate, decay, average,
    label_drop, times; sample_steps, method, guidance, sample_batch.

    Attributes:
        trace: called with (step, t, x) at every step of the solver, once per sampled batch.
    """

    method = "rectified flow matching"
    trace: Trace | None = None
    fine_tunes = True
    sampling_settings = frozenset({"sample_steps", "method", "guidance", "sample_batch"})

    def __init__(self, session: Session, config: Any) -> None:
        super().__init__(session, config)
        c = config
        rates = {"observable_parameters": c.observable_rate}
        self.optimiser = Optimiser(self.net, rate=c.rate, rates=rates, decay=c.decay, average=c.average)

    # -- what a model adds -------------------------------------------------------------------

    @abstractmethod
    def build(self) -> torch.nn.Module:
        """The net v(x, t, labels), its initial weights a function of the session's seed."""

    @property
    @abstractmethod
    def layer(self) -> ArmMap | None:
        """The part that the arms exchange; None where the bypass took it out."""

    @abstractmethod
    def to_flow(self, pixels: Array, labels: torch.Tensor) -> torch.Tensor:
        """Pixels (n, h, w, c) in [0, 1] and their labels (n,) -> points of the flow's space."""

    @abstractmethod
    def to_pixels(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Points of the flow's space and their labels (n,) -> pixels (n, h, w, c) in [0, 1]."""

    # -- training ----------------------------------------------------------------------------

    def fit(self, images: ImageSource, *, steps: int, start: Mapping[str, Array] | None = None) -> Iterator[TrainStep]:
        """See `Generator.fit`. Batch and noise of a step come from the session's seed and its number.

        Raises:
            DataError: images of another shape, without labels, or with NaN; before anything is done.
            ConfigurationError: no steps.
            WeightsError: ``start`` is no training state of this model.
            TrainingDiverged: the loss is no longer finite.
        """
        self.check_images(images)
        if steps < 1:
            raise ConfigurationError(f"training takes 1 step or more, got {steps}")
        if start is None:
            self.begin()
        else:
            self.resume(start)
        return self.steps(images, steps)

    def steps(self, images: ImageSource, steps: int) -> Iterator[TrainStep]:
        """The training loop from where the optimiser stands."""
        labels = torch.from_numpy(np.array(images.labels, dtype=np.int64))
        yield from self.flow_steps(
            lambda chosen: self.to_flow(images.images(chosen), labels[chosen]), labels, steps, before=0
        )

    def flow_steps(self, points: Any, labels: torch.Tensor, steps: int, *, before: int) -> Iterator[TrainStep]:
        """Train the velocity field for ``steps`` steps.

        Args:
            points: indices -> points (k, ...) of the flow's space.
            labels: int64 (n,) of all images.
            steps: of the velocity field.
            before: steps that came before, for counting.
        """
        c = self.config
        self.net.train()
        while self.optimiser.step < steps:
            k = self.optimiser.step
            rng = self.rng("batch", k)
            chosen = rng.integers(0, len(labels), c.batch)
            data = points(chosen)
            noise = torch.from_numpy(rng.standard_normal(data.shape, dtype=np.float32))
            t = torch.from_numpy(draw_times(rng, c.batch, c.times))
            dropped = torch.from_numpy(rng.random(c.batch) < c.label_drop)
            asked = labels[chosen].masked_fill(dropped, c.classes)
            loss = flow_loss(self.net, data, noise, t, asked)
            value = self.optimiser.descend(loss, factor=learning_rate(k, steps))
            yield self.stepped(before + k + 1, value)

    def stepped(self, step: int, loss: float) -> TrainStep:
        """Tell the record, and the caller."""
        metrics = {"loss": loss}
        self.session.step(step, metrics)
        return TrainStep(step=step, metrics=metrics)

    def begin(self) -> None:
        """Before the first step of a training that was not interrupted."""
        self.optimiser.restart()

    def resume(self, state: Mapping[str, Array]) -> None:
        """Take a training state."""
        self.optimiser.load(state)

    def training_state(self) -> dict[str, Array]:
        """See `Generator.training_state`."""
        return self.optimiser.state()

    def check_images(self, images: ImageSource) -> None:
        """Refuse what cannot be learned.

        Raises:
            DataError.
        """
        c = self.config
        wanted = (c.size, c.size, c.channels)
        if images.n < 1 or tuple(images.shape) != wanted:
            raise DataError(f"{self.name} learns images {wanted}, {images.name} has {images.n} of {images.shape}")
        if images.labels is None:
            raise DataError(f"{self.name} learns labelled images, {images.name} has no labels")
        if images.n_classes > c.classes or int(np.min(images.labels)) < 0:
            raise DataError(
                f"{images.name} has {images.n_classes} classes, the model {c.classes}",
                hint=f"--set classes={images.n_classes}",
            )
        self.check_pixels(images)

    # -- sampling ----------------------------------------------------------------------------

    def velocity(self, x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The field with the averaged weights."""
        out: torch.Tensor = functional_call(self.net, self.optimiser.averages, (x, t, labels))
        return out

    def made(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The ODE from noise to data, and its end as pixels."""
        c = self.config
        field = guided(self.velocity, c.guidance, c.classes)
        return self.to_pixels(
            solve(field, noise, labels, steps=c.sample_steps, method=c.method, trace=self.trace), labels
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Of the solver."""
        c = self.config
        guidance = repr(float(c.guidance))
        return {**super().settings, "steps": c.sample_steps, "method": c.method, "guidance": guidance}

    def invert(self, images: Images) -> Array:
        """Images back to their initial noise (n, *noise_shape): the sampler's ODE run backwards.

        An estimate that correlates with the noise and does not equal it: the sampler's last steps
        forget most of what led to a pixel, pixels were clipped and may have been rounded to 8 bits.

        Raises:
            DataError: images of another shape, or without labels.
        """
        c = self.config
        if images.shape != (c.size, c.size, c.channels) or images.labels is None:
            raise DataError(f"wanted labelled images of shape {(c.size, c.size, c.channels)}, got {images.shape}")
        field = guided(self.velocity, c.guidance, c.classes)
        done = []
        with torch.no_grad():
            for pixels, y in self.batches(images.pixels.astype(np.float32), images.labels):
                x = self.to_flow(pixels.numpy(), y)
                done.append(unsolve(field, x, y, steps=c.sample_steps, method=c.method))
        out: Array = torch.cat(done).numpy()
        return out

    # -- facts -------------------------------------------------------------------------------

    @property
    def quantum(self) -> QuantumLayer | None:
        """The layer's circuit."""
        return None if self.layer is None else self.layer.quantum

    @property
    def evaluations(self) -> int:
        """Every evaluation of the field is one request."""
        return calls(self.config.sample_steps, self.config.method)

    @property
    def rows_per_image(self) -> int:
        """With guidance the field is asked twice, with the class and without."""
        return 1 if self.config.guidance == 1 else 2
