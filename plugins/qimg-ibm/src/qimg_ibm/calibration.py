"""IBM's backend properties as a qimg calibration, the form of `qimg_core.calibration` (imports nothing of qimg).

https://quantum.cloud.ibm.com/docs/api/qiskit-runtime-rest/tags/backends: T1 and T2 by qubit, read-out errors as
``prob_meas1_prep0`` = p(1|0) and ``prob_meas0_prep1`` = p(0|1), error and length by gate. Numbers become strings;
impossible ones, such as the T1 of a qubit that could not be calibrated, are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "qimg.calibration/1"
_MICROSECONDS = {"s": 1e6, "ms": 1e3, "us": 1.0, "µs": 1.0, "ns": 1e-3}


def calibration_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The calibration in IBM's own document.

    Args:
        properties: as ``GET /backends/{id}/properties`` answers.

    Returns:
        schema, updated_at, wires and gates; gates of no length and no error (``rz``, a change of
        frame) have both as "0.0".

    Raises:
        KeyError, TypeError, ValueError: not such a document.
    """
    wires = {str(k): _wire(items) for k, items in enumerate(properties["qubits"])}
    gates: dict[str, dict[str, dict[str, str]]] = {}
    for gate in properties["gates"]:
        facts = {p["name"]: p for p in gate["parameters"]}
        entry: dict[str, str] = {}
        if "gate_error" in facts and 0 <= float(facts["gate_error"]["value"]) <= 1:
            entry["error"] = repr(float(facts["gate_error"]["value"]))
        if "gate_length" in facts:
            entry["duration_ns"] = repr(_time(facts["gate_length"], 1e3))
        if entry:
            gates.setdefault(str(gate["gate"]), {})[",".join(str(q) for q in gate["qubits"])] = entry
    return {
        "schema": SCHEMA,
        "updated_at": str(properties["last_update_date"]),
        "backend_version": str(properties.get("backend_version", "")),
        "wires": wires,
        "gates": gates,
    }


def readout_of(calibration: Mapping[str, Any]) -> dict[int, tuple[float, float]]:
    """(p(1|0), p(0|1)) of each qubit that has them."""
    wires = calibration["wires"].items()
    return {int(q): (float(w["readout"][0]), float(w["readout"][1])) for q, w in wires if "readout" in w}


def _wire(items: Any) -> dict[str, Any]:
    facts = {item["name"]: item for item in items}
    out: dict[str, Any] = {}
    for ours, theirs in (("t1_us", "T1"), ("t2_us", "T2")):
        if theirs in facts and _time(facts[theirs], 1.0) > 0:
            out[ours] = repr(_time(facts[theirs], 1.0))
    both = facts.get("readout_error")
    pair = [facts.get("prob_meas1_prep0", both), facts.get("prob_meas0_prep1", both)]
    found = [float(p["value"]) for p in pair if p is not None]
    if len(found) == 2 and all(0 <= p <= 1 for p in found):
        out["readout"] = [repr(p) for p in found]
    return out


def _time(item: Mapping[str, Any], per_microsecond: float) -> float:
    return round(float(item["value"]) * _MICROSECONDS[item["unit"]] * per_microsecond, 9)
