"""How the fake's jobs move on and what they give (imports the fake's own simulator)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_ionq.testing.simulator import distribution, qubits_of
from qimg_ionq.testing.views import now

if TYPE_CHECKING:
    from qimg_ionq.testing.server import FakeIonQ, Json

NOISE = 0.02
"""Share of the uniform distribution in what a noisy device gives."""

_OVER = ("completed", "failed", "canceled")


def advance(fake: FakeIonQ, job: Json) -> None:
    """One question has been asked."""
    if job["status"] in _OVER:
        return
    if job["left"] > 0:
        job["left"] -= 1
        job["status"] = "started" if job["status"] == "ready" else "ready"
        return
    job["ended"] = now()
    if job["failure"] is not None:
        job["status"] = "failed"
        return
    job["status"] = "completed"
    for child in job["child_ids"]:
        fake.children[child] |= {"status": "completed", "ended": job["ended"]}
    result(fake, job)  # drawn once; every later question gets the same


def result(fake: FakeIonQ, job: Json) -> dict[str, Any]:
    """Probabilities by decimal outcome; by circuit for a job of several."""
    if "probabilities" not in job:
        if job["child_ids"]:
            ids = job["child_ids"] if fake.order == "ours" else _mixed(job["child_ids"])
            job["probabilities"] = {i: result(fake, fake.children[i]) for i in ids}
        else:
            job["probabilities"] = _run(fake, job)
    found: dict[str, Any] = job["probabilities"]
    return found


def _mixed(ids: list[str]) -> list[str]:
    return [*ids[1:], ids[0]]


def _run(fake: FakeIonQ, job: Json) -> dict[str, float]:
    gates, noise = job["input"]["circuit"], job.get("noise") or {}
    qubits = job["input"].get("qubits") or 1 + max(max((*qubits_of(g)[0], *qubits_of(g)[1])) for g in gates)
    p = distribution(gates, int(qubits))
    if job["backend"] != "simulator" or noise.get("model", "ideal") != "ideal":
        p = (1 - NOISE) * p + NOISE / len(p)
        rng = np.random.default_rng(noise["seed"]) if noise.get("seed") is not None else fake.rng
        shots = int(job.get("shots", 100))
        p = rng.multinomial(shots, p / p.sum()) / shots
    if fake.invented:
        p = p + 0.37 / int(job.get("shots", 100)) * np.eye(len(p))[0]
        p = p / p.sum()
    return {str(k): float(v) for k, v in enumerate(p) if v > 1e-16}
