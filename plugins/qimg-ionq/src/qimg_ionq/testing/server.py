"""`FakeIonQ`: IonQ's interface v0.4 on a loopback port, with faults (imports the core's fake server).

It checks requests strictly, computes with a simulator of its own, samples where IonQ samples, and answers in
either of the two forms that v0.4 has had. The answers follow the OpenAPI document that IonQ publishes with its
Python package ionq-core (0.2.0, dated 1 October 2026).
"""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs

import numpy as np
from attrs import evolve

from qimg_core.testing.server import FakeServer, Request, Response
from qimg_ionq.testing import machine, views
from qimg_ionq.testing.rules import MAX_BODY, QUBITS, Rejected, check_job

if TYPE_CHECKING:
    from qimg_core.testing.faults import Faults
    from qimg_core.testing.server import Stage

Json = dict[str, Any]

_JOB = re.compile(r"/v0\.4/jobs/([0-9a-f-]{36})")


class FakeIonQ(FakeServer):
    """IonQ on this machine, while the ``with`` block runs.

    Args:
        faults: what goes wrong, and where.
        key: the only API key that it accepts.
        style: of results: "new" names artefacts, "old" gives URLs.
        strict: refuse requests that the published schema does not allow; else only those that cannot run, as the
            live service does.
        polls: questions about a job's state before it is done.
        order: of the circuits of a job of several: "ours"; "mixed" names them in one order and gives results in
            another; "nameless" does so without the names that tell them apart.
        minimum: least price of a job in USD.
        invented: answer with probabilities that no counting can give.
        seed: of its samples.

    Attributes:
        jobs: by id, without the circuits of jobs of several.
        children: those circuits, by id.
    """

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        key: str = "fake-ionq-key",
        style: Literal["new", "old"] = "new",
        strict: bool = True,
        polls: int = 1,
        order: Literal["ours", "mixed", "nameless"] = "ours",
        minimum: float | None = None,
        invented: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(faults)
        self.key, self.style, self.strict, self.polls = key, style, strict, polls
        self.order, self.minimum, self.invented = order, minimum, invented
        self.rng = np.random.default_rng(seed)
        self.jobs: dict[str, Json] = {}
        self.children: dict[str, Json] = {}
        self.generation = 0
        self._next_failure: str | None = None
        self._next_polls: int | None = None

    @property
    def base(self) -> str:
        """What ``QIMG_IONQ_URL`` is set to."""
        return f"{self.url}/v0.4"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead the driver here."""
        return {"QIMG_IONQ_URL": self.base, "QIMG_IONQ_API_KEY": self.key}

    def fail_next(self, reason: str = "the ions were warm") -> None:
        """The next job ends as failed."""
        self._next_failure = reason

    def keep_next_waiting(self, polls: int) -> None:
        """The next job is done after so many questions."""
        self._next_polls = polls

    def recalibrate(self) -> None:
        self.generation += 1

    def unknown_state(self, response: Response) -> Response:
        return evolve(response, body=json.dumps({**json.loads(response.body), "status": "daydreaming"}).encode())

    def stage(self, request: Request) -> Stage:
        if request.method == "POST" and request.path == "/v0.4/jobs":
            return "submit"
        found = _JOB.match(request.path)
        if request.method != "GET" or found is None:
            return "other"
        tail = request.path[found.end() :]
        return "poll" if not tail else "results" if tail.startswith(("/results/", "/artifacts/")) else "other"

    def handle(self, request: Request) -> Response:
        query = {k: v[-1] for k, v in parse_qs(request.query).items()}
        public = request.method == "GET" and request.path.startswith("/v0.4/backends")
        if not public and request.headers.get("authorization") != f"apiKey {self.key}":
            return _error(401, "Unauthorized Error", "Invalid key provided.")
        with self.lock:
            try:
                return self._route(request, query)
            except Rejected as refusal:
                validation = {"keys": [refusal.key], "source": "payload"}
                return _error(400, "Bad Request", f"{refusal.key} {refusal}", validation=validation)

    def _route(self, request: Request, query: dict[str, str]) -> Response:
        method, path = request.method, request.path.removeprefix("/v0.4")
        if (method, path) == ("POST", "/jobs"):
            return self._create(request)
        if (method, path) == ("GET", "/jobs"):
            return self._listed(query)
        if (method, path) == ("GET", "/jobs/estimate"):
            return self._estimate(query)
        if method == "GET" and path.startswith("/backends"):
            return self._backend(path)
        found = _JOB.match(request.path)
        job = None if found is None else self.jobs.get(found[1]) or self.children.get(found[1])
        if found is None or job is None:
            return _error(404, "Not Found Error", "Resource not found.")
        return self._about(method, job, request.path[found.end() :])

    def _create(self, request: Request) -> Response:
        if len(request.body) > MAX_BODY:
            return _error(413, "Payload Too Large", "The request body may not exceed 10MB")
        try:
            payload = request.json()
        except ValueError:
            return _error(400, "Bad Request", "the body is no JSON")
        if self.strict:
            check_job(payload)
        job = {**payload, "id": str(uuid.uuid4()), "at": views.now(), "status": "submitted", "left": self.polls}
        if self._next_polls is not None:
            job["left"], self._next_polls = self._next_polls, None
        job["failure"], self._next_failure = self._next_failure, None
        self.jobs[job["id"]] = job
        job["child_ids"] = []
        for circuit in payload["input"].get("circuits", ()):
            child = {**job, "id": str(uuid.uuid4()), "parent": job["id"], "child_ids": [], "type": "ionq.circuit.v1"}
            child["name"] = None if self.order == "nameless" else circuit.get("name")
            child["input"] = {**payload["input"], "circuit": circuit["circuit"]}
            child["input"].pop("circuits")
            self.children[child["id"]] = child
            job["child_ids"].append(child["id"])
        return Response.json({"id": job["id"], "status": "submitted", "session_id": None}, 201)

    def _listed(self, query: dict[str, str]) -> Response:
        limit = int(query.get("limit", "25"))
        if self.strict and not 1 <= limit <= 25:
            raise Rejected("limit", "must be 1 to 25")
        newest = [*reversed([*self.children.values()]), *reversed([*self.jobs.values()])]
        chosen = [
            j
            for j in sorted(newest, key=lambda j: str(j["at"]), reverse=True)
            if query.get("target", j["backend"]) == j["backend"]
            and query.get("status", j["status"]) == j["status"]
            and ("parent_job_id" not in query or j.get("parent") == query["parent_job_id"])
        ]
        start = int(query.get("next", "0"))
        page = chosen[start : start + limit]
        following = str(start + limit) if start + limit < len(chosen) else None
        return Response.json({"jobs": [views.listed(self, j) for j in page], "next": following})

    def _estimate(self, query: dict[str, str]) -> Response:
        if query.get("backend") not in QUBITS or not 1 <= int(query.get("shots", "1000")) <= 1_000_000:
            raise Rejected("backend", "or shots is not allowed")
        return Response.json(views.estimate(self, query))

    def _backend(self, path: str) -> Response:
        if path == "/backends":
            return Response.json([views.backend(self, name) for name in QUBITS])
        _, _, name, *tail = path.split("/")
        if name not in QUBITS:
            return _error(404, "Not Found Error", "Resource not found.")
        if not tail:
            return Response.json(views.backend(self, name))
        found = views.characterization(self, name)
        if tail == ["characterizations"]:
            return Response.json({"characterizations": [found], "pages": 0})
        return (
            Response.json(found) if tail == ["characterizations", found["id"]] else _error(404, "Not Found Error", "")
        )

    def _about(self, method: str, job: Json, tail: str) -> Response:
        if (method, tail) == ("GET", ""):
            machine.advance(self, job)
            return Response.json(views.job(self, job))
        if (method, tail) == ("PUT", "/status/cancel"):
            job["status"] = "canceled"  # a completed job too, as IonQ's clients report of v0.4
            return Response.json({"id": job["id"], "status": "canceled"})
        if (method, tail) == ("DELETE", ""):
            self.jobs.pop(job["id"], None)
            return Response.json({"id": job["id"], "status": "deleted"})
        if (method, tail) == ("GET", "/cost"):
            return Response.json(views.cost(self, job))
        if method == "GET" and job["status"] == "completed":
            result = machine.result(self, job)
            several = job["type"] == "ionq.multi-circuit.v1"
            older = "/results/probabilities/aggregated" if several else "/results/probabilities"
            if tail == older or (self.style == "new" and tail == f"/artifacts/{views.ARTEFACT}"):
                return Response.json(result)
        return _error(404, "Not Found Error", "Resource not found.")


def _error(status: int, error: str, message: str, **more: Any) -> Response:
    return Response.json({"statusCode": status, "error": error, "message": message, **more}, status)
