"""C10 to C12: shots as asked, seeds as promised, counts of the right distribution (floor 8; imports the bench)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.capabilities import MeasurementKind
from qimg_core.chunks import join, place
from qimg_core.measurement import Expectation, Probabilities, Samples
from qimg_core.testing.conformance.case import NotApplicable, Undecided, case
from qimg_core.testing.conformance.circuits import ORDER3, ORDER5, spread, words
from qimg_core.testing.conformance.compare import agree, counts_of, detectable
from qimg_core.testing.conformance.dense import expected
from qimg_core.testing.conformance.device.wires import zoo_of
from qimg_core.testing.statistics import multinomial_test

if TYPE_CHECKING:
    from qimg_core.execution import ExecutionRequest
    from qimg_core.measurement import Measurement
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks

PIECES = 20_000
"""A device's limit of shots is tried where one more than it is no more than this."""


def _sampled(bench: Bench) -> list[type[Probabilities | Samples]]:
    if bench.caps.shots is None:
        raise NotApplicable("the device claims no shots")
    kinds: list[type[Probabilities | Samples]] = []
    if MeasurementKind.PROBABILITIES in bench.caps.measurements:
        kinds.append(Probabilities)
    if MeasurementKind.SAMPLES in bench.caps.measurements:
        kinds.append(Samples)
    return kinds


def _request(bench: Bench, n: int, measurement: Measurement, **changes: Any) -> ExecutionRequest:
    circuit, rng = zoo_of(bench, n, 13), bench.rng("shots", n)
    return bench.request(
        circuit,
        measurement,
        spread(rng, bench.rows, circuit.n_inputs),
        spread(rng, 1, circuit.n_weights)[0],
        sampled=True,
        **changes,
    )


@case("C10", "as many shots as asked are taken, said and given back")
def _as_asked(bench: Bench, checks: Checks) -> None:
    kinds: list[type[Probabilities | Samples | Expectation]] = [*_sampled(bench)] or [Expectation]
    bench.needs_wires(2)
    assert bench.caps.shots is not None
    low, high = bench.caps.shots
    asked = sorted({low, min(max(low, 101), high or 101), bench.shots()})
    if high is not None and high < PIECES and not bench.options.quick:
        asked.append(high + 1)
    with bench.site() as site:
        for shots in asked:
            for kind in kinds:
                measurement = Expectation(words((1, 0))) if kind is Expectation else kind((1, 0))  # type: ignore[arg-type]
                request = _request(bench, 2, measurement, shots=shots)
                plan = bench.plan(site.driver, request)
                done = bench.carry(site.driver, plan)
                for job, d in enumerate(done):
                    wanted = place(plan, job)[2]
                    checks.that(f"shots of job {job}", d.raw.shots == wanted, f"asked {wanted}, said {d.raw.shots}")
                data = join(plan, [d.raw.data for d in done])
                if kind is not Expectation:
                    counts_of(checks, f"{kind.__name__} with {shots} shots", request, data)
    checks.evidence["asked"] = asked
    checks.says = f"{', '.join(map(str, asked))} shots asked and taken"


@case("C11", "the same seed gives the same samples, another seed gives others")
def _seeds(bench: Bench, checks: Checks) -> None:
    kinds = _sampled(bench)
    if not bench.caps.seeded:
        raise NotApplicable("the device claims no seeds; C13.unclaimed shows that a required seed is refused")
    bench.needs_wires(3)
    if not kinds:
        raise Undecided("a seeded device without samples or probabilities")
    import numpy as np

    with bench.site() as site:
        for kind in kinds:
            first, again, other = (_request(bench, 3, kind(ORDER3), seed=s, require_seed=True) for s in (5, 5, 6))
            one = np.asarray(bench.run(site.driver, first))
            two = np.asarray(bench.run(site.another(), again))
            three = np.asarray(bench.run(site.driver, other))
            checks.that(f"{kind.__name__}: equal for equal seeds", np.array_equal(one, two))
            checks.that(f"{kind.__name__}: different for different seeds", not np.array_equal(one, three))
            if one.shape[0] > 1:
                same = _request(bench, 3, kind(ORDER3), seed=5)
                rows = same.inputs[:1].repeat(2, axis=0)
                from attrs import evolve

                twins = np.asarray(bench.run(site.driver, evolve(same, inputs=rows)))
                checks.that(f"{kind.__name__}: equal rows are drawn separately", not np.array_equal(twins[0], twins[1]))


@case("C12", "counts come from the exact distribution, and do not fit it too well")
def _honest(bench: Bench, checks: Checks) -> None:
    kinds = _sampled(bench)
    if not kinds:
        raise NotApplicable("the device returns neither samples nor probabilities")
    bench.needs_wires(3)
    n, order = (5, ORDER5) if bench.caps.max_wires >= 5 else (3, ORDER3)
    with bench.site() as site:
        for kind in kinds:
            request = _request(bench, n, kind(order))
            data = bench.run(site.driver, request)
            if bench.noisy:
                agree(bench, checks, kind.__name__, request, data)
                continue
            counts = counts_of(checks, kind.__name__, request, data)
            if counts is None:
                continue
            p = expected(request)
            assert request.shots is not None
            fit = multinomial_test(counts, p, seed=bench.options.seed)
            checks.least("smallest_p", fit.p_value)
            checks.least("smallest_p_too_good", fit.too_good)
            checks.most("largest_tvd", fit.tvd)
            checks.most("expected_tvd", fit.expected_tvd)
            checks.most("detectable_tvd", detectable(bench, p, request.shots))
            checks.evidence |= {"shots": request.shots, "rows": request.rows, "alpha": bench.alpha}
            said = f"p = {fit.p_value:.1e}, TVD {fit.tvd:.3f} where {fit.expected_tvd:.3f} is usual"
            checks.that(kind.__name__, fit.p_value > bench.alpha and not fit.impossible, said)
            made_up = f"chi-squared is so small with probability {fit.too_good:.1e}: the counts were made of numbers"
            checks.that(f"{kind.__name__} are drawn", fit.too_good > bench.alpha, made_up)


CASES = (_as_asked, _seeds, _honest)
