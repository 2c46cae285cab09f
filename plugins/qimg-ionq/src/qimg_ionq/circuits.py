"""Circuits and jobs in IonQ's words: a strict writer of ``ionq.circuit.v1`` and ``ionq.multi-circuit.v1``.

Gates are those of IonQ's ``qis`` set (API reference v0.4, ``QisGate``). There, as here, rotations are
exp(-i angle G / 2) with the angle in radians, ``v`` is the square root of X, and qubit k is our wire k.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qimg_core.capabilities import Mismatch
from qimg_core.circuit.gates import GateName
from qimg_core.errors import CapabilityError
from qimg_core.settings import rotated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_core.circuit.ir import Circuit, Gate
    from qimg_core.settings import Setting
    from qimg_ionq.devices import Device

Json = dict[str, object]

G = GateName
NAMES = {
    G.X: "x",
    G.Y: "y",
    G.Z: "z",
    G.H: "h",
    G.S: "s",
    G.SDG: "si",
    G.T: "t",
    G.TDG: "ti",
    G.SX: "v",
    G.RX: "rx",
    G.RY: "ry",
    G.RZ: "rz",
    G.CX: "cnot",
    G.SWAP: "swap",
    G.RXX: "xx",
    G.RYY: "yy",
    G.RZZ: "zz",
}
"""The gates that IonQ has under a name of its own; the core writes the others with these."""

MAX_CIRCUITS = 5_000
MAX_GATES = 150_000
MAX_BODY = 10_000_000
"""Of one job: circuits, gates over all of them, bytes of the request (API reference, ``POST /jobs``)."""

_ENVELOPE = 64 * 1024  # bytes kept for everything but the circuits


def gate_json(gate: Gate) -> Json:
    """One gate with its angle bound."""
    out: Json = {"gate": NAMES[gate.name]}
    if gate.name is G.CX:
        out |= {"control": gate.wires[0], "target": gate.wires[1]}
    elif len(gate.wires) == 2:
        out["targets"] = list(gate.wires)
    else:
        out["target"] = gate.wires[0]
    if gate.angles:
        out["rotation"] = gate.angle.offset
    return out


def job_input(circuits: Sequence[Circuit]) -> tuple[str, Json]:
    """Type and ``input`` of a job: one circuit as it is, several as one job with a name for each, "0", "1", ..."""
    lists = [[gate_json(g) for g in c.gates] for c in circuits]
    head: Json = {"gateset": "qis", "qubits": circuits[0].n_wires}
    if len(lists) == 1:
        return "ionq.circuit.v1", {**head, "circuit": lists[0]}
    named = [{"name": str(i), "circuit": gates} for i, gates in enumerate(lists)]
    return "ionq.multi-circuit.v1", {**head, "circuits": named}


def job_payload(
    device: Device, kind: str, content: Json, metadata: Mapping[str, str], shots: int | None, seed: int | None
) -> Json:
    """The body of ``POST /jobs``. What IonQ would choose for us is said: noise model, debiasing, shots.

    Args:
        device: where.
        kind: of `job_input`.
        content: likewise.
        metadata: strings that come back with the job.
        shots: of each circuit; not sent to the ideal simulator, which counts none.
        seed: for the simulator's noise.
    """
    out: Json = {"type": kind, "backend": device.target, "metadata": dict(metadata), "input": content}
    if device.noise is not None:
        noise: Json = {"model": device.noise}
        if not device.ideal and seed is not None:
            noise["seed"] = seed % 2**31
        out["noise"] = noise
    else:
        out["settings"] = {"error_mitigation": {"debiasing": bool(device.debiasing)}}
    if not device.ideal:
        out["shots"] = shots
    return out


def input_text(content: Json) -> bytes:
    """The circuits as they are sent."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def rows_that_fit(device: str, circuit: Circuit, settings: Sequence[Setting]) -> int:
    """Most rows of one job, by IonQ's limits of circuits, gates and bytes.

    Args:
        device: its name, for the error.
        circuit: of the request, in IonQ's gates.
        settings: each row becomes one circuit per setting.

    Raises:
        CapabilityError: not even one row fits.
    """
    gates = [g for s in settings for g in rotated(circuit, s).gates]
    # no gate is longer than {"gate":"zz","targets":[35,34],"rotation":-1.2345678901234567e-16},
    length = sum(68 if g.angles else 42 for g in gates) + 32 * len(settings)
    wanted = {"circuits": (len(settings), MAX_CIRCUITS), "gates": (len(gates), MAX_GATES)}
    wanted["bytes"] = (length, MAX_BODY - _ENVELOPE)
    over = [
        Mismatch(f"{k} of one row", str(w), f"up to {most} in a job") for k, (w, most) in wanted.items() if w > most
    ]
    if over:
        raise CapabilityError(device, over, hint="a smaller circuit, or smaller windows")
    return min(most // max(1, w) for w, most in wanted.values())
