"""Error mitigation as pure functions: a request becomes parts, the parts' results become corrected numbers.

`parts` says what to execute, `combine` puts the answers together; who executes the parts and records each of them is
`qimg_core.mitigated`. The caller's circuit is folded before anything is lowered, and the rotations to a measured basis
come later, so they are not folded. Imports errors, seeds, circuit, measurement, execution, confusion, correcting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from qimg_core.circuit.folding import fold
from qimg_core.circuit.gates import GateName
from qimg_core.circuit.ir import Circuit, Gate
from qimg_core.circuit.pauli import each
from qimg_core.confusion import Confusion, words
from qimg_core.correcting import contract, correct
from qimg_core.errors import ConfigurationError, ResultError
from qimg_core.execution import array_digest, is_tensor
from qimg_core.extrapolation import weights
from qimg_core.measurement import Expectation, LocalStates
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qimg_core.execution import ExecutionRequest, FloatArray
    from qimg_core.job import JSON
    from qimg_core.mitigation import Mitigation

SCHEMA = "qimg.mitigation/1"
_WRITTEN_OUT = 64


def _parts(parts: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(parts)


@frozen(kw_only=True, eq=False)
class Part:
    """One request of a mitigation.

    Args:
        name: ``fold 1``, ``fold 3``, ``read-out 0``, ``read-out 1``: its role, for the record.
        request: without a mitigation, with a seed of its own.
        decisions: what the plan of this part has to say, in words.
    """

    name: str
    request: ExecutionRequest
    decisions: tuple[str, ...] = ()


@frozen(kw_only=True, eq=False)
class Parts:
    """What a mitigated request takes, in order: the circuit at each noise factor, then the two read-out circuits."""

    parts: tuple[Part, ...] = field(converter=_parts)

    @property
    def requests(self) -> tuple[ExecutionRequest, ...]:
        return tuple(p.request for p in self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parts)


def parts(request: ExecutionRequest) -> Parts:
    """The requests that a mitigated request takes.

    The circuit at each noise factor keeps rows, shots and noise. With read-out correction, terms are asked together
    with their sub-words. A contracted read-out is left out of the parts: `combine` contracts.

    Args:
        request: with a mitigation, in numpy.

    Raises:
        ConfigurationError: no mitigation; torch tensors; a measurement other than `Expectation` and `LocalStates`;
            a circuit that cannot be folded; terms too long to be corrected.
    """
    chosen, measurement = _checked(request)
    asked = words(measurement, subwords=chosen.readout).measurement
    plain = evolve(request, measurement=asked, readout=None, mitigation=None)
    out = []
    for factor in chosen.folds or (1,):
        name = f"fold {factor}"
        circuit = fold(request.circuit, factor) if chosen.folds else request.circuit
        times = (factor - 1) // 2
        said = f"{name}: the circuit, then {times} times its inverse and itself; gates must not be cancelled"
        one = evolve(plain, circuit=circuit, seed=_seed(request, name))
        out.append(Part(name=name, request=one, decisions=(said,) if times else ()))
    if chosen.readout:
        out += [_read_out(plain, request, bit, chosen) for bit in (0, 1)]
    return Parts(parts=out)


def combine(
    request: ExecutionRequest, made: Parts, results: Sequence[Any], *, joint: bool = True
) -> tuple[FloatArray, dict[str, JSON]]:
    """Corrected numbers from the results of the parts, and the facts for the record.

    Read-out errors are corrected first, at each noise factor, then the words are extrapolated. The identity stays 1.
    Nothing is clipped: numbers may leave [-1, 1] by their errors, and the facts count them.

    Args:
        request: the mitigated request.
        made: of `parts`.
        results: one array per part, in order.
        joint: terms that agree wire by wire were read from the same shots; False where each was measured on its own
            (the device ``simulator`` does so). Only standard errors and variances depend on it.

    Returns:
        an array of float64, laid out as the request asks, and facts without floats (confusion matrices, factors,
        weights, values before and after, standard errors where there are shots, how much the variances have grown).

    Raises:
        ResultError: a result of another shape or with NaN in it; a read-out that carries no information.
    """
    import numpy as np

    chosen, measurement = _checked(request)
    asked = words(measurement, subwords=chosen.readout, joint=joint)
    arrays = [_array(p, r) for p, r in zip(made.parts, results, strict=True)]
    factors = chosen.folds or (1,)
    confusion = Confusion()
    if chosen.readout:
        zeros, ones = (dict(zip(asked.measurement.wires, a[0].tolist(), strict=True)) for a in arrays[len(factors) :])
        confusion = Confusion(zeros, ones, made.parts[-1].request.shots)
        confusion.check()
    found = correct(asked, arrays[: len(factors)], confusion, chosen, request.shots)
    scale: Any = 1.0
    if isinstance(measurement, Expectation):
        scale = np.array([t.coefficient for t in measurement.terms])
    facts: dict[str, JSON] = {
        "schema": SCHEMA,
        "chosen": chosen.to_json(),
        "parts": list(made.names),
        "raw": _numbers(found.raw * scale),
        "result": _numbers(found.values * scale),
        "outside": int((np.abs(found.values) > 1 + 1e-9).sum()),
        "variance_amplification": _range(found.amplification),
        "standard_error": None if request.shots is None else _numbers(found.errors * np.abs(scale)),
    }
    if chosen.readout:
        facts["readout"] = {str(w): _wire_facts(confusion, w) for w in confusion.zeros}
    if chosen.folds:
        facts["factors"] = list(factors)
        facts["weights"] = [repr(float(c)) for c in weights(factors, chosen.extrapolation)]
        facts["by_factor"] = {str(f): _numbers(v * scale) for f, v in zip(factors, found.by_factor, strict=True)}
        facts["fitted"] = _numbers(found.fitted)
        facts["exponential"] = found.exponential
    data = np.asarray(found.values * scale)
    if request.readout is not None:
        assert isinstance(measurement, LocalStates)
        data = contract(data, measurement, request.readout)
    return data, facts


def _checked(request: ExecutionRequest) -> tuple[Mitigation, Expectation | LocalStates]:
    if request.mitigation is None:
        raise ConfigurationError("wanted a request with a mitigation, e.g. mitigation=Mitigation(folds=(1, 3, 5))")
    if not isinstance(request.measurement, (Expectation, LocalStates)):
        raise ConfigurationError(
            f"error mitigation corrects expectation values and local states, not {request.measurement.kind}",
            hint="measure Expectation or LocalStates, or ask without mitigation",
        )
    if is_tensor(request.inputs):
        raise ConfigurationError("error mitigation takes numpy arrays; gradients through it are parameter shifts")
    return request.mitigation, request.measurement


def _seed(request: ExecutionRequest, name: str) -> int | None:
    return None if request.seed is None else derive_seed(request.seed, "mitigation", name)


def _read_out(plain: ExecutionRequest, request: ExecutionRequest, bit: int, chosen: Mitigation) -> Part:
    import numpy as np

    name, wires = f"read-out {bit}", plain.measurement.wires
    asked = evolve(
        plain,
        circuit=Circuit(request.circuit.n_wires, [Gate(GateName.X, (w,)) for w in wires] if bit else []),
        inputs=np.zeros((1, 0)),
        weights=np.zeros(0),
        measurement=Expectation(each("Z", wires)),
        shots=chosen.calibration_shots or request.shots,
        seed=_seed(request, name),
    )
    said = f"{name}: every measured wire in |{bit}>; errors of preparing that count as read-out errors"
    return Part(name=name, request=asked, decisions=(said,))


def _array(part: Part, result: Any) -> FloatArray:
    import numpy as np

    found = np.asarray(result, dtype=np.float64)
    wanted = (part.request.rows, part.request.measurement.width)
    if found.shape != wanted or not np.isfinite(found).all():
        raise ResultError(f"{part.name}: wanted finite numbers of shape {wanted}, got shape {found.shape}")
    return found


def _numbers(array: Any) -> JSON:
    """Every number as text where there are few, else their digest and range."""
    import numpy as np

    if array.size > _WRITTEN_OUT:
        return {"digest": array_digest(array), "shape": list(array.shape), **_range(array)}
    return [[repr(float(v)) if np.isfinite(v) else None for v in row] for row in array]


def _range(array: Any) -> dict[str, JSON]:
    import numpy as np

    known = array[np.isfinite(array)]
    if not known.size:
        return {"least": None, "mean": None, "greatest": None}
    return {"least": repr(float(known.min())), "mean": repr(float(known.mean())), "greatest": repr(float(known.max()))}


def _wire_facts(confusion: Confusion, wire: int) -> dict[str, JSON]:
    """Columns of the matrix are what was, rows what was read."""
    one, zero = confusion.errors(wire)
    out: dict[str, JSON] = {"matrix": [[repr(1 - one), repr(zero)], [repr(one), repr(1 - zero)]]}
    if confusion.shots is not None:
        out["standard_errors"] = [repr(v**0.5 / 2) for v in confusion.variances(wire)]
    return out


__all__ = ["Part", "Parts", "combine", "fold", "parts"]
