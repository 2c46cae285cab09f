"""Numbers of a device against the exact ones: to the last digits, by statistics, or within a band (floor 8)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
from qimg_core.testing.conformance.dense import distribution, expected, pauli_coefficients, pauli_words
from qimg_core.testing.statistics import (
    detectable_effect,
    detectable_mean,
    explained_by,
    mean_bound,
    multinomial_test,
    tvd_bound,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.execution import ExecutionRequest, FloatArray
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks

DECISIVE = 14.0
"""Log-odds of a million to one."""
CLEARLY = 0.2
"""Part of the band by which a fault has to be nearer to a noisy device's counts."""


def agree(
    bench: Bench,
    checks: Checks,
    what: str,
    request: ExecutionRequest,
    data: Any,
    rivals: Sequence[tuple[str, ExecutionRequest]] = (),
) -> bool:
    """Whether ``data`` is what a right device gives for ``request``.

    Args:
        bench: tolerance, shots, whether the device is noisy by itself.
        checks: takes the comparison and its evidence.
        what: is compared, in words.
        request: what was run.
        data: what came back.
        rivals: known faults, in words and as the requests that a faulty device would have run: counts of a noisy
            device must not be explained better by one of them, or by another order of the wires.
    """
    if request.shots is None:
        wanted = expected(request)
        tolerance = bench.options.tolerance if not bench.noisy else 2 * bench.options.band
        return checks.near(what, _in_phase(request, data, wanted), wanted, tolerance)
    if isinstance(request.measurement, (Probabilities, Samples)):
        return _counts_agree(bench, checks, what, request, data, rivals)
    return _means_agree(bench, checks, what, request, data)


def _in_phase(request: ExecutionRequest, data: Any, wanted: Any) -> Any:
    """Pure states are compared up to a phase of each row, which no measurement sees."""
    import numpy as np

    found = np.asarray(data)
    if not isinstance(request.measurement, State) or request.noise is not None or found.shape != wanted.shape:
        return found
    overlap = (wanted.conj() * found).sum(1, keepdims=True)
    return found * np.where(np.abs(overlap) > 1e-9, overlap.conj() / np.maximum(np.abs(overlap), 1e-300), 1.0)


def counts_of(checks: Checks, what: str, request: ExecutionRequest, data: Any) -> Any:
    """int64 (rows, outcomes) from sampled probabilities or samples; None where they are no counts."""
    import numpy as np

    shots, found = request.shots, np.asarray(data)
    k = len(request.measurement.wires)
    if isinstance(request.measurement, Samples):
        wanted = (request.rows, shots, k)
        if not checks.that(what, found.shape == wanted, f"wanted samples of shape {wanted}, got {found.shape}"):
            return None
        if not checks.that(what, bool(np.isin(found, (0, 1)).all()), "samples are zeros and ones"):
            return None
        index = (found.astype(np.int64) << np.arange(k - 1, -1, -1)).sum(2)
        return np.stack([np.bincount(row, minlength=2**k) for row in index])
    table = (request.rows, 2**k)
    if not checks.that(what, found.shape == table, f"wanted frequencies of shape {table}, got {found.shape}"):
        return None
    scaled = found * shots
    counts = np.rint(scaled)
    off = float(np.abs(scaled - counts).max())
    if not checks.that(what, off < 1e-6, f"the frequencies are no counts of {shots} shots (off by {off:.3g})"):
        return None
    total = counts.sum(1)
    if not checks.that(what, bool((total == shots).all()), f"wanted {shots} counts in each row, got {total[:4]}"):
        return None
    return counts.astype(np.int64)


def _counts_agree(
    bench: Bench,
    checks: Checks,
    what: str,
    request: ExecutionRequest,
    data: Any,
    rivals: Sequence[tuple[str, ExecutionRequest]],
) -> bool:
    counts = counts_of(checks, what, request, data)
    if counts is None:
        return False
    p = expected(request)
    assert request.shots is not None
    checks.evidence["shots"] = request.shots
    if bench.noisy:
        return _within_band(
            bench, checks, what, counts, p, [*_orders(request), *_faults(request, rivals)], request.shots
        )
    fit = multinomial_test(counts, p, seed=bench.options.seed)
    checks.least("smallest_p", fit.p_value)
    checks.most("largest_tvd", fit.tvd)
    checks.most("expected_tvd", fit.expected_tvd)
    checks.evidence["alpha"] = bench.alpha
    checks.most("detectable_tvd", detectable(bench, p, request.shots))
    said = f"p = {fit.p_value:.1e} for {fit.shots} shots, TVD {fit.tvd:.3f} where {fit.expected_tvd:.3f} is usual"
    if fit.impossible:
        said = f"{fit.impossible} counts of impossible outcomes"
    return checks.that(what, fit.p_value > bench.alpha and not fit.impossible, said)


