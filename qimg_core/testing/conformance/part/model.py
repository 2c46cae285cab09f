"""The generator under test, each time in a session of its own (floor 8; imports session, plugins)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.budget import Budget
from qimg_core.plugins import Registry
from qimg_core.seeds import derive_seed
from qimg_core.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.backend import Backend
    from qimg_core.datasets import ImageSource
    from qimg_core.generator import Arm, Generator
    from qimg_core.testing.conformance.case import Case
    from qimg_core.testing.conformance.options import Options
    from qimg_core.testing.conformance.report import CaseResult


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
        session = Session(
            None,
            seed=self.options.seed if seed is None else seed,
            backend=backend,
            registry=self.registry,
            budget=Budget(max_cost=self.options.max_cost, allow_unknown_cost=self.options.allow_unknown_cost),
        )
        changes = {**self.changes, **({} if arm is None else {"arm": arm.value})}
        return session.generator(self.name, **changes)

    def rng(self, *names: str | int) -> Any:
        """Draws of the kit for a named purpose."""
        import numpy as np

        return np.random.Generator(np.random.PCG64(derive_seed(self.options.seed, *names)))

    def try_case(self, case: Case[ModelBench]) -> CaseResult:
        """One case."""
        return case.run(self)
