"""`Generator`: a model that learns images and makes new ones (floor 4; imports errors, images, seeds).

A generator is bound to its session when it is made: every circuit it runs, in training and in
sampling, goes through that session and leaves a record there.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from attrs import evolve, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from qimg_core.datasets import ImageSource
    from qimg_core.images import Images, TrainStep
    from qimg_core.session import Session

    Array = npt.NDArray[np.float32]


class Arm(enum.StrEnum):
    """Which form of the same model: the four that show what the quantum part is worth, beside it."""

    QUANTUM = "quantum"
    TWIN = "twin"  # a classical layer of the same in/out shapes, trainable parameters within 2 %
    SEPARABLE = "separable"  # the same circuit without any entangling gate
    FROZEN = "frozen"  # the circuit's own parameters stay at their initial values
    BYPASS = "bypass"  # the layer is taken out


@frozen(kw_only=True)
class Workload:
    """Upper bound of what `Generator.sample` will ask of a device, for admission and budgets.

    Args:
        requests: dependent requests, one after the other.
        rows: rows over all requests.
        bases: measurement bases per row (1 where the device returns exact numbers).
        shots: per row and basis; None for exact numbers.
    """

    requests: int
    rows: int
    bases: int = 1
    shots: int | None = None

    @property
    def total_shots(self) -> int:
        return self.rows * self.bases * (self.shots or 0)


@frozen(kw_only=True)
class Saved:
    """The weights file that a model was loaded from: where, its digest, its facts."""

    path: Path
    digest: str
    facts: Mapping[str, Any]


@frozen(kw_only=True)
class Parameters:
    """How many trainable numbers a model has, and which of them are the quantum layer's.

    Args:
        total: all trainable parameters.
        layer: those of the layer that the arms exchange (circuit, encoder, read-out, its maps).
        circuit: gate angles among them.
        observable: read-out coefficients among them.
    """

    total: int
    layer: int
    circuit: int
    observable: int


class Generator(ABC):
    """What a generator plugin implements. Configurations are frozen attrs classes with an ``arm``.

    Args:
        session: the run that owns this model.
        config: an instance of ``config_type``.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[Any]]
    weights_format: ClassVar[str]
    """Name and version of the saved form, e.g. ``hybrid-unet/1``; another format is refused."""
    sampling_settings: ClassVar[frozenset[str]] = frozenset()
    """Settings that only sampling reads; they may differ from those the weights were trained with."""
    fine_tunes: ClassVar[bool] = False
    """`fit` begins with the weights that `load` took, where it took any."""

    def __init__(self, session: Session, config: Any) -> None:
        self.session = session
        self.config = config
        self.saved: Saved | None = None

    @abstractmethod
    def fit(self, images: ImageSource, *, steps: int, start: Mapping[str, Array] | None = None) -> Iterator[TrainStep]:
        """Train; yields after every step, the caller owns the loop (progress, stopping, saving).

        Args:
            images: what to learn.
            steps: how many steps in all. The schedule depends on it, never on the clock.
            start: `training_state` of an earlier, interrupted call with the same arguments; goes on there.
        """

    @abstractmethod
    def training_state(self) -> dict[str, Array]:
        """All that `fit` needs to go on after a kill: weights, averages, optimiser, step."""

    @abstractmethod
    def sample(
        self,
        n: int,
        *,
        condition: Sequence[int] | None = None,
        noise: Array | None = None,
        seed: int | None = None,
    ) -> Images:
        """Make n images.

        Args:
            n: how many.
            condition: class of each image; a shorter sequence is repeated. None: classes in turn.
            noise: the initial noise ``(n, *noise_shape)``; None takes the session's noise source.
            seed: root of the sampling noise; None derives it from the session's.
        """

    @property
    @abstractmethod
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of one image's initial noise."""

    @abstractmethod
    def state(self) -> dict[str, Array]:
        """The weights that sampling needs, as named arrays."""

    @abstractmethod
    def load(self, state: Mapping[str, Array]) -> None:
        """Take weights that `state` gave.

        Raises:
            WeightsError: names or shapes that are not this model's.
        """

    @abstractmethod
    def workload(self, n: int) -> Workload:
        """Bounds for `sample(n)`."""

    @property
    @abstractmethod
    def parameters(self) -> Parameters:
        """The count of trainable numbers."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Facts for the record, without floats: architecture, circuit digests, what is quantum."""

    def check_images(self, images: ImageSource) -> None:
        """Refuse data that `fit` cannot learn; called before anything is written.

        Raises:
            DataError: the wrong shape, no labels where classes are learned, too few images.
        """
        return

    @property
    def arm(self) -> Arm:
        """Which form this model is."""
        return Arm(self.config.arm)

    def with_arm(self, arm: Arm | str) -> Self:
        """The same configuration as another arm: an untrained model in the same session."""
        return type(self)(self.session, evolve(self.config, arm=Arm(arm)))

    def twin(self) -> Self:
        """The classical twin: same in/out shapes, trainable parameters within 2 %."""
        return self.with_arm(Arm.TWIN)

    def separable(self) -> Self:
        """Without entangling gates."""
        return self.with_arm(Arm.SEPARABLE)

    def frozen(self) -> Self:
        """With the circuit's own parameters frozen at their initial values."""
        return self.with_arm(Arm.FROZEN)

    def bypass(self) -> Self:
        """With the layer taken out."""
        return self.with_arm(Arm.BYPASS)

    def invert(self, images: Images) -> Array:
        """Images back to their initial noise, where the sampler can be run backwards.

        Raises:
            NotImplementedError: this generator has no such map.
        """
        raise NotImplementedError(f"{self.name} has no map from images back to noise")


def arm_field() -> Any:
    """The ``arm`` field that every generator's configuration has."""
    return field(default=Arm.QUANTUM, converter=Arm)
