"""Fitting a surrogate: split, try, choose, measure (imports qimg_core, numpy).

The distinct inputs are split by seed. On the larger part every candidate is solved and judged by its leave-one-out
error; the best is kept as it is. The other part is used once, to measure the error of what was chosen, so that the
choice does not flatter the error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from attrs import field, frozen

from qimg_classical.measured import measure
from qimg_classical.outputs import free_columns, possible
from qimg_classical.regression import ridges
from qimg_classical.series import Cosines, Series, fourier_features, random_features
from qimg_classical.spectrum import MOST, full_degree, lattice, spectra
from qimg_classical.surrogate import Surrogate
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.ledger.canonical import real
from qimg_core.measurement import measurement_to_json
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_classical.regression import Ridge
    from qimg_classical.training_set import TrainingSet
    from qimg_core.job import JSON

Kind = Literal["auto", "fourier", "features"]
KINDS: tuple[Kind, ...] = ("auto", "fourier", "features")
HELD_OUT = 0.25
LEAST = 10
"""Fewest inputs of either part."""
_FILL = 0.9  # features of a Fourier series a training input, at most: a full table has no error to judge by
_RANDOM = 500
_WIDTHS = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernel, in spreads of the inputs times their root number


@frozen(kw_only=True, eq=False)
class Candidate:
    """Features to try, and what says which they are."""

    kind: Kind
    features: Cosines
    facts: dict[str, JSON] = field(factory=dict)


@frozen(kw_only=True, eq=False)
class Tried:
    """A candidate with its best ridge and the leave-one-out error of that."""

    candidate: Candidate
    ridge: Ridge
    error: float

    def to_json(self) -> dict[str, JSON]:
        c = self.candidate
        numbers = {"ridge": real(self.ridge.strength), "leave_one_out_rmse": real(self.error)}
        return {"kind": c.kind, "features": c.features.count, **c.facts, **numbers}


def fit(training: TrainingSet, *, kind: Kind = "auto", seed: int = 0, max_features: int = 1000) -> Surrogate:
    """Fit a surrogate and measure its error.

    Args:
        training: of `qimg_classical.training_set.table`.
        kind: "fourier" takes the circuit's own frequencies, "features" random ones, "auto" the better of both by
            leave-one-out error.
        seed: of the split, the random features and the bootstrap.
        max_features: most cosines; a Fourier series is cut at the last whole degree below.

    Raises:
        DataError: too few distinct inputs (the message says how many are needed), or nothing to learn.
        ConfigurationError: an unknown kind, or a Fourier series of a circuit that is none.
    """
    if kind not in KINDS:
        raise ConfigurationError(f"kind: wanted one of {', '.join(KINDS)}, got {kind!r}")
    if max_features < 1:
        raise ConfigurationError(f"max_features: wanted 1 or more, got {max_features}")
    free = free_columns(training.measurement)
    if not free.any():
        raise DataError("every number of this measurement is fixed by definition: there is nothing to learn")
    kind = _checked(training, kind, max_features)
    train, held = _split(len(training.inputs), seed)
    x, y = training.inputs[train], training.targets[train]
    tried = [_judged(c, x, y, free) for c in _candidates(training, x, kind, seed, max_features)]
    best = min(tried, key=lambda t: t.error)
    series = Series(best.candidate.features, best.ridge.coefficients, best.ridge.intercept)
    estimate = possible(training.measurement, series(training.inputs[held]))
    error, by_output = measure(estimate, training.targets[held], free, derive_seed(seed, "bootstrap"))
    return Surrogate(
        function=training.function,
        measurement=training.measurement,
        wires=training.circuit.n_wires,
        series=series,
        low=x.min(0),
        high=x.max(0),
        error=error,
        by_output=by_output,
        facts=_facts(training, best, tried, seed, len(train), len(held)),
    )


def _checked(training: TrainingSet, kind: Kind, max_features: int) -> Kind:
    """The kind that can be fitted from so much; "auto" leaves the Fourier series out where it cannot."""
    n, inputs = len(training.inputs), training.circuit.n_inputs
    found = spectra(training.circuit)
    fourier = None if found is None else 2 * sum(bool(s) for s in found)
    if fourier == 0:
        raise DataError("the circuit's inputs turn no gate: its numbers are always the same")
    if fourier is None and kind == "fourier":
        raise ConfigurationError(
            "an input is an amplitude of prepare, so the result is no Fourier series", hint="--kind features"
        )
    if kind == "fourier" and fourier is not None and fourier > max_features:
        raise ConfigurationError(
            f"the shortest Fourier series of {inputs} inputs has {fourier} features, {max_features} are allowed",
            hint=f"--max-features {fourier}, or --kind features",
        )
    for_fourier = None if fourier is None or fourier > max_features else needed(math.ceil(fourier / _FILL))
    for_features = needed(2 * inputs)
    least = {"fourier": for_fourier, "features": for_features}.get(kind)
    if least is None:
        least = min(v for v in (for_fourier, for_features) if v is not None)
    if n < least:
        raise DataError(
            f"{n} distinct inputs are too few for a surrogate of {inputs} inputs: {least} are needed",
            hint=f"keep proposals of {least - n} more: Session(..., proposals='keep')",
        )
    if kind == "auto" and (for_fourier is None or n < for_fourier):
        return "features"
    if kind == "auto" and n < for_features:
        return "fourier"
    return kind


def needed(train: int) -> int:
    """The fewest distinct inputs that leave so many for training, after the split."""
    train = max(train, LEAST)
    return next(n for n in range(train + LEAST, 2 * (train + LEAST)) if n - _held(n) >= train)


def _held(n: int) -> int:
    return max(LEAST, round(HELD_OUT * n))


def _split(n: int, seed: int) -> tuple[Any, Any]:
    order = np.random.Generator(np.random.PCG64(derive_seed(seed, "split"))).permutation(n)
    held = _held(n)
    return np.sort(order[held:]), np.sort(order[:held])


def _candidates(training: TrainingSet, x: Any, kind: Kind, seed: int, most: int) -> Iterator[Candidate]:
    found = spectra(training.circuit) if kind != "features" else None
    if found is not None:
        full, whole = full_degree(found), all(len(one) < MOST for one in found)
        for degree in range(1, full + 1):
            vectors = lattice(found, degree, min(most, int(_FILL * len(x) + 1e-9)) // 2)
            if vectors is None:
                break
            facts: dict[str, JSON] = {"degree": degree, "complete": degree == full and whole}
            yield Candidate(kind="fourier", features=fourier_features(vectors), facts=facts)
    if kind != "fourier":
        for position, width in enumerate(_WIDTHS):
            width *= math.sqrt(x.shape[1])
            chosen = random_features(x, min(most, _RANDOM), width, derive_seed(seed, "features", position))
            yield Candidate(kind="features", features=chosen, facts={"width": real(width)})


def _judged(candidate: Candidate, x: Any, y: Any, free: Any) -> Tried:
    best: Tried | None = None
    for ridge in ridges(candidate.features(x), y):
        error = float(np.sqrt(np.mean(ridge.residuals[:, free] ** 2)))
        if best is None or error < best.error:
            best = Tried(candidate=candidate, ridge=ridge, error=error)
    assert best is not None
    return best


def _facts(training: TrainingSet, best: Tried, tried: list[Tried], seed: int, n_train: int, n_held: int) -> Any:
    from importlib.metadata import version

    return {
        "fit": {
            **best.to_json(),
            "seed": str(seed),
            "train": n_train,
            "held_out": n_held,
            "tried": [t.to_json() for t in tried if math.isfinite(t.error)],
        },
        "measurement": measurement_to_json(training.measurement),
        "source": {
            "log": training.log,
            "proposals": [list(s) for s in training.sources],
            "rows": training.rows,
            "distinct": len(training.inputs),
            "shots": list(training.shots),
            "device_kind": training.device_kind,
        },
        "versions": {name: version(name) for name in ("qimg-core", "qimg-classical", "numpy")},
    }
