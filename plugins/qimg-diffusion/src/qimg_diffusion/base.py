"""`FlowGenerator`: what the flow-matching models of this plugin share (imports qimg_core, torch, numpy).

A model adds its net and the two maps between images and the space the flow lives in.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.func import functional_call

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.generation import check_noise, conditions, initial_noise, record_images
from qimg_core.generator import Generator, Parameters, Workload
from qimg_core.images import Images, TrainStep
from qimg_core.measurement import LocalStates
from qimg_core.seeds import derive_seed
from qimg_core.weights import check_state
from qimg_diffusion.flow import Trace, calls, draw_times, flow_loss, guided, solve, unsolve
from qimg_diffusion.layers import ArmMap, measurement_of
from qimg_diffusion.optimise import Optimiser, arrays, assign, learning_rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from qimg_core.datasets import ImageSource
    from qimg_core.session import Session

    Array = npt.NDArray[np.float32]


class FlowGenerator(Generator):
    """A velocity field trained by flow matching, sampled by an ODE with classifier-free guidance.

    The configuration has: size, channels, classes; batch, rate, observable_rate, decay, average,
    label_drop, times; sample_steps, method, guidance, sample_batch.

    Attributes:
        trace: called with (step, t, x) at every step of the solver, once per sampled batch.
    """

    trace: Trace | None = None
    sampling_settings = frozenset({"sample_steps", "method", "guidance", "sample_batch"})

    def __init__(self, session: Session, config: Any) -> None:
        super().__init__(session, config)
        self.net = self.build()
        c = config
        rates = {"observable_parameters": c.observable_rate}
        self.optimiser = Optimiser(self.net, rate=c.rate, rates=rates, decay=c.decay, average=c.average)
        self._samples = 0

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

    def rng(self, *names: str | int) -> np.random.Generator:
        """Random numbers for a named purpose of training."""
        return np.random.Generator(np.random.PCG64(self.session.seed_for("train", *names)))

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
        for at in range(0, images.n, 8192):
            part = images.images(range(at, min(at + 8192, images.n)))
            if not (np.isfinite(part).all() and part.min() >= 0 and part.max() <= 1):
                raise DataError(f"{images.name}: NaN or pixels outside [0, 1] among the {len(part)} images from {at}")

    # -- sampling ----------------------------------------------------------------------------

    def velocity(self, x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The field with the averaged weights."""
        out: torch.Tensor = functional_call(self.net, self.optimiser.averages, (x, t, labels))
        return out

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
        field = guided(self.velocity, c.guidance, c.classes)
        done = []
        with torch.no_grad():
            for x, y in self._batches(noise, labels):
                end = solve(field, x, y, steps=c.sample_steps, method=c.method, trace=self.trace)
                done.append(self.to_pixels(end, y).clamp(0, 1))
        pixels = torch.cat(done).numpy()
        images = Images(pixels=pixels, labels=labels, quantum=False, simulated=False)
        settings = {
            "steps": c.sample_steps,
            "method": c.method,
            "guidance": repr(float(c.guidance)),
            "batch": c.sample_batch,
        }
        return record_images(self.session, self, images, seed=seed, noise=noise, condition=labels, settings=settings)

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
            for pixels, y in self._batches(images.pixels.astype(np.float32), images.labels):
                x = self.to_flow(pixels.numpy(), y)
                done.append(unsolve(field, x, y, steps=c.sample_steps, method=c.method))
        out: Array = torch.cat(done).numpy()
        return out

    def _batches(self, rows: Any, labels: Sequence[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        size = self.config.sample_batch
        x, y = owned(np.array(rows, dtype=np.float32)), torch.tensor(labels, dtype=torch.int64)
        return zip(torch.split(x, size), torch.split(y, size), strict=True)

    # -- facts -------------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """The averaged weights by name."""
        return arrays(self.optimiser.averages)

    def load(self, state: Mapping[str, Array]) -> None:
        """See `Generator.load`."""
        check_state(state, {k: tuple(v.shape) for k, v in self.optimiser.averages.items()}, self.name)
        assign(self.net.state_dict(), state)
        self.optimiser.restart()

    def workload(self, n: int) -> Workload:
        """Bounds for ``sample(n)``: every evaluation of the field is one request per batch of images."""
        c = self.config
        quantum = self.layer is not None and self.layer.quantum is not None
        evaluations = calls(c.sample_steps, c.method) if quantum else 0
        batches = -(-n // c.sample_batch)
        shots, bases = self.session.shots, 1
        if quantum and shots is not None:
            measured = measurement_of(self.layer)
            bases = sum(3 ** len(w) for w in measured.windows) if isinstance(measured, LocalStates) else 1
        rows = evaluations * n * (1 if c.guidance == 1 else 2)
        return Workload(requests=evaluations * batches, rows=rows, bases=bases, shots=shots if quantum else None)

    @property
    def parameters(self) -> Parameters:
        """Counts of what is trained."""

        def count(parameters: Any) -> int:
            return sum(p.numel() for p in parameters if p.requires_grad)

        circuit = observable = 0
        if self.layer is not None and (q := self.layer.quantum) is not None:
            circuit, observable = count([q.weights]), count([q.observable_parameters])
        layer = 0 if self.layer is None else count(self.layer.parameters())
        return Parameters(total=count(self.net.parameters()), layer=layer, circuit=circuit, observable=observable)

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        p = self.parameters
        facts: dict[str, Any] = {
            "model": type(self).__name__,
            "method": "rectified flow matching",
            "arm": self.arm.value,
            "parameters": {"total": p.total, "layer": p.layer, "circuit": p.circuit, "observable": p.observable},
            "circuit": None,
        }
        if self.layer is not None and (q := self.layer.quantum) is not None:
            facts["circuit"] = {"digest": q.circuit.digest, "wires": q.circuit.n_wires, "gates": len(q.circuit.gates)}
        return facts


def owned(array: npt.NDArray[Any]) -> torch.Tensor:
    """A copy in memory that torch aligned itself.

    Numpy's memory begins anywhere; where it begins can change the last bit of a convolution, and a replay
    in another process would not be equal.
    """
    return torch.from_numpy(array).clone()


def seeded(session: Session, *names: str | int) -> Any:
    """Context in which torch's own initialisers draw from a derived seed; the global state is kept."""
    from contextlib import contextmanager

    @contextmanager
    def context() -> Iterator[None]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(session.seed, "init", *names))
            yield

    return context()
