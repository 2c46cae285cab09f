"""The kit as pytest classes: subclass, give `make`, and each case is one test (floor 8; pytest only inside a test).

::

    from qimg_core.testing.conformance.suites import BackendConformance

    class TestMyBackend(BackendConformance):
        def make(self):
            return MyBackend()

A case that does not apply is skipped with its reason. A case that could not be decided fails, unless its id is in
`undecided`: what was not decided is not a pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qimg_core.testing.conformance.bench import Bench
from qimg_core.testing.conformance.device import CASES as DEVICE_CASES
from qimg_core.testing.conformance.kit import redacted
from qimg_core.testing.conformance.options import Options
from qimg_core.testing.conformance.part import ansatzes, encoders, generators, observables
from qimg_core.testing.conformance.part.model import ModelBench
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qimg_core.backend import Backend
    from qimg_core.testing.conformance.case import Case
    from qimg_core.testing.conformance.report import CaseResult


class Conformance:
    """What the suites share.

    Attributes:
        options: of the kit.
        undecided: ids of cases, or groups such as "C16", that may be inconclusive.
    """

    options: ClassVar[Options] = Options()
    undecided: ClassVar[frozenset[str]] = frozenset()

    def bench(self) -> Any:
        """The component under test, made for each case."""
        raise NotImplementedError

    def check(self, case: Case[Any]) -> None:
        """Run a case and tell pytest."""
        import pytest

        __tracebackhide__ = True
        if not self.options.wanted(case.id):
            pytest.skip("left out by the options")
        bench = self.bench()
        result: CaseResult = redacted(bench.try_case(case), getattr(bench, "secrets", ()))
        said = f"{case.id}: {case.title}: {result.outcome.reason}"
        if result.verdict is Verdict.NOT_APPLICABLE:
            pytest.skip(said)
        if result.verdict is Verdict.INCONCLUSIVE and {case.id, case.id.partition(".")[0]} & self.undecided:
            pytest.skip(f"inconclusive, as allowed: {said}")
        if result.verdict is not Verdict.PASS:
            pytest.fail(f"{result.verdict}: {said}\n{result.to_json()['evidence']}", pytrace=False)


def _with_cases(cases: Iterable[Case[Any]]) -> Callable[[type], type]:
    """One method ``test_c2_zoo3`` for each case."""

    def added(cls: type) -> type:
        for each in cases:
            name = "test_" + each.id.lower().replace(".", "_")
            setattr(cls, name, _test(each, name))
        return cls

    return added


def _test(case: Case[Any], name: str) -> Any:
    def test(self: Conformance) -> None:
        __tracebackhide__ = True
        self.check(case)

    test.__name__, test.__doc__ = name, case.title
    return test


@_with_cases(DEVICE_CASES)
class BackendConformance(Conformance):
    """Every case for devices. Give `make`, or ``options = Options(server=...)``, or both."""

    make: Callable[[], Backend] | None = None

    def bench(self) -> Bench:
        return Bench(self.make, self.options)


@_with_cases(encoders.CASES)
class EncoderConformance(Conformance):
    """Every case for encoders. Give `make`."""

    make: Callable[[], Any]

    def bench(self) -> Any:
        return encoders.EncoderBench(self.make, self.options)


@_with_cases(ansatzes.CASES)
class AnsatzConformance(Conformance):
    """Every case for ansatzes. Give `make`."""

    make: Callable[[], Any]

    def bench(self) -> Any:
        return ansatzes.AnsatzBench(self.make, self.options)


@_with_cases(observables.CASES)
class ObservableConformance(Conformance):
    """Every case for observables. Give `make`."""

    make: Callable[[], Any]

    def bench(self) -> Any:
        return observables.ObservableBench(self.make, self.options)


@_with_cases(generators.CASES)
class GeneratorConformance(Conformance):
    """Every case for generators.

    Attributes:
        name: of the generator.
        registry: makes the registry that knows it; None for the installed plugins.
        backend: device of its sessions: a name.
        changes: settings of the generator.
    """

    name: ClassVar[str]
    registry: ClassVar[Callable[[], Any] | None] = None
    backend: ClassVar[str] = "simulator"
    changes: ClassVar[dict[str, Any]] = {}

    def bench(self) -> ModelBench:
        make = type(self).registry
        registry = None if make is None else make()
        return ModelBench(self.name, self.options, registry=registry, backend=self.backend, changes=dict(self.changes))
