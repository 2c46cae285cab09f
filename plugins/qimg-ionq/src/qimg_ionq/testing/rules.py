"""What IonQ's published schema of ``POST /jobs`` allows, checked by hand (imports nothing of qimg)."""

from __future__ import annotations

import math
from typing import Any

ONE = frozenset({"x", "not", "y", "z", "h", "s", "si", "t", "ti", "v", "vi", "rx", "ry", "rz"})
TWO = frozenset({"swap", "xx", "yy", "zz"})
TURNED = frozenset({"rx", "ry", "rz", "xx", "yy", "zz"})
NOISE = ("ideal", "harmony", "harmony-1", "harmony-2", "aria-1", "aria-2", "forte-1", "forte-enterprise-1")
QUBITS = {"simulator": 29, "qpu.forte-1": 36, "qpu.forte-enterprise-1": 36, "qpu.next-1": 5}
MAX_CIRCUITS, MAX_GATES, MAX_BODY, MAX_SHOTS = 5_000, 150_000, 10 * 1000 * 1000, 1_000_000

_JOB = frozenset(
    {"name", "metadata", "shots", "backend", "session_id", "settings", "dry_run", "noise", "type", "input"}
)
_GATE = frozenset({"gate", "target", "targets", "control", "controls", "rotation"})


class Rejected(Exception):
    """A 400 with its message. ``key``: of the payload."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _need(ok: bool, key: str, message: str) -> None:
    if not ok:
        raise Rejected(key, message)


def _keys(document: Any, allowed: frozenset[str], key: str) -> None:
    _need(isinstance(document, dict), key, "must be an object")
    more = sorted(set(document) - allowed)
    _need(not more, key, f"unknown properties {more}")


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def check_job(job: Any) -> None:
    """Refuse what the schema or the limits do not allow.

    Raises:
        Rejected
    """
    _keys(job, _JOB, "payload")
    _need(job.get("backend") in QUBITS, "backend", f"must be one of {sorted(QUBITS)}")
    _need(job.get("type") in ("ionq.circuit.v1", "ionq.multi-circuit.v1"), "type", "is not a job type of this fake")
    shots = job.get("shots", 100)
    _need(_whole(shots, 1, MAX_SHOTS), "shots", f"must be 1 to {MAX_SHOTS}")
    metadata = job.get("metadata", {})
    _need(isinstance(metadata, dict), "metadata", "must be an object")
    _need(all(isinstance(v, str) for v in metadata.values()), "metadata", "values must be strings")
    simulated = job["backend"] == "simulator"
    if "noise" in job:
        _keys(job["noise"], frozenset({"model", "seed"}), "noise")
        _need(simulated, "noise", "is for the simulator")
        _need(job["noise"].get("model") in NOISE, "noise.model", f"must be one of {NOISE}")
        _need(_whole(job["noise"].get("seed", 0), -(2**31), 2**31 - 1), "noise.seed", "must be an int32")
    if "settings" in job:
        _keys(job["settings"], frozenset({"error_mitigation"}), "settings")
        mitigation = job["settings"].get("error_mitigation", {})
        _keys(mitigation, frozenset({"debiasing", "symmetry_verification"}), "settings.error_mitigation")
        debiasing = mitigation.get("debiasing", False)
        _need(isinstance(debiasing, bool), "settings.error_mitigation.debiasing", "must be a boolean")
        _need(not debiasing or shots >= 500, "settings", "to turn on debiasing, you must request at least 500 shots")
    _check_input(job.get("input"), job["type"], QUBITS[job["backend"]])


def _check_input(content: Any, kind: str, most: int) -> None:
    several = kind == "ionq.multi-circuit.v1"
    body = "circuits" if several else "circuit"
    _keys(content, frozenset({"gateset", "qubits", body}), "input")
    _need(content.get("gateset") == "qis", "input.gateset", "must be qis in this fake")
    _need(_whole(content.get("qubits"), 1, most), "input.qubits", f"must be 1 to {most}")
    _need(isinstance(content.get(body), list), f"input.{body}", "must be a list")
    circuits = content[body] if several else [{"circuit": content[body]}]
    _need(1 <= len(circuits) <= MAX_CIRCUITS, "input.circuits", f"must be 1 to {MAX_CIRCUITS} circuits")
    total = 0
    for circuit in circuits:
        _keys(circuit, frozenset({"name", "circuit", "qubits", "registers", "gateset"}), "input.circuits")
        _need(isinstance(circuit.get("name", ""), str), "input.circuits.name", "must be a string")
        _need(isinstance(circuit.get("circuit"), list), "input.circuits.circuit", "must be a list")
        total += len(circuit["circuit"])
        for gate in circuit["circuit"]:
            _check_gate(gate, content["qubits"])
    _need(total <= MAX_GATES, "input", f"more than {MAX_GATES} gates")


def _check_gate(gate: Any, qubits: int) -> None:
    _keys(gate, _GATE, "gate")
    name = gate.get("gate")
    _need(name in ONE | TWO | {"cnot"}, "gate", f"unsupported gate {name!r}")
    _need(("target" in gate) != ("targets" in gate), "gate", "wants either target or targets")
    _need(not ("control" in gate and "controls" in gate), "gate", "wants either control or controls")
    targets = gate["targets"] if "targets" in gate else [gate["target"]]
    controls = gate["controls"] if "controls" in gate else [gate["control"]] if "control" in gate else []
    places = [*targets, *controls]
    _need(all(_whole(q, 0, qubits - 1) for q in places), "gate", f"qubits must be 0 to {qubits - 1}")
    _need(len(set(places)) == len(places), "gate", "qubits must differ")
    _need(len(targets) == (2 if name in TWO else 1), "gate", f"{name} has the wrong number of targets")
    _need(name != "cnot" or len(controls) == 1, "gate", "cnot wants one control")
    turned = "rotation" in gate
    _need(turned == (name in TURNED), "gate", f"{name} {'wants a' if name in TURNED else 'takes no'} rotation")
    angle = gate.get("rotation", 0.0)
    finite = isinstance(angle, (int, float)) and not isinstance(angle, bool) and math.isfinite(angle)
    _need(finite, "gate.rotation", "must be a number")
