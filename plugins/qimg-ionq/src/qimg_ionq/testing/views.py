"""The documents that the fake answers with, as IonQ's OpenAPI document has them (imports nothing of qimg)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from qimg_ionq.testing.rules import ONE, QUBITS, TWO

if TYPE_CHECKING:
    from qimg_ionq.testing.server import FakeIonQ, Json

ARTEFACT = "probabilities"
ONE_GATE, TWO_GATE = 0.000_22, 0.000_975
"""Prices in USD of a gate and shot; invented, in IonQ's proportions."""

_GATES = sorted(ONE | TWO | {"cnot"})


def now() -> str:
    """As IonQ writes a moment."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def job(fake: FakeIonQ, job: Json) -> Json:
    """A job, with its results where it has some."""
    several = job["type"] == "ionq.multi-circuit.v1"
    done = job["status"] == "completed"
    shots = int(job.get("shots", 100))
    content = job["input"]
    out = {
        "id": job["id"],
        "status": job["status"],
        "type": job["type"],
        "backend": job["backend"],
        "dry_run": False,
        "submitter_id": "64b03577072d45001c85e9c4",
        "project_id": None,
        "parent_job_id": job.get("parent"),
        "session_id": None,
        "metadata": job.get("metadata"),
        "name": job.get("name"),
        "submitted_at": job["at"],
        "started_at": job.get("ended"),
        "completed_at": job.get("ended"),
        "predicted_wait_time_ms": 1000,
        "predicted_execution_duration_ms": 10,
        "execution_duration_ms": 12 if done else None,
        "failure": {"code": "QuantumComputerError", "message": job["failure"]} if job["status"] == "failed" else None,
        "output": {},
        "settings": job.get("settings", {}),
        "stats": {"qubits": int(content.get("qubits", 1)), "circuits": len(job["child_ids"]) or 1},
        "results": _results(fake, job["id"], several) if done else None,
        "child_job_ids": job["child_ids"] or None,
    }
    if not _ideal(job):
        out["shots"] = shots
    if job["backend"] == "simulator":
        out["noise"] = {k: v for k, v in (job.get("noise") or {"model": "ideal"}).items() if v is not None}
    elif done:
        out["stats"] |= {"billed_quantum_compute_time_us": 5200}
    return out


def listed(fake: FakeIonQ, about: Json) -> Json:
    """A job in a list: without the ids of its circuits."""
    return {k: v for k, v in job(fake, about).items() if k != "child_job_ids"}


def _ideal(job: Json) -> bool:
    model = (job.get("noise") or {}).get("model", "ideal")
    return bool(job["backend"] == "simulator" and model == "ideal")


def _results(fake: FakeIonQ, job: str, several: bool) -> Json:
    if fake.style == "old":
        tail = "/aggregated" if several else ""
        return {"probabilities": {"url": f"/v0.4/jobs/{job}/results/probabilities{tail}"}}
    form = f"ionq.result.probabilities{'-aggregate' if several else ''}.json.v1"
    return {form: {"id": ARTEFACT, "format": form, "media_type": "application/json"}}


def backend(fake: FakeIonQ, name: str) -> Json:
    """A device."""
    out: Json = {
        "backend": name,
        "status": "available",
        "qubits": QUBITS[name],
        "average_queue_time": 0 if name == "simulator" else 3_600_000,
        "last_updated": now(),
        "degraded": False,
        "supported_gates": _GATES,
    }
    if name != "simulator":
        out["characterization_id"] = characterization(fake, name)["id"]
        out["supported_error_mitigations"] = ["debiasing"]
    return out


def characterization(fake: FakeIonQ, name: str) -> Json:
    """Figures of a machine; another id and other figures after `FakeIonQ.recalibrate`."""
    worse = round(0.0011 * fake.generation, 4)
    return {
        "id": f"617a1f8b-59d4-435d-aa33-{fake.generation:012d}",
        "backend": name,
        "date": f"2026-10-{1 + fake.generation:02d}T00:00:00Z",
        "qubits": QUBITS[name],
        "connectivity": [[a, b] for b in range(QUBITS[name]) for a in range(b)],
        "fidelity": {
            "spam": {"median": round(0.9962 - worse, 4)},
            "1q": {"median": 0.9998},
            "2q": {"median": round(0.9931 - worse, 4)},
        },
        "timing": {"readout": 1, "reset": 1, "t1": 100, "t2": 1},
    }


def _price(fake: FakeIonQ, one: int, two: int, shots: int) -> float:
    return max(round(shots * (one * ONE_GATE + two * TWO_GATE), 6), fake.minimum or 0.0)


def estimate(fake: FakeIonQ, query: dict[str, str]) -> Json:
    """What a job of one circuit would cost."""
    one, two, shots = int(query.get("1q_gates", "0")), int(query.get("2q_gates", "0")), int(query.get("shots", "1000"))
    rate: Json = {"sku": "fake", "unit": "gates", "cost_1q_gate": ONE_GATE, "cost_2q_gate": TWO_GATE}
    if fake.minimum is not None:
        rate["job_cost_minimum"] = fake.minimum
    context = {"backend": query["backend"], "organization": "fake", "project": None, "shots": shots}
    return {
        "estimate_context": context,
        "estimated_at": "2026-10-01T00:00:00Z",
        "estimated_unit": "usd",
        "rate_card": {"id": "fake-card-2026", "rates": [rate]},
        "estimated_total_cost": _price(fake, one, two, shots),
        "estimated_execution_time": 1000,
        "current_predicted_queue_time": 5000,
    }


def cost(fake: FakeIonQ, job: Json) -> Json:
    """What a job was billed; nothing for the simulator."""
    out: Json = {"dry_run": False}
    if job["backend"] == "simulator" or job["status"] != "completed":
        return out
    total = sum(
        _price(fake, *_counted(circuit), int(job.get("shots", 100)))
        for circuit in [c["circuit"] for c in job["input"].get("circuits", ())] or [job["input"]["circuit"]]
    )
    value = {"value": round(total, 6), "unit": "usd"}
    return {**out, "estimated_cost": value, "cost": value}


def _counted(circuit: list[Any]) -> tuple[int, int]:
    two = sum(g["gate"] in TWO or g["gate"] == "cnot" for g in circuit)
    return len(circuit) - two, two
