"""Device properties in the form of `qimg_core.calibration` (imports nothing of qimg, no SDK).

Braket publishes calibrations in three standardised schemas and, for some providers, in their own words
(``braket.device_schema`` of amazon-braket-schemas). Only documented fields are read; numbers become decimal
strings without loss. Qubits keep the device's own labels, which may not begin at 0.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qimg_core.job import JSON

_MICROSECONDS = {"s": 6, "ms": 3, "us": 0, "µs": 0, "ns": -3}
"""Powers of ten; some documents write S for s."""
_TIMES = (("T1", "t1_us"), ("T2", "t2_us"))
_RB = ("RANDOMIZED_BENCHMARKING", "SIMULTANEOUS_RANDOMIZED_BENCHMARKING")
_GATES = {"cnot": "cx", "xx": "rxx", "yy": "ryy", "zz": "rzz", "ms": "rxx", "cphase": "cphaseshift"}
"""Native two-qubit gates under the name of the IR, where it has the gate."""
_ONE, _TWO = "1q", "2q"
"""Where a figure is of all gates of that size."""


def calibration_of(document: Mapping[str, Any]) -> dict[str, JSON]:
    """The calibration of a device's properties document.

    Args:
        document: what ``GetDevice`` gives in ``deviceCapabilities``, parsed.

    Returns:
        ``schema, wires, gates, average, updated_at``; parts that the device does not publish are left out.
    """
    wires: dict[str, dict[str, JSON]] = {}
    gates: dict[str, dict[str, JSON]] = {}
    standardized = document.get("standardized") or {}
    for label, found in (standardized.get("oneQubitProperties") or {}).items():
        wires[label] = _wire(found)
        error = _infidelity(found.get("oneQubitFidelity"), _RB)
        if error is not None:
            gates.setdefault(_ONE, {})[label] = {"error": error}
    for edge, found in (standardized.get("twoQubitProperties") or {}).items():
        for item in found.get("twoQubitGateFidelity") or ():
            error = _infidelity([item])
            name = str(item.get("gateName", "")).lower()
            if error is not None and name:
                gates.setdefault(_GATES.get(name, name), {})[edge.replace("-", ",")] = {"error": error}
    average = _averages(standardized)
    if not average and not wires:
        average = _ionq(document.get("provider") or {})
    out: dict[str, JSON] = {"schema": "qimg.calibration/1", "wires": dict(wires), "gates": dict(gates)}
    if average:
        out["average"] = average
    updated = standardized.get("updatedAt") or (document.get("service") or {}).get("updatedAt")
    if updated:
        out["updated_at"] = str(updated)
    return out


def _wire(found: Mapping[str, Any]) -> dict[str, JSON]:
    out: dict[str, JSON] = {}
    for name, key in _TIMES:
        value = _microseconds(found.get(name))
        if value is not None:
            out[key] = value
    error = _infidelity(found.get("oneQubitFidelity"), ("READOUT",))
    if error is not None:
        out["readout"] = [error, error]  # Braket publishes one number for both directions
    return out


def _averages(standardized: Mapping[str, Any]) -> dict[str, JSON]:
    """Numbers for the whole device, of the third standardised schema."""
    times = ((key, _microseconds(standardized.get(name))) for name, key in _TIMES)
    readout = _infidelity(standardized.get("readoutFidelity"))
    gates: dict[str, JSON] = {}
    for key, fidelity, duration in (
        (_ONE, "singleQubitFidelity", "singleQubitGateDuration"),
        (_TWO, "twoQubitGateFidelity", "twoQubitGateDuration"),
    ):
        leaf = _leaf(_infidelity(standardized.get(fidelity)), _microseconds(standardized.get(duration), 3))
        if leaf:
            gates[key] = leaf
    return _average(times, readout, gates)


def _ionq(provider: Mapping[str, Any]) -> dict[str, JSON]:
    """IonQ's own words: mean fidelities, and times in seconds."""
    fidelity, timing = provider.get("fidelity") or {}, provider.get("timing") or {}
    times = ((key, _scaled(timing.get(name), 6)) for name, key in _TIMES)
    readout = _one_minus((fidelity.get("spam") or {}).get("mean"))
    gates: dict[str, JSON] = {}
    for key, name in ((_ONE, "1Q"), (_TWO, "2Q")):
        leaf = _leaf(_one_minus((fidelity.get(name) or {}).get("mean")), _scaled(timing.get(name), 9))
        if leaf:
            gates[key] = leaf
    return _average(times, readout, gates)


def _average(times: Iterable[tuple[str, str | None]], readout: str | None, gates: dict[str, JSON]) -> dict[str, JSON]:
    wires: dict[str, JSON] = {key: value for key, value in times if value is not None}
    if readout is not None:
        wires["readout"] = [readout, readout]
    out: dict[str, JSON] = {}
    if wires:
        out["wires"] = wires
    return {**out, "gates": gates} if gates else out


def _leaf(error: str | None, duration_ns: str | None) -> dict[str, JSON]:
    out: dict[str, JSON] = {}
    if error is not None:
        out["error"] = error
    if duration_ns is not None:
        out["duration_ns"] = duration_ns
    return out


def _infidelity(items: Iterable[Mapping[str, Any]] | None, names: tuple[str, ...] = ()) -> str | None:
    """1 - fidelity of the first entry of the first of these types; of the first entry where no type is asked."""
    found = list(items or ())
    for name in names or ("",):
        for item in found:
            kind = (item.get("fidelityType") or {}).get("name")
            if not name or kind == name:
                return _one_minus(item.get("fidelity"))
    return None


def _one_minus(value: Any) -> str | None:
    number = _decimal(value)
    return None if number is None else _text(1 - number)


def _microseconds(found: Mapping[str, Any] | None, more: int = 0) -> str | None:
    """A duration in microseconds, or in units 10**-more of them."""
    if not found:
        return None
    power = _MICROSECONDS.get(str(found.get("unit", "s")).lower())
    return None if power is None else _scaled(found.get("value"), power + more)


def _scaled(value: Any, power: int) -> str | None:
    number = _decimal(value)
    return None if number is None else _text(number.scaleb(power))


def _decimal(value: Any) -> Decimal | None:
    try:
        number = None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None


def _text(number: Decimal) -> str:
    return format(number.normalize(), "f")