def detectable(bench: Bench, p: FloatArray, shots: int) -> float:
    """See `qimg_core.testing.statistics.detectable_effect`; computed once for each distribution."""
    key = ("detectable", p.tobytes(), shots)
    if key not in bench.memory:
        draws = 200 if bench.options.quick else 600
        bench.memory[key] = detectable_effect(p, shots, bench.alpha, seed=bench.options.seed, draws=draws)
    found: float = bench.memory[key]
    return found


def _orders(request: ExecutionRequest) -> list[tuple[str, FloatArray]]:
    """The same circuit with its wires read in every other order."""
    wires = request.measurement.wires
    others = [o for o in itertools.permutations(wires) if o != wires]
    return [(f"by wires {o} than by {wires}", distribution(request, o)) for o in others]


def _faults(request: ExecutionRequest, rivals: Sequence[tuple[str, ExecutionRequest]]) -> list[tuple[str, FloatArray]]:
    return [(f"by {words}", distribution(rival, request.measurement.wires)) for words, rival in rivals]


def _within_band(
    bench: Bench,
    checks: Checks,
    what: str,
    counts: Any,
    p: FloatArray,
    others: Sequence[tuple[str, FloatArray]],
    shots: int,
) -> bool:
    """A noisy device: near the ideal, and nearer to it than to what a known fault would give."""
    import numpy as np

    band = bench.options.band
    tvd = 0.5 * np.abs(counts / shots - p).sum(1)
    slack = tvd_bound(p.shape[1], shots, bench.alpha)
    checks.most("largest_tvd", float(tvd.max()))
    checks.evidence |= {"band": band, "slack_of_shots": slack}
    if not checks.that(what, tvd.max() - slack <= band, f"TVD {tvd.max():.3f} from the ideal, band {band}"):
        return False
    if tvd.max() > band + slack:
        checks.doubt(f"{what}: TVD {tvd.max():.3f} is neither in the band {band} nor surely outside")
    others = [(words, q) for words, q in others if np.abs(q - p).sum() > 1e-6]
    if not others:
        return True
    right = sum(explained_by(c, row[None])[0] for c, row in zip(counts, p, strict=True))
    stacked = np.stack([q for _, q in others])
    wrong = np.sum([explained_by(c, stacked[:, r]) for r, c in enumerate(counts)], axis=0)
    best = int(wrong.argmax())
    lead, words = float(right - wrong[best]), others[best][0]
    nearer = float(tvd.mean() - 0.5 * np.abs(counts / shots - stacked[best]).sum(1).mean())
    checks.least("log_odds_of_the_nearest_fault", lead)
    # the device's own noise may favour a fault a little: it has to be nearer by a distance that noise hardly makes
    found = lead < -DECISIVE and nearer > CLEARLY * band
    if lead < DECISIVE and not found:
        checks.doubt(f"{what}: log-odds {lead:.1f} that it is not explained {words}; more shots decide it")
    return checks.that(what, not found, f"the counts are explained better {words}")


def _means_agree(bench: Bench, checks: Checks, what: str, request: ExecutionRequest, data: Any) -> bool:
    """Expectation values and Pauli vectors from shots: each mean has at least the shots that were asked."""
    import numpy as np

    assert isinstance(request.measurement, (Expectation, LocalStates))
    assert request.shots is not None
    found, wanted = np.asarray(data, dtype=float), expected(request)
    if not checks.that(what, found.shape == wanted.shape, f"wanted shape {wanted.shape}, got {found.shape}"):
        return False
    if not checks.that(what, bool(np.isfinite(found).all()), "not every number is finite"):
        return False
    words = pauli_words(request.measurement)
    size = np.array([abs(c) if factors else 0.0 for c, factors in words])
    if request.readout is not None:
        size = np.array([np.abs(pauli_coefficients(h)[1:]).sum() for m in request.readout for h in np.asarray(m)])
    bound = mean_bound(request.shots, bench.alpha / max(1, found.size))
    extra = 2 * bench.options.band if bench.noisy else 0.0
    off = np.abs(found - wanted) - size * (bound + extra)
    checks.evidence |= {"shots": request.shots, "alpha": bench.alpha, "bound_of_a_mean": bound}
    checks.most("detectable_mean", detectable_mean(request.shots, bench.alpha / max(1, found.size)) + extra)
    checks.most("largest_difference", float(np.abs(found - wanted).max()))
    row, column = np.unravel_index(int(off.argmax()), off.shape)
    said = f"got {found[row, column]:.4f}, exact {wanted[row, column]:.4f} (row {row}, column {column})"
    return checks.that(what, off.max() <= 1e-9, said)
