"""Properties documents of three small made-up devices, in Braket's own schemas (standard library; nothing of qimg).

Their ARNs are those of real devices, so that short names and price lists work; size, couplings and every figure are
invented. The SDK's ``braket.device_schema`` reads them, which a test checks.
"""

from __future__ import annotations

from typing import Any

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"

PRICES = """\
"FormatVersion","v1.0"
"Disclaimer","Made-up prices of a fake server."
"Publication Date","2026-11-01T00:00:00Z"
"Version","20261101000000"
"OfferCode","AmazonBraket"
"SKU","Region Code","DeviceName","Device Name","Product Family","PricePerUnit","Currency","Unit","Version","operation"
"A","eu-north-1","Garnet","","Quantum Task","0.30000","USD","Quantum Task","",""
"B","eu-north-1","Garnet","","Quantum Task-Shot","0.00145","USD","Shot","",""
"C","us-east-1","Forte-1","","Quantum Task","0.30000","USD","Quantum Task","",""
"D","us-east-1","Forte-1","","Quantum Task-Shot","0.08000","USD","Shot","",""
"E","us-east-1","","","Simulator Task","0.075","USD","minutes","SV1","CompleteTask"
"""

_BOTH = ["x", "y", "z", "h", "rx", "ry", "rz", "cnot", "s", "si", "t", "ti", "v", "vi", "swap", "xx", "yy", "zz", "i"]
_OPERATIONS = {
    SV1: [*_BOTH, "cz", "ccnot", "phaseshift", "cphaseshift", "iswap", "unitary"],
    GARNET: [*_BOTH, "cz", "ccnot", "phaseshift", "prx"],
    FORTE: _BOTH,
}
_SHOTS = {SV1: (0, 100_000), GARNET: (1, 20_000), FORTE: (100, 5_000)}
_QUBITS = {SV1: 34, GARNET: 5, FORTE: 6}
_COUPLINGS = ((1, 2), (2, 3), (2, 4), (4, 5))


def device(arn: str, revision: int = 0) -> dict[str, Any]:
    """``deviceCapabilities`` of one of the three devices.

    Args:
        arn: `SV1`, `GARNET` or `FORTE`.
        revision: grows with every calibration, and changes some figures.
    """
    out: dict[str, Any] = {
        "service": _service(arn, revision),
        "action": _action(arn),
        "deviceParameters": {},
    }
    if arn == SV1:
        out["braketSchemaHeader"] = _header("device_schema.simulators.gate_model_simulator_device_capabilities")
        header = _header("device_schema.simulators.gate_model_simulator_paradigm_properties")
        out["paradigm"] = {"braketSchemaHeader": header, "qubitCount": _QUBITS[arn]}
        return out
    native = ["cz", "prx"] if arn == GARNET else ["gpi", "gpi2", "zz"]
    graph: dict[str, list[str]] = {}
    for a, b in _COUPLINGS:
        graph.setdefault(str(a), []).append(str(b))
        graph.setdefault(str(b), []).append(str(a))
    out["paradigm"] = {
        "braketSchemaHeader": _header("device_schema.gate_model_qpu_paradigm_properties"),
        "qubitCount": _QUBITS[arn],
        "nativeGateSet": native,
        "connectivity": {"fullyConnected": arn == FORTE, "connectivityGraph": graph if arn == GARNET else {}},
    }
    if arn == GARNET:
        out["braketSchemaHeader"] = _header("device_schema.iqm.iqm_device_capabilities")
        out["standardized"] = _standardized(revision)
    else:
        out["braketSchemaHeader"] = _header("device_schema.ionq.ionq_device_capabilities")
        out["provider"] = {
            "braketSchemaHeader": _header("device_schema.ionq.ionq_provider_properties"),
            "fidelity": {"1Q": {"mean": 0.9998}, "2Q": {"mean": 0.994 - 0.001 * revision}, "spam": {"mean": 0.993}},
            "timing": {"T1": 100.0, "T2": 1.0, "1Q": 0.00013, "2Q": 0.00097, "readout": 0.00015, "reset": 2e-05},
        }
    return out


def emulator_document(*, perfect: bool = False) -> dict[str, Any]:
    """The made-up Garnet for ``braket:emulator:FILE.json``.

    Args:
        perfect: without any errors, for tests of the compiler.
    """
    out = device(GARNET)
    if perfect:
        for found in out["standardized"]["oneQubitProperties"].values():
            for item in found["oneQubitFidelity"]:
                item["fidelity"] = 1.0
        for found in out["standardized"]["twoQubitProperties"].values():
            found["twoQubitGateFidelity"][0]["fidelity"] = 1.0
    return out


def _header(name: str) -> dict[str, str]:
    return {"name": f"braket.{name}", "version": "1"}


def _service(arn: str, revision: int) -> dict[str, Any]:
    return {
        "braketSchemaHeader": _header("device_schema.device_service_properties"),
        "executionWindows": [{"executionDay": "Everyday", "windowStartHour": "00:00", "windowEndHour": "23:59:59"}],
        "shotsRange": list(_SHOTS[arn]),
        "updatedAt": f"2026-11-01T{revision:02d}:00:00",
    }


def _action(arn: str) -> dict[str, Any]:
    low, high = _SHOTS[arn]
    results = [{"name": "Probability", "observables": None, "minShots": max(1, low), "maxShots": high}]
    out: dict[str, Any] = {
        "braket.ir.openqasm.program": {
            "actionType": "braket.ir.openqasm.program",
            "version": ["1"],
            "supportedOperations": list(_OPERATIONS[arn]),
            "supportedResultTypes": results,
            "supportPhysicalQubits": arn == GARNET,
        }
    }
    if arn == GARNET:
        out["braket.ir.openqasm.program_set"] = {
            "actionType": "braket.ir.openqasm.program_set",
            "version": ["1"],
            "maximumExecutables": 6,
            "maximumTotalShots": 60_000,
        }
    return out


def _standardized(revision: int) -> dict[str, Any]:
    one = {
        str(q): {
            "T1": {"value": 3.1e-05 + q * 1e-06, "standardError": None, "unit": "S"},
            "T2": {"value": 1.2e-05, "standardError": None, "unit": "S"},
            "oneQubitFidelity": [
                {"fidelityType": {"name": "RANDOMIZED_BENCHMARKING"}, "fidelity": 0.999, "standardError": None},
                {"fidelityType": {"name": "READOUT"}, "fidelity": 0.97 - 0.01 * revision, "standardError": None},
            ],
        }
        for q in range(1, _QUBITS[GARNET] + 1)
    }
    kind = {"name": "INTERLEAVED_RANDOMIZED_BENCHMARKING"}
    two = {
        f"{a}-{b}": {"twoQubitGateFidelity": [{"gateName": "CZ", "fidelity": 0.99, "fidelityType": kind}]}
        for a, b in _COUPLINGS
    }
    return {
        "braketSchemaHeader": _header("device_schema.standardized_gate_model_qpu_device_properties"),
        "oneQubitProperties": one,
        "twoQubitProperties": two,
    }
