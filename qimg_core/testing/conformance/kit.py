"""Running the kit: every case of a kind on one component, as a `Report` (floor 8; imports environment)."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve

from qimg_core.environment import environment
from qimg_core.testing.conformance.report import CaseResult, Outcome, Report, plain
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qimg_core.ansatz import Ansatz
    from qimg_core.backend import Backend
    from qimg_core.capabilities import Capabilities
    from qimg_core.datasets import ImageSource
    from qimg_core.encoder import Encoder
    from qimg_core.observable import Observable
    from qimg_core.plugins import Registry
    from qimg_core.testing.conformance.case import Case
    from qimg_core.testing.conformance.options import Options

    Progress = Callable[[CaseResult], None]

S = TypeVar("S")


def backend(
    make: Callable[[], Backend] | None,
    options: Options | None = None,
    *,
    cases: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """The conformance kit on a device.

    Args:
        make: a new driver, as another process would make it; None where ``options.server`` makes it.
        options: settings; jobs that cost anything are only sent where they allow it.
        cases: ids of the only cases to run; None for all.
        progress: called after each case.

    Returns:
        one verdict for each case, with its evidence.
    """
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.device import CASES
    from qimg_core.testing.conformance.options import Options, PlantedSecrets

    options = options or Options()
    bench = Bench(make, options)
    at = _now()
    results = [redacted(r, bench.secrets) for r in _run(bench.try_case, CASES, options, cases, progress)]
    with PlantedSecrets(options.secrets, plant=bench.free):
        claims, name = claimed(bench.caps), bench.name
    return Report(
        kind="backend",
        subject=name,
        results=results,
        claims=claims,
        settings=options.to_json(),
        environment=environment(),
        at=at,
    )


def encoder(
    make: Callable[[], Encoder],
    options: Options | None = None,
    *,
    name: str = "",
    cases: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """The conformance kit on an encoder.

    Args:
        make: a new one, always with the same settings.
        options: seed.
        name: for the report; the class's by default.
        cases: ids of the only cases to run; None for all.
        progress: called after each case.
    """
    from qimg_core.testing.conformance.part import encoders

    return _part("encoder", encoders.EncoderBench, encoders.CASES, make, options, name, cases, progress)


def ansatz(
    make: Callable[[], Ansatz],
    options: Options | None = None,
    *,
    name: str = "",
    cases: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """The conformance kit on an ansatz; arguments as of `encoder`."""
    from qimg_core.testing.conformance.part import ansatzes

    return _part("ansatz", ansatzes.AnsatzBench, ansatzes.CASES, make, options, name, cases, progress)


def observable(
    make: Callable[[], Observable],
    options: Options | None = None,
    *,
    name: str = "",
    cases: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """The conformance kit on an observable; arguments as of `encoder`."""
    from qimg_core.testing.conformance.part import observables

    return _part("observable", observables.ObservableBench, observables.CASES, make, options, name, cases, progress)


def _part(
    kind: str,
    bench: Callable[[Any, Options], Any],
    every: Sequence[Case[Any]],
    make: Callable[[], Any],
    options: Options | None,
    name: str,
    cases: Iterable[str] | None,
    progress: Progress | None,
) -> Report:
    from qimg_core.testing.conformance.options import Options

    options, at = options or Options(), _now()
    made = bench(make, options)
    results = _run(made.try_case, every, options, cases, progress)
    return Report(
        kind=kind,
        subject=name or type(made.part).__name__,
        results=results,
        settings={"seed": options.seed, "skip": list(options.skip)},
        environment=environment(),
        at=at,
    )


def generator(
    name: str,
    options: Options | None = None,
    *,
    registry: Registry | None = None,
    backend: str | Callable[[], Backend] = "simulator",
    changes: dict[str, Any] | None = None,
    images: ImageSource | None = None,
    cases: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """The conformance kit on a generator, untrained.

    Args:
        name: in the registry.
        options: seed, quick (leaves training out), max_cost.
        registry: the plugins; None for the installed ones.
        backend: device of its sessions: a name, or makes a driver.
        changes: settings of the generator; small ones save time.
        images: to train on; None makes some of the model's own shape.
        cases: ids of the only cases to run; None for all.
        progress: called after each case.
    """
    from qimg_core.testing.conformance.options import Options
    from qimg_core.testing.conformance.part.generators import CASES
    from qimg_core.testing.conformance.part.model import ModelBench

    options, at = options or Options(), _now()
    bench = ModelBench(name, options, registry=registry, backend=backend, changes=changes, images=images)
    results = _run(bench.try_case, CASES, options, cases, progress)
    device = backend if isinstance(backend, str) else backend().name
    return Report(
        kind="generator",
        subject=name,
        results=results,
        claims={"parameters": str(bench.model().parameters), "config": changes or {}},
        settings={"seed": options.seed, "quick": options.quick, "device": device},
        environment=environment(),
        at=at,
    )


def cases_of(kind: str) -> tuple[str, ...]:
    """Ids of the cases for a kind of component, in order."""
    from qimg_core.testing.conformance import device
    from qimg_core.testing.conformance.part import ansatzes, encoders, generators, observables

    every: dict[str, Sequence[Case[Any]]] = {
        "backend": device.CASES,
        "encoder": encoders.CASES,
        "ansatz": ansatzes.CASES,
        "observable": observables.CASES,
        "generator": generators.CASES,
    }
    return tuple(c.id for c in every[kind])


def _run(
    run: Callable[[Case[S]], CaseResult],
    every: Sequence[Case[S]],
    options: Options,
    cases: Iterable[str] | None,
    progress: Progress | None,
) -> list[CaseResult]:
    only = None if cases is None else set(cases)
    results = []
    for case in every:
        if only is not None and case.id not in only:
            continue
        if options.wanted(case.id):
            result = run(case)
        else:
            left_out = Outcome(verdict=Verdict.INCONCLUSIVE, reason="left out by the settings")
            result = CaseResult(case=case.id, title=case.title, outcome=left_out, seconds=0.0)
        results.append(result)
        if progress is not None:
            progress(result)
    return results


def redacted(result: CaseResult, secrets: Sequence[str]) -> CaseResult:
    """The report is the last place where a credential could come to light."""
    text = json.dumps(plain({"reason": result.outcome.reason, "evidence": result.outcome.evidence}))
    if not any(s in text for s in secrets):
        return result
    said = "a credential stood in the words or evidence of this case, which are left out"
    return evolve(result, outcome=Outcome(verdict=Verdict.FAIL, reason=said))


def claimed(caps: Capabilities) -> dict[str, Any]:
    """Capabilities as JSON."""
    from attrs import asdict

    return {k: plain(v) for k, v in asdict(caps, recurse=False).items()}


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
