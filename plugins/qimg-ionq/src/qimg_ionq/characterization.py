"""IonQ's characterization of a QPU in the form that all providers share (imports the core's calibration).

IonQ publishes medians over the machine and no figures by qubit, times in seconds, and one number for state
preparation and measurement together, which is taken as the read-out error both ways.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qimg_core.calibration import Calibration, GateFigures, WireFigures
from qimg_ionq.answers import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.job import JSON


def calibration_data(document: Mapping[str, Any], backend: Mapping[str, Any], device: str) -> dict[str, JSON]:
    """Data of a `Snapshot`.

    Args:
        document: a ``Characterization``; what is missing is left out.
        backend: the ``Backend`` that named it.
        device: its name at IonQ.
    """
    fidelity, timing = _section(document, "fidelity"), _section(document, "timing")
    spam = _infidelity(fidelity.get("spam"))
    wire = WireFigures(
        t1_us=_scaled(timing.get("t1"), 10**6),
        t2_us=_scaled(timing.get("t2"), 10**6),
        readout=None if spam is None else (spam, spam),
    )
    gates = {
        kind: GateFigures(error=_infidelity(fidelity.get(kind)), duration_ns=_scaled(timing.get(kind), 10**9))
        for kind in ("1q", "2q")
        if kind in fidelity or kind in timing
    }
    date = document.get("date")
    figures = Calibration(
        device=device,
        average_wire=wire,
        average_gates=gates,
        updated_at=date if isinstance(date, str) else None,
    )
    out = figures.to_json()
    out["characterization"] = str(document["id"]) if "id" in document else None
    out["status"] = str(backend.get("status", ""))
    out["degraded"] = bool(backend.get("degraded", False))
    return out


def _section(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _infidelity(entry: object) -> float | None:
    found = number(entry.get("median", entry.get("mean"))) if isinstance(entry, dict) else None
    return float(1 - found) if found is not None and 0 <= found <= 1 else None


def _scaled(value: object, factor: int) -> float | None:
    found = number(value)
    return float(found * Decimal(factor)) if found is not None and found > 0 else None
