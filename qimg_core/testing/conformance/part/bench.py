"""What the kits of encoders, ansatzes, observables and generators share (floor 8; imports case; torch by name only)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from qimg_core.seeds import derive_seed
from qimg_core.testing.conformance.case import Undecided

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.testing.conformance.case import Case, Checks
    from qimg_core.testing.conformance.options import Options
    from qimg_core.testing.conformance.report import CaseResult

P = TypeVar("P")


class PartBench(Generic[P]):
    """A component under test.

    Args:
        make: a new one, always with the same settings.
        options: seed and tolerance.
    """

    def __init__(self, make: Callable[[], P], options: Options) -> None:
        self.make, self.options = make, options
        self.part = make()

    def try_case(self, case: Case[Any]) -> CaseResult:
        """One case."""
        return case.run(self)

    def rng(self, *names: str | int) -> Any:
        """Draws of the kit for a named purpose."""
        import numpy as np

        return np.random.Generator(np.random.PCG64(derive_seed(self.options.seed, *names)))


def torch_or_undecided() -> Any:
    """Torch, where it is installed."""
    try:
        return import_module("torch")
    except ImportError as error:
        raise Undecided("torch is not installed: what it is given cannot be tried") from error


def starts(bench: PartBench[Any], checks: Checks, count: int) -> None:
    """`initial` has the declared length and depends on its seed alone."""
    import numpy as np

    first, again = (np.asarray(p.initial(7)) for p in (bench.part, bench.make()))
    checks.that("as many numbers as declared", first.shape == (count,), f"wanted ({count},), got {first.shape}")
    checks.that("float64", first.dtype == np.float64, str(first.dtype))
    checks.that("finite", bool(np.isfinite(first).all()), "there is a NaN or an infinity")
    checks.that("the same for the same seed", np.array_equal(first, again), "another start from another object")
    kept = np.random.get_state()  # noqa: NPY002 - a start that reads the global generator shows here
    np.random.seed(3)  # noqa: NPY002
    once = np.asarray(bench.part.initial(7))
    np.random.set_state(kept)  # noqa: NPY002
    checks.that("no other source of numbers", np.array_equal(first, once), "the second call gave another start")
    other = np.asarray(bench.part.initial(8))
    checks.evidence |= {"numbers_declared": count, "differs_by_seed": not np.array_equal(first, other)}


def refused(checks: Checks, what: str, error: type[Exception], call: Callable[[], object]) -> None:
    """The call raises this error."""
    try:
        call()
    except error:
        checks.that(what, True)
    except Exception as other:  # the wrong kind of refusal is what the report has to say
        checks.fail(f"{what}: wanted {error.__name__}, got {type(other).__name__}: {other}")
    else:
        checks.fail(f"{what} was not refused")
