"""`CircuitlessGenerator`: what the baselines without any circuit share (imports qimg_core, numpy).

Density estimates and tensor networks are the best-effort classical side of a comparison. They have no layer that arms
could exchange, so they come in one form, the bypass, and every other is refused.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from attrs import field

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.generation import check_noise, conditions, initial_noise, record_images
from qimg_core.generator import Arm, Generator, Parameters, Workload
from qimg_core.images import Images, TrainStep

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from qimg_core.datasets import ImageSource
    from qimg_core.session import Session

    Array = npt.NDArray[np.float32]
    Floats = npt.NDArray[np.float64]
    Labels = npt.NDArray[np.int64]

LARGEST_UNIFORM = float(np.nextafter(1.0, 0.0))


def only_form() -> Any:
    """The ``arm`` field of a configuration that has no circuit: ``bypass``, and nothing else."""

    def check(instance: Any, attribute: Any, arm: Arm) -> None:
        if arm is not Arm.BYPASS:
            raise ConfigurationError(
                f"arm: wanted bypass, got {arm.value}: this model has no circuit, so it has no {arm.value} form",
                hint='arm = "bypass"; in a comparison also role = "best-classical"',
            )

    return field(default=Arm.BYPASS, converter=Arm, validator=check)


class CircuitlessGenerator(Generator):
    """A classical model of images, by class.

    The configuration has: arm (see `only_form`), size, channels, classes, sample_batch.

    Attributes:
        method: in words.
        step: of the training, 0 before it.
    """

    method: ClassVar[str]

    def __init__(self, session: Session, config: Any) -> None:
        super().__init__(session, config)
        self.step = 0
        self._samples = 0

    # -- what a model adds -------------------------------------------------------------------

    @abstractmethod
    def made(self, noise: Array, labels: Labels) -> Floats:
        """Noise (n, *noise_shape) and classes (n,) -> pixels (n, h, w, c); what leaves [0, 1] is cut off."""

    @abstractmethod
    def begin(self, images: ImageSource, steps: int) -> None:
        """Before a training that starts from nothing."""

    @abstractmethod
    def resume(self, images: ImageSource, steps: int, state: Mapping[str, Any]) -> None:
        """Take a training state, and set ``step``.

        Raises:
            WeightsError: it is no training state of this model.
        """

    @abstractmethod
    def advance(self, steps: int) -> float:
        """Make step number ``self.step`` (from 0) of ``steps``; returns the loss."""

    @property
    def settings(self) -> dict[str, Any]:
        """What sampling was told, for the record, without floats."""
        return {"batch": self.config.sample_batch}

    # -- training ----------------------------------------------------------------------------

    def fit(self, images: ImageSource, *, steps: int, start: Mapping[str, Any] | None = None) -> Iterator[TrainStep]:
        """See `Generator.fit`.

        Raises:
            DataError: images of another shape, without labels, with too few of a class, or with NaN.
            ConfigurationError: no steps.
            WeightsError: ``start`` is no training state of this model.
        """
        self.check_images(images)
        if steps < 1:
            raise ConfigurationError(f"training takes 1 step or more, got {steps}")
        self.step = 0
        if start is None:
            self.begin(images, steps)
        else:
            self.resume(images, steps, start)
        return self._steps(steps)

    def _steps(self, steps: int) -> Iterator[TrainStep]:
        while self.step < steps:
            metrics = {"loss": self.advance(steps)}
            self.step += 1
            self.session.step(self.step, metrics)
            yield TrainStep(step=self.step, metrics=metrics)

    def labels_of(self, images: ImageSource) -> Labels:
        """Class of every training image; all 0 for a model of one class."""
        if self.config.classes == 1:
            return np.zeros(images.n, dtype=np.int64)
        return np.array(images.labels, dtype=np.int64)

    def check_images(self, images: ImageSource) -> None:
        """Refuse what cannot be learned.

        Raises:
            DataError.
        """
        c, least = self.config, self.least_of_a_class
        wanted = (c.size, c.size, c.channels)
        if images.n < least or tuple(images.shape) != wanted:
            raise DataError(f"{self.name} learns images {wanted}, {images.name} has {images.n} of {images.shape}")
        if c.classes > 1:
            if images.labels is None:
                raise DataError(f"{self.name} learns labelled images, {images.name} has none", hint="--set classes=1")
            found = np.bincount(self.labels_of(images), minlength=c.classes)
            if len(found) > c.classes:
                raise DataError(
                    f"{images.name} has {len(found)} classes, the model {c.classes}",
                    hint=f"--set classes={len(found)}",
                )
            if found.min() < least:
                raise DataError(
                    f"{self.name} wants {least} images of every class or more, {images.name} has {found.min()} of "
                    f"class {found.argmin()}"
                )
        for at in range(0, images.n, 8192):
            part = images.images(range(at, min(at + 8192, images.n)))
            if not (np.isfinite(part).all() and part.min() >= 0 and part.max() <= 1):
                raise DataError(f"{images.name}: NaN or pixels outside [0, 1] among the {len(part)} images from {at}")

    @property
    def least_of_a_class(self) -> int:
        """Images of a class that training takes."""
        return 1

    # -- sampling and facts ------------------------------------------------------------------

    def sample(
        self,
        n: int,
        *,
        condition: Sequence[int] | None = None,
        noise: Array | None = None,
        seed: int | None = None,
    ) -> Images:
        """See `Generator.sample`: the same noise and condition give the same images; no circuit runs.

        Raises:
            DataError: a class that the model does not know, or noise of the wrong shape or with NaN.
        """
        labels = conditions(n, condition, self.config.classes)
        if noise is not None:
            noise, seed = check_noise(noise, n, self.noise_shape), None
        else:
            if seed is None:
                seed = self.session.seed_for("sample", self.name, self._samples)
                self._samples += 1
            noise = initial_noise(self.session, n, self.noise_shape, seed=seed)
        assert noise is not None
        asked, size = np.array(labels, dtype=np.int64), self.config.sample_batch
        parts = [self.made(noise[at : at + size], asked[at : at + size]) for at in range(0, n, size)]
        pixels = np.clip(np.concatenate(parts), 0, 1).astype(np.float32)
        images = Images(pixels=pixels, labels=labels, quantum=False, simulated=False)
        return record_images(
            self.session, self, images, seed=seed, noise=noise, condition=labels, settings=self.settings
        )

    def workload(self, n: int) -> Workload:
        """Nothing is asked of a device."""
        return Workload(requests=0, rows=0)

    @property
    def parameters(self) -> Parameters:
        """All numbers of the weights; there is no layer."""
        return Parameters(total=sum(int(a.size) for a in self.state().values()), layer=0, circuit=0, observable=0)

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return {
            "model": type(self).__name__,
            "method": self.method,
            "arm": self.arm.value,
            "numbers": self.parameters.total,
            "circuit": None,
        }


def uniform(noise: npt.NDArray[Any]) -> Floats:
    """Standard normal numbers as uniform ones in [0, 1): their distribution function, by the error function of C."""
    flat = [0.5 * math.erfc(-x / math.sqrt(2)) for x in np.asarray(noise, dtype=np.float64).ravel().tolist()]
    out: Floats = np.minimum(np.array(flat), LARGEST_UNIFORM).reshape(np.shape(noise))
    return out
