"""What a device offers, read from ``GetDevice`` (imports qimg_core, no SDK).

The properties document is read as JSON, field by field, and not through the SDK's schema classes: those refuse whole
documents when AWS adds a field of a new kind.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Any

from qimg_braket.calibration import calibration_of
from qimg_braket.qasm import gates_of
from qimg_braket.tasks import ProgramSets, sizes
from qimg_core.capabilities import Billing, Capabilities, DeviceKind, Idempotency, MeasurementKind
from qimg_core.chunks import place
from qimg_core.errors import ConfigurationError, ProtocolError
from qimg_core.job import Snapshot
from qimg_core.settings import settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.execution import ExecutionRequest, Plan

PROGRAMS, JOBS = 64, 8
"""Most tasks of one job where a device has no program sets, and most jobs that wait at once."""


def is_qpu(answer: Mapping[str, Any]) -> bool:
    """Quantum hardware, or a managed simulator."""
    return bool(answer.get("deviceType") == "QPU")


def action_of(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The device's ``action`` properties.

    Raises:
        ConfigurationError: it runs no OpenQASM programs.
    """
    action: Mapping[str, Any] = answer["deviceCapabilities"].get("action") or {}
    if "braket.ir.openqasm.program" not in action:
        raise ConfigurationError(f"{name} runs no gate circuits: it offers {', '.join(action) or 'nothing'}")
    return action


def capabilities_of(answer: Mapping[str, Any], name: str) -> Capabilities:
    """The device's promise.

    Raises:
        ConfigurationError: it is not a gate device.
        ProtocolError: its properties lack something that every gate device has.
    """
    action, document = action_of(answer, name), answer["deviceCapabilities"]
    try:
        low, high = (int(n) for n in document["service"]["shotsRange"])
        wires = int(document["paradigm"]["qubitCount"])
        gates = gates_of(action["braket.ir.openqasm.program"]["supportedOperations"])
    except (KeyError, TypeError, ValueError) as cause:
        raise ProtocolError(f"the properties of {name} lack {cause}") from cause
    return Capabilities(
        kind=DeviceKind.QPU if is_qpu(answer) else DeviceKind.SIMULATOR,
        max_wires=wires,
        gates=gates,
        measurements=frozenset(MeasurementKind) - {MeasurementKind.STATE},
        analytic=False,
        shots=(max(1, low), high),
        max_rows=PROGRAMS,
        max_in_flight=JOBS,
        remote=True,
        cancellable=True,
        resumable=True,
        idempotency=Idempotency.TOKEN,
        calibrated=is_qpu(answer),
        billing=Billing.METERED,
    )


def rows_per_job(request: ExecutionRequest, sets: ProgramSets | None) -> int:
    """As many rows as fit one program set, or `PROGRAMS` tasks: what one job may hold."""
    settings = len(settings_for(request.measurement))
    most = PROGRAMS
    if sets is not None:
        most = min(sets.executables, sets.most_shots // (request.shots or 1)) or PROGRAMS
    return max(1, most // settings)


def fees(plan: Plan, sets: ProgramSets | None) -> tuple[int, int]:
    """(tasks, shots) that a plan makes, all jobs together."""
    settings = len(settings_for(plan.lowered.measurement))
    tasks = total = 0
    for job in range(plan.n_jobs):
        start, stop, shots = place(plan, job)
        programs, each = (stop - start) * settings, shots or 1
        chosen = sizes(programs, each, sets)
        tasks += programs if chosen is None else len(chosen)
        total += programs * each
    return tasks, total


def snapshot_of(answer: Mapping[str, Any], text: bytes, device: str) -> Snapshot:
    """Calibration where the device has one, its state, and the digest of the whole document."""
    document = answer["deviceCapabilities"]
    data = calibration_of(document) if is_qpu(answer) else {}
    updated = (document.get("service") or {}).get("updatedAt")
    data |= {
        "status": str(answer.get("deviceStatus")),
        "properties_updated_at": None if updated is None else str(updated),
        "document": "sha256:" + hashlib.sha256(text).hexdigest(),
    }
    return Snapshot(device=device, taken_at=dt.datetime.now(dt.UTC), data=data)
