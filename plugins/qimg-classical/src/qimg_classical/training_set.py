"""From recorded proposals to a table that can be learned from (imports qimg_core; numpy inside functions).

A surrogate is of one function: one circuit, measurement, weights, noise model and device. Proposals that differ in
any of them are of another function and are never mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

from qimg_classical.outputs import learnable
from qimg_core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qimg_core.circuit.ir import Circuit
    from qimg_core.execution import FloatArray
    from qimg_core.measurement import Measurement
    from qimg_core.proposals import Proposal

_SHOWN = 8
_NUMBERS = 16_777_216  # coefficients or targets of one fit: 128 MiB


@frozen(kw_only=True)
class Function:
    """What a surrogate stands in for, by digests and the device's name."""

    circuit: str
    measurement: str
    weights: str
    noise: str | None
    backend: str


@frozen(kw_only=True, eq=False)
class TrainingSet:
    """Distinct inputs with what was recorded for them.

    Args:
        function: digests.
        circuit, measurement: themselves.
        inputs: float64 (n, n_inputs), distinct.
        targets: float64 (n, outputs); the mean where an input was recorded several times.
        rows: recorded rows, repetitions counted.
        shots: numbers of shots that occur; None is exact.
        device_kind: of the device.
        sources: (entry, its digest) of every proposal.
        log: name of the ledger.
    """

    function: Function
    circuit: Circuit
    measurement: Measurement
    inputs: FloatArray
    targets: FloatArray
    rows: int
    shots: tuple[int | None, ...]
    device_kind: str
    sources: tuple[tuple[int, str], ...]
    log: str


def choose(proposals: Iterable[Proposal], wanted: Mapping[str, str]) -> list[Proposal]:
    """The proposals of one function.

    Args:
        proposals: of a ledger.
        wanted: beginnings of digests (circuit, measurement, weights, noise) or the backend's name; what is not
            named is taken from the proposals where they agree.

    Raises:
        DataError: there are none.
        ConfigurationError: they are of several functions; the message lists them.
    """
    groups: dict[Function, list[Proposal]] = {}
    for proposal in proposals:
        if proposal.plain:
            groups.setdefault(_function(proposal), []).append(proposal)
    found = {f: p for f, p in groups.items() if all(_is(getattr(f, k), k, v) for k, v in wanted.items())}
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        said = ", ".join(f"{k} {v}" for k, v in wanted.items())
        raise DataError(
            f"there are no proposals{f' of {said}' if said else ''} in the ledger ({len(groups)} others)",
            hint="run with proposals kept: Session(..., proposals='keep')",
        )
    lines = [_line(f, p) for f, p in sorted(found.items(), key=lambda item: -sum(p.rows for p in item[1]))]
    more = f"\n  and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    raise ConfigurationError(
        f"the proposals are of {len(found)} functions, and a surrogate is of one:\n  "
        + "\n  ".join(lines[:_SHOWN])
        + more,
        hint="choose with --circuit, --measurement, --weights, --noise, --backend; the beginning of a digest is enough",
    )


def _function(p: Proposal) -> Function:
    return Function(circuit=p.circuit, measurement=p.measurement, weights=p.weights, noise=p.noise, backend=p.backend)


def _is(value: str | None, name: str, wanted: str) -> bool:
    if name == "backend":
        return value == wanted
    if value is None:
        return wanted == "none"
    return value.removeprefix("sha256:").startswith(wanted.removeprefix("sha256:"))


def _line(function: Function, proposals: Sequence[Proposal]) -> str:
    def brief(digest: str | None) -> str:
        return "none" if digest is None else digest.removeprefix("sha256:")[:12]

    parts = ", ".join(f"{k} {v if k == 'backend' else brief(v)}" for k, v in asdict(function).items())
    return f"{sum(p.rows for p in proposals)} rows: {parts}"


def table(proposals: Sequence[Proposal], log: str) -> TrainingSet:
    """Read the numbers of proposals that are of one function.

    Args:
        proposals: one or more; see `choose`.
        log: name of their ledger.

    Raises:
        DataError: the measurement cannot be learned, weights differ from row to row, the circuit has no inputs,
            or there is more than fits.
        LedgerCorrupt: a proposal's numbers are not what its entry vouches for.
    """
    import numpy as np

    first = proposals[0]
    circuit, measurement = first.executed_circuit(), first.numbers().measurement
    if not learnable(measurement):
        raise DataError(f"a surrogate gives expectation values, local states or probabilities, not {measurement.kind}")
    if circuit.n_inputs == 0:
        raise DataError("the circuit has no inputs: its numbers are always the same, so reuse the proposal itself")
    rows = sum(p.rows for p in proposals)
    if rows * measurement.width > _NUMBERS:
        raise DataError(
            f"{rows} rows of {measurement.width} numbers are more than a fit takes ({_NUMBERS:,} numbers)",
            hint="measure fewer wires, or choose fewer proposals",
        )
    inputs: list[Any] = []
    targets: list[Any] = []
    for proposal in proposals:
        numbers = proposal.numbers()
        if numbers.weights.ndim != 1:
            raise DataError("the weights differ from row to row; a surrogate is for one vector of weights")
        inputs.append(np.asarray(numbers.inputs, dtype=np.float64))
        targets.append(np.asarray(numbers.data, dtype=np.float64))
    x, y = np.concatenate(inputs), np.concatenate(targets)
    distinct, place, times = np.unique(x, axis=0, return_inverse=True, return_counts=True)
    sums = np.zeros((len(distinct), y.shape[1]))
    np.add.at(sums, place.reshape(-1), y)
    return TrainingSet(
        function=_function(first),
        circuit=circuit,
        measurement=measurement,
        inputs=distinct,
        targets=sums / times[:, None],
        rows=rows,
        shots=tuple(sorted({p.shots for p in proposals}, key=lambda s: (s is not None, s or 0))),
        device_kind=first.device_kind.value,
        sources=tuple((p.entry, p.entry_digest) for p in proposals),
        log=log,
    )
