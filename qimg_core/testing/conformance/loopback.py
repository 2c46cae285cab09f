"""A remote provider on a loopback port, for testing the kit and as an example of a fake (floor 8; imports server).

It has habits of real ones: its bit strings have qubit 0 at the right, all qubits are read, a job waits a while,
results are fetched apart from states. `qimg_core.testing.conformance.loopback_driver` is its driver.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from attrs import define, evolve

from qimg_core.circuit.ir import Circuit
from qimg_core.testing.conformance.options import CANARY
from qimg_core.testing.reference import statevector
from qimg_core.testing.server import FakeServer, Request, Response, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.testing.faults import Faults

REASON = "the qubits were cold"


@define
class Job:
    """What the provider keeps of a job."""

    name: str
    key: str
    run: str
    note: Any
    results: list[list[dict[str, Any]]]
    state: str = "queued"
    waits: int = 0
    fails: bool = False


class LoopbackServer(FakeServer):
    """The provider.

    Args:
        faults: what goes wrong, and where.
        tokens: the same key gives the same job, however often it is sent.
        waits: how often a new job answers that it is not done.

    Attributes:
        jobs: in order of their acceptance.
        fails: the next job will fail.
        calibration: number of the calibration.
    """

    def __init__(self, faults: Faults | None = None, *, tokens: bool = False, waits: int = 1) -> None:
        super().__init__(faults)
        self.tokens, self.waits = tokens, waits
        self.jobs: list[Job] = []
        self.fails = False
        self.calibration = 0

    def stage(self, request: Request) -> Stage:
        if request.path == "/jobs":
            return "submit" if request.method == "POST" else "other"
        if request.method == "GET" and request.path.startswith("/jobs/"):
            return "results" if request.path.endswith("/results") else "poll"
        return "other"

    def recalibrate(self) -> None:
        self.calibration += 1

    def unknown_state(self, response: Response) -> Response:
        return evolve(response, body=json.dumps({**json.loads(response.body), "state": "daydreaming"}).encode())

    def handle(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {CANARY}":
            return Response.json({"error": "unauthorized", "message": "a key is needed"}, 401)
        with self.lock:
            parts = request.path.strip("/").split("/")
            if parts == ["calibration"]:
                return Response.json({"readout_error": f"0.0{self.calibration + 1}", "qubits": 8})
            if parts == ["jobs"]:
                return self._submit(request.json()) if request.method == "POST" else self._list(request.query)
            job = next((j for j in self.jobs if j.name == parts[1]), None)
            if job is None:
                return Response.json({"error": "not found", "message": f"no job {parts[1]}"}, 404)
            if parts[2:] == ["cancel"]:
                return self._cancel(job)
            return self._results(job) if parts[2:] == ["results"] else self._state(job)

    def _submit(self, document: Mapping[str, Any]) -> Response:
        found = next((j for j in self.jobs if self.tokens and j.key == document["key"]), None)
        if found is None:
            found = Job(
                f"job-{len(self.jobs):06}", document["key"], document["run"], document["note"], _measured(document)
            )
            found.waits, found.fails, self.fails = self.waits, self.fails, False
            self.jobs.append(found)
        return Response.json({"id": found.name, "state": found.state}, 201)

    def _list(self, query: str) -> Response:
        wanted = parse_qs(query).get("key", [""])[0]
        return Response.json({"jobs": [{"id": j.name, "note": j.note} for j in self.jobs if j.key == wanted]})

    @staticmethod
    def _state(job: Job) -> Response:
        if job.state in ("queued", "running"):
            job.waits -= 1
            job.state = "running" if job.waits >= 0 else "failed" if job.fails else "done"
        detail = REASON if job.state == "failed" else ""
        return Response.json({"id": job.name, "state": job.state, "detail": detail, "cost_usd": "0.01"})

    @staticmethod
    def _results(job: Job) -> Response:
        if job.state != "done":
            return Response.json({"error": "conflict", "message": f"the job is {job.state}"}, 409)
        return Response.json({"id": job.name, "results": job.results})

    @staticmethod
    def _cancel(job: Job) -> Response:
        if job.state not in ("queued", "running"):
            return Response.json({"error": "conflict", "message": f"the job is {job.state}"}, 409)
        job.state = "cancelled"
        return Response.json({"id": job.name, "state": job.state})


def _measured(document: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """Counts or probabilities of each circuit of each row, by strings with qubit 0 at the right."""
    import numpy as np

    rng = np.random.Generator(np.random.PCG64(None if document["seed"] is None else int(document["seed"])))
    out = []
    for row in document["circuits"]:
        measured = []
        for circuit in row:
            ours = Circuit.from_json(circuit)
            p = np.abs(statevector(ours, np.zeros(0))) ** 2
            p /= p.sum()
            numbers = p if document["shots"] is None else rng.multinomial(document["shots"], p)
            names = [format(i, f"0{ours.n_wires}b")[::-1] for i in range(len(p))]
            measured.append({n: v.item() for n, v in zip(names, numbers, strict=True) if v})
        out.append(measured)
    return out
