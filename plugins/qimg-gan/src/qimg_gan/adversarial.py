"""`AdversarialGenerator`: Wasserstein training that the generators of this plugin share (imports qimg_core, torch).

A model adds its net, from noise and class to pixels. The critic is classical and belongs to training alone.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.func import functional_call

from qimg_core.datasets.resize import resize
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.generation import check_noise, conditions, initial_noise, record_images
from qimg_core.generator import Generator, Parameters, Workload
from qimg_core.images import Images, TrainStep
from qimg_core.weights import check_state
from qimg_diffusion.base import owned, seeded
from qimg_diffusion.optimise import Optimiser, arrays, assign, learning_rate
from qimg_gan.critic import Critic, critic_loss, generator_loss

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from qimg_core.datasets import ImageSource
    from qimg_core.session import Session
    from qimg_core.torch_layer import QuantumLayer

    Array = npt.NDArray[np.float32]

GENERATOR, CRITIC = "generator/", "critic/"
BETAS = (0.0, 0.9)
"""Of Adam, as usual with a gradient penalty."""
FREE = 1e6
"""Gradients are not clipped: the penalty bounds them."""


class AdversarialGenerator(Generator):
    """A net (noise, class) -> pixels, trained against a critic with gradient penalty.

    The configuration has: size, channels, classes; batch, rate, critic_rate, critic_width, critic_steps, penalty,
    average; sample_batch.
    """

    sampling_settings = frozenset({"sample_batch"})

    def __init__(self, session: Session, config: Any) -> None:
        super().__init__(session, config)
        c = config
        self.net = self.build()
        with seeded(session, "critic"):
            self.critic = Critic(size=c.size, channels=c.channels, classes=c.classes, width=c.critic_width)
        self.optimiser = Optimiser(self.net, rate=c.rate, decay=0.0, average=c.average, clip=FREE, betas=BETAS)
        self.judging = Optimiser(self.critic, rate=c.critic_rate, decay=0.0, average=0.0, clip=FREE, betas=BETAS)
        self._samples = 0

    # -- what a model adds -------------------------------------------------------------------

    @abstractmethod
    def build(self) -> torch.nn.Module:
        """The net: (noise (n, *noise_shape), labels (n,)) -> (n, channels, size, size) in [0, 1]."""

    @property
    @abstractmethod
    def quantum(self) -> QuantumLayer | None:
        """The layer that runs on a device; None in classical arms."""

    @property
    @abstractmethod
    def layer(self) -> torch.nn.Module:
        """The part that the arms exchange."""

    @property
    @abstractmethod
    def rows_per_image(self) -> int:
        """Rows of the device's batch that one image takes."""

    # -- training ----------------------------------------------------------------------------

    def fit(self, images: ImageSource, *, steps: int, start: Mapping[str, Array] | None = None) -> Iterator[TrainStep]:
        """See `Generator.fit`. A step is some of the critic and one of the generator.

        The metrics are ``loss``, the Wasserstein distance that the critic estimates, and ``slope``, the generator's
        loss.

        Raises:
            DataError: images of another shape, too few classes or labels that are missing.
            ConfigurationError: no steps.
            WeightsError: ``start`` is no training state of this model.
            TrainingDiverged: a loss is no longer finite.
        """
        self.check_images(images)
        if steps < 1:
            raise ConfigurationError(f"training takes 1 step or more, got {steps}")
        if start is None:
            self.optimiser.restart()
            self.judging.restart()
        else:
            self.optimiser.load({k: v for k, v in start.items() if k.startswith(GENERATOR)}, GENERATOR)
            self.judging.load({k: v for k, v in start.items() if k.startswith(CRITIC)}, CRITIC)
        return self._steps(images, steps)

    def _steps(self, images: ImageSource, steps: int) -> Iterator[TrainStep]:
        c = self.config
        labels = np.array(images.labels, dtype=np.int64) if c.classes > 1 else np.zeros(images.n, dtype=np.int64)
        while (k := self.optimiser.step) < steps:
            rng = np.random.Generator(np.random.PCG64(self.session.seed_for("train", "batch", k)))
            factor, distance = learning_rate(k, steps, floor=0.2), 0.0
            for _ in range(c.critic_steps):
                chosen = rng.integers(0, images.n, c.batch)
                real = owned(resize(images.images(chosen), (c.size, c.size))).permute(0, 3, 1, 2)
                y = torch.from_numpy(labels[chosen])
                where = torch.from_numpy(rng.random(c.batch, dtype=np.float32))
                with torch.no_grad():
                    fake = self.net(self._noise(rng), y)
                loss, estimate = critic_loss(self.critic, real, fake, y, where, penalty=c.penalty)
                self.judging.descend(loss, factor=factor)
                distance = float(estimate)
            y = torch.from_numpy(labels[rng.integers(0, images.n, c.batch)])
            value = self.optimiser.descend(generator_loss(self.critic, self.net(self._noise(rng), y), y), factor=factor)
            metrics = {"loss": distance, "slope": value}
            self.session.step(k + 1, metrics)
            yield TrainStep(step=k + 1, metrics=metrics)

    def _noise(self, rng: np.random.Generator) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal((self.config.batch, *self.noise_shape), dtype=np.float32))

    def training_state(self) -> dict[str, Array]:
        """See `Generator.training_state`."""
        return {**self.optimiser.state(GENERATOR), **self.judging.state(CRITIC)}

    def check_images(self, images: ImageSource) -> None:
        """Refuse what cannot be learned.

        Raises:
            DataError.
        """
        c = self.config
        h, w, channels = images.shape
        if images.n < 1 or channels != c.channels or min(h, w) < c.size:
            raise DataError(
                f"{self.name} learns images {(c.size, c.size, c.channels)} and shrinks larger ones, {images.name} has "
                f"{images.n} of {tuple(images.shape)}"
            )
        if c.classes > 1 and images.labels is None:
            raise DataError(f"{self.name} learns labelled images, {images.name} has none", hint="--set classes=1")
        if c.classes > 1 and images.n_classes > c.classes:
            raise DataError(
                f"{images.name} has {images.n_classes} classes, the model {c.classes}",
                hint=f"--set classes={images.n_classes}",
            )
        for at in range(0, images.n, 8192):
            part = images.images(range(at, min(at + 8192, images.n)))
            if not (np.isfinite(part).all() and part.min() >= 0 and part.max() <= 1):
                raise DataError(f"{images.name}: NaN or pixels outside [0, 1] among the {len(part)} images from {at}")

    # -- sampling ----------------------------------------------------------------------------

    def sample(
        self,
        n: int,
        *,
        condition: Sequence[int] | None = None,
        noise: Array | None = None,
        seed: int | None = None,
    ) -> Images:
        """See `Generator.sample`: the same noise and condition give the same images.

        Raises:
            DataError: a class that the model does not know, or noise of the wrong shape or with NaN.
        """
        c = self.config
        labels = conditions(n, condition, c.classes)
        if noise is not None:
            noise, seed = check_noise(noise, n, self.noise_shape), None
        else:
            if seed is None:
                seed = self.session.seed_for("sample", self.name, self._samples)
                self._samples += 1
            noise = initial_noise(self.session, n, self.noise_shape, seed=seed)
        x, y = owned(np.array(noise, dtype=np.float32)), torch.tensor(labels, dtype=torch.int64)
        with torch.no_grad():
            parts = [
                functional_call(self.net, self.optimiser.averages, (a, b))
                for a, b in zip(torch.split(x, c.sample_batch), torch.split(y, c.sample_batch), strict=True)
            ]
        pixels = torch.cat(parts).permute(0, 2, 3, 1).clamp(0, 1).numpy()
        images = Images(pixels=pixels, labels=labels, quantum=False, simulated=False)
        settings = {"batch": c.sample_batch}
        return record_images(self.session, self, images, seed=seed, noise=noise, condition=labels, settings=settings)

    # -- facts -------------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """The averaged weights of the generator; the critic is not needed to make images."""
        return arrays(self.optimiser.averages)

    def load(self, state: Mapping[str, Array]) -> None:
        """See `Generator.load`."""
        check_state(state, {k: tuple(v.shape) for k, v in self.optimiser.averages.items()}, self.name)
        assign(self.net.state_dict(), state)
        self.optimiser.restart()

    def workload(self, n: int) -> Workload:
        """Bounds for ``sample(n)``: one request for each batch of images."""
        if self.quantum is None:
            return Workload(requests=0, rows=0)
        batches = -(-n // self.config.sample_batch)
        return Workload(requests=batches, rows=n * self.rows_per_image, shots=self.session.shots)

    @property
    def parameters(self) -> Parameters:
        """Counts of what is trained, without the critic."""

        def count(parameters: Any) -> int:
            return sum(p.numel() for p in parameters if p.requires_grad)

        circuit = observable = 0
        if (q := self.quantum) is not None:
            circuit, observable = count([q.weights]), count([q.observable_parameters])
        return Parameters(
            total=count(self.net.parameters()),
            layer=count(self.layer.parameters()),
            circuit=circuit,
            observable=observable,
        )

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        p = self.parameters
        facts: dict[str, Any] = {
            "model": type(self).__name__,
            "method": "Wasserstein GAN with gradient penalty",
            "arm": self.arm.value,
            "parameters": {"total": p.total, "layer": p.layer, "circuit": p.circuit, "observable": p.observable},
            "critic": sum(v.numel() for v in self.critic.parameters()),
            "circuit": None,
        }
        if (q := self.quantum) is not None:
            facts["circuit"] = {"digest": q.circuit.digest, "wires": q.circuit.n_wires, "gates": len(q.circuit.gates)}
        return facts
