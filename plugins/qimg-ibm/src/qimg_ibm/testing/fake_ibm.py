"""`FakeIBM`: IBM's service on a loopback port, for the vendor's own client (imports qimg_core.testing, machine).

It answers what `qiskit_ibm_runtime` 0.51 asks of IBM Cloud's login, its resource search and catalogue, and of the
quantum service. A fake proves protocol and failure handling, not that a live account works; its results come from
a classical simulator.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from qimg_core.testing.server import FakeServer, Request, Response
from qimg_ibm.testing import cloud
from qimg_ibm.testing.cloud import CRN, KEY
from qimg_ibm.testing.machine import FINAL, SECONDS_OF_A_JOB, FakeJob, Machine, now

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.testing.faults import Faults
    from qimg_core.testing.server import Stage

API = "/api/v1"


def _error(status: int, code: int, message: str) -> Response:
    return Response.json({"errors": [{"code": code, "message": message, "solution": ""}], "trace": "fake"}, status)


class FakeIBM(FakeServer):
    """The service with one instance and one device.

    Args:
        faults: what goes wrong.
        device: its name; ``ibm_manila`` is the SDK's snapshot ``fake_manila``.
        noise: simulate with the device's noise; without it, the distribution is that of the circuit.
        polls: how often a job answers that it is not done.
        seed: of the simulation.
        key: the API key that it accepts.

    Attributes:
        jobs: by id, in the order of their acceptance.
        tokens: how many logins there were.
        usage: of the instance, as ``GET /instances/usage`` answers; tests may change it.
        fails: a reason with which every job ends, or "".
        operational: whether the device takes jobs.
        lifetime: seconds for which a login is good.
    """

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        device: str = "ibm_manila",
        noise: bool = False,
        polls: int = 1,
        seed: int = 7,
        key: str = KEY,
    ) -> None:
        super().__init__(faults)
        self.device, self.polls, self.key = device, polls, key
        self.machine = Machine(device, noise=noise, seed=seed)
        self.jobs: dict[str, FakeJob] = {}
        self.tokens = self._made = 0
        self.calibrations = 0
        self.fails = ""
        self.lifetime = 3600
        self.operational = True
        self.usage: dict[str, Any] = {
            "instance_id": CRN,
            "plan_id": "plan",
            "usage_consumed_seconds": 0,
            "usage_limit_seconds": 600,
            "usage_limit_reached": False,
        }

    # -- how to reach it ---------------------------------------------------------------------------

    @property
    def api(self) -> str:
        """Base address of the service's API."""
        return self.url + API

    def environment(self) -> dict[str, str]:
        """Variables with which the driver and the vendor's client find the fake and nothing else."""
        return {
            "IAM_URL": self.url,
            "GLOBAL_SEARCH_URL": self.url,
            "GLOBAL_CATALOG_URL": self.url + "/catalog",
            "QIMG_IBM_TOKEN": self.key,
            "QIMG_IBM_INSTANCE": CRN,
            "QIMG_IBM_URL": self.api,
        }

    def url_resolver(self, *_: Any) -> str:
        """For ``QiskitRuntimeService(url_resolver=...)``."""
        return self.api

    # -- faults ------------------------------------------------------------------------------------

    def stage(self, request: Request) -> Stage:
        """Submissions, questions about a job's state, and downloads."""
        path = request.path.removeprefix(API)
        if request.method == "POST" and path == "/jobs":
            return "submit"
        if request.method == "GET" and re.fullmatch(r"/jobs/[^/]+", path):
            return "poll"
        if request.method == "GET" and re.fullmatch(r"/jobs/[^/]+/results", path):
            return "results"
        return "other"

    def unknown_state(self, response: Response) -> Response:
        """A word that no documentation has."""
        document = json.loads(response.body)
        document["status"] = document["state"]["status"] = "Levitating"
        return Response.json(document)

    def recalibrate(self) -> None:
        """The device has other numbers from now on."""
        with self.lock:
            self.calibrations += 1
            self.machine.recalibrate(self.calibrations)

    # -- routes ------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """The right answer."""
        path = unquote(request.path)
        if path == "/identity/token":
            return self._login(request)
        if request.headers.get("authorization", "").partition(" ")[0] != "Bearer":
            return _error(401, 1200, "You are not authorized to perform this action.")
        if path == "/v3/resources/search":
            return Response.json({"items": [cloud.instance()], "limit": 100})
        if path.startswith("/catalog/"):
            return Response.json(cloud.plan())
        if not path.startswith(API):
            return _error(404, 1400, f"no route {path}")
        with self.lock:
            return self._service(request, path.removeprefix(API))

    def _login(self, request: Request) -> Response:
        given = parse_qs(request.body.decode()).get("apikey", [""])[0]
        if given != self.key:
            return Response.json(
                {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."}, 400
            )
        self.tokens += 1
        return Response.json(cloud.login(int(time.time()), self.lifetime))

    def _service(self, request: Request, path: str) -> Response:
        if path == "/instances/usage":
            return Response.json(self.usage)
        if path == "/backends":
            return Response.json({"devices": [self._listed()]})
        if match := re.fullmatch(r"/backends/([^/]+)/(configuration|properties|status)", path):
            return self._backend(*match.groups())
        if path == "/jobs":
            return self._create(request) if request.method == "POST" else self._list(request)
        if match := re.fullmatch(r"/jobs/([^/]+)(?:/(\w+))?", path):
            job = self.jobs.get(match[1])
            if job is None:
                return _error(404, 1291, "Job not found.")
            return self._job(request, job, match[2] or "")
        return _error(404, 1400, f"no route {path}")

    def _listed(self) -> dict[str, Any]:
        return {
            "name": self.device,
            "qubits": self.machine.configuration["n_qubits"],
            "status": {"name": "online" if self.operational else "offline", "reason": "available"},
            "queue_length": len([j for j in self.jobs.values() if j.status not in FINAL]),
            "is_simulator": False,
        }

    def _backend(self, name: str, what: str) -> Response:
        if name != self.device:
            return _error(404, 1216, "Backend not found.")
        if what == "status":
            word = "active" if self.operational else "maintenance"
            return Response.json({"state": self.operational, "status": word, "message": word, "length_queue": 3})
        return Response.json(self.machine.configuration if what == "configuration" else self.machine.properties)

    def _create(self, request: Request) -> Response:
        body = request.json()
        try:
            if body["backend"] != self.device or body["program_id"] != "executor":
                return _error(404, 1216, "Backend or program not found.")
            self.machine.check(body["params"])
        except (KeyError, ValueError) as cause:
            return _error(400, 1002, f"Error in the validation process of the job: {str(cause)[:200]}")
        if self.usage["usage_limit_reached"]:
            return _error(409, 1357, "Usage exceeds the limit of the instance.")
        self._made += 1
        job = FakeJob(
            "d" + hashlib.sha256(b"%d" % self._made).hexdigest()[:19], body, tags=list(body.get("tags") or [])
        )
        self.jobs[job.id] = job
        return Response.json({"id": job.id, "backend": self.device})

    def _list(self, request: Request) -> Response:
        query = parse_qs(request.query)
        found = [j for j in self.jobs.values() if set(query.get("tags", [])) <= set(j.tags)]
        if query.get("sort") != ["ASC"]:
            found.reverse()
        offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["200"])[0])
        page = [j.to_json() for j in found[offset : offset + limit]]
        return Response.json({"jobs": page, "count": len(found), "limit": limit, "offset": offset})

    def _job(self, request: Request, job: FakeJob, what: str) -> Response:
        routes: dict[tuple[str, str], Callable[[], Response]] = {
            ("GET", ""): lambda: self._state(request, job),
            ("DELETE", ""): lambda: self._delete(job),
            ("GET", "results"): lambda: Response(200, job.result.encode()),
            ("POST", "cancel"): lambda: self._cancel(job),
            ("GET", "metrics"): lambda: Response.json(self._metrics(job)),
            ("PUT", "tags"): lambda: self._tags(request, job),
            ("GET", "logs"): lambda: Response(200, b"", content_type="text/plain"),
        }
        route = routes.get((request.method, what))
        return _error(404, 1400, f"no route {request.method} {what}") if route is None else route()

    def _state(self, request: Request, job: FakeJob) -> Response:
        job.polls += 1
        if job.status not in FINAL and job.polls > self.polls:
            self._finish(job)
        elif job.status == "Queued":
            job.status = "Running" if job.polls > 1 or self.polls == 1 else "Queued"
        return Response.json(job.to_json(params="exclude_params" not in request.query))

    def _finish(self, job: FakeJob) -> None:
        try:
            if self.fails:
                raise ValueError(self.fails)
            job.result, job.status = self.machine.execute(job.request["params"]), "Completed"
            self.usage["usage_consumed_seconds"] += SECONDS_OF_A_JOB
        except Exception as cause:  # as the service: whatever happens inside is the job's failure
            job.status, job.reason, job.reason_code = "Failed", str(cause)[:400], 1517

    def _delete(self, job: FakeJob) -> Response:
        del self.jobs[job.id]
        return Response(204)

    @staticmethod
    def _cancel(job: FakeJob) -> Response:
        if job.status in FINAL:
            return _error(409, 1292, "The job is over and cannot be cancelled.")
        job.status = "Cancelled"
        return Response(204)

    @staticmethod
    def _metrics(job: FakeJob) -> dict[str, Any]:
        over = job.status in FINAL
        times = {"created": job.created, "running": job.created if over else None, "finished": now() if over else None}
        return {"timestamps": times, "usage": job.usage(), "bss": {"seconds": job.usage()["seconds"]}, "executions": 1}

    @staticmethod
    def _tags(request: Request, job: FakeJob) -> Response:
        job.tags = list(request.json()["tags"])
        return Response(204)
