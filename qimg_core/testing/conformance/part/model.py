"""The generator under test, each time in a session of its own (floor 8; imports session, plugins, datasets)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.budget import Budget
from qimg_core.datasets import ArraySource
from qimg_core.errors import DataError
from qimg_core.execution import array_digest
from qimg_core.plugins import Registry
from qimg_core.seeds import derive_seed
from qimg_core.session import Session
from qimg_core.testing.conformance.case import Undecided

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.backend import Backend
    from qimg_core.circuit import Circuit
    from qimg_core.datasets import ImageSource
    from qimg_core.execution import ExecutionRequest, Result
    from qimg_core.generator import Arm, Generator
    from qimg_core.testing.conformance.case import Case
    from qimg_core.testing.conformance.options import Options
    from qimg_core.testing.conformance.report import CaseResult


@frozen
class Asked:
    """A circuit that a model asked for, and the digest of its weights; ``numbers``: how many there are."""

    circuit: Circuit
    weights: str
    numbers: int


class WatchedSession(Session):
    """A session that remembers what was asked of it."""

    asked: tuple[Asked, ...] = ()

    def execute_as(self, request: ExecutionRequest, *more: Any, **named: Any) -> Result:
        """See `Session.execute_as`."""
        import numpy as np

        given: Any = request.weights
        weights = given.detach().cpu().numpy() if hasattr(given, "detach") else np.asarray(given)
        self.asked += (Asked(request.circuit, array_digest(weights), weights.size),)
        return super().execute_as(request, *more, **named)


class ModelBench:
    """A generator under test.

    Args:
        name: in the registry.
        options: seed, quick.
        registry: the plugins; None for the installed ones.
        backend: device of the sessions: a name, or makes a driver.
        changes: settings of the generator, as `Session.generator` takes them; small ones save time.
        images: to train on; None makes some.
    """

    def __init__(
        self,
        name: str,
        options: Options,
        *,
        registry: Registry | None = None,
        backend: str | Callable[[], Backend] = "simulator",
        changes: dict[str, Any] | None = None,
        images: ImageSource | None = None,
    ) -> None:
        self.name, self.options, self.backend = name, options, backend
        self.registry = registry if registry is not None else Registry()
        self.changes, self.images = changes or {}, images
        self.n = 3

    def model(self, *, seed: int | None = None, arm: Arm | None = None) -> Generator:
        """An untrained model in a new session with a log in memory."""
        backend = self.backend if isinstance(self.backend, str) else self.backend()
        session = WatchedSession(
            None,
            seed=self.options.seed if seed is None else seed,
            backend=backend,
            registry=self.registry,
            budget=Budget(max_cost=self.options.max_cost, allow_unknown_cost=self.options.allow_unknown_cost),
        )
        changes = {**self.changes, **({} if arm is None else {"arm": arm.value})}
        return session.generator(self.name, **changes)

    def training_images(self) -> ImageSource:
        """What the kit trains on: the images that were given, else some of the model's own shape.

        Raises:
            Undecided: with ``quick``, or where the model cannot learn them.
        """
        if self.options.quick:
            raise Undecided("training is left out with quick")
        images = self.images or self._some_images()
        try:
            self.model().check_images(images)
        except DataError as error:
            raise Undecided(f"the kit's images are not for this model ({error.message}); give images") from error
        return images

    def _some_images(self) -> ArraySource:
        import numpy as np

        sample = self.model().sample(12, seed=10)
        labels = None if sample.labels is None else np.array(sample.labels)
        rng, shape = self.rng("images"), sample.pixels.shape[1:]
        patterns = rng.integers(0, 2, (12 if labels is None else int(labels.max()) + 1, *shape))  # one for each class
        pixels = patterns[np.arange(12) if labels is None else labels] * 0.7 + 0.3 * rng.random((12, *shape))
        return ArraySource(name="conformance", pixels=pixels.astype(np.float32), labels=labels, provenance={})

    def rng(self, *names: str | int) -> Any:
        """Draws of the kit for a named purpose."""
        import numpy as np

        return np.random.Generator(np.random.PCG64(derive_seed(self.options.seed, *names)))

    def try_case(self, case: Case[ModelBench]) -> CaseResult:
        """One case."""
        return case.run(self)


def asked_of(model: Generator) -> tuple[Asked, ...]:
    """What a model of the bench has asked of its device so far."""
    session = model.session
    assert isinstance(session, WatchedSession)
    return session.asked
