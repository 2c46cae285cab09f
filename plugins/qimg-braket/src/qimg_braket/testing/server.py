"""`FakeBraket`: Braket's REST-JSON interface, S3, STS and the price list on one loopback port (imports qimg_core).

Requests are checked with botocore's own model of the service; tasks run on Braket's own local simulator; a client
token makes one task, however often it is sent. It is for rehearsals and tests: it proves protocol and failure
handling, not that a live account works.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

from qimg_braket.testing.documents import FORTE, GARNET, PRICES, SV1, device
from qimg_braket.testing.executing import is_set, program_set, programs_of, single
from qimg_braket.testing.service import ACCOUNT, STATUS, SUMMARY, error, identity, problem, refusal, routes
from qimg_core.testing.faults import Fault, Faults
from qimg_core.testing.server import FakeServer, Request, Response

if TYPE_CHECKING:
    from qimg_core.testing.server import Stage

_FINAL = ("COMPLETED", "FAILED", "CANCELLED")


class FakeBraket(FakeServer):
    """A fake region of AWS with three made-up devices: `SV1`, `GARNET` (program sets) and `FORTE` (no sets).

    Args:
        faults: what goes wrong on the way.
        polls: how often a task is asked for before it is done.

    Attributes:
        tasks: by ARN.
        refuse: code of an error that every creation gets, such as ``ServiceQuotaExceededException``, or None.
        refuse_after: creations that are accepted before ``refuse`` begins.
        failure: reason with which every task fails, or None.
        failing_programs: number of a program in a set -> why it fails.
        lost_shots: so many shots less than asked are taken.
        inline: program sets are answered in one file.
    """

    regions: ClassVar[dict[str, str]] = {SV1: "us-east-1", GARNET: "eu-north-1", FORTE: "us-east-1"}

    def __init__(self, faults: Faults | None = None, *, polls: int = 1) -> None:
        super().__init__(faults)
        self.polls = polls
        self.tasks: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.revision = 0
        self.status = "ONLINE"
        self.refuse: str | None = None
        self.refuse_after = 0
        self.failure: str | None = None
        self.failing_programs: dict[int, str] = {}
        self.lost_shots = 0
        self.inline = True

    def environment(self) -> dict[str, str]:
        """Variables that make the vendor's client, and so the driver, use this server; the keys are made up."""
        return {
            "BRAKET_ENDPOINT": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ENDPOINT_URL_STS": self.url,
            "BRAKET_PRICE_OFFERS_URL": f"{self.url}/prices.csv",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "made-up-secret-of-the-fake-server",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }

    # -- the server -------------------------------------------------------------------------

    def stage(self, request: Request) -> Stage:
        if request.path == "/quantum-task":
            return "submit"
        if request.method == "GET" and request.path.startswith("/quantum-task/"):
            return "poll"
        return "results" if request.method == "GET" and request.path.startswith("/amazon-braket-") else "other"

    def handle(self, request: Request) -> Response:
        path = unquote(request.path)
        if path == "/prices.csv":
            return Response(200, PRICES.encode(), content_type="text/csv")
        if path.startswith("/amazon-braket-"):
            return self._object(path.lstrip("/"))
        if path == "/" and b"GetCallerIdentity" in request.body:
            return Response(200, identity(), content_type="text/xml")
        for method, pattern, name in routes():
            match = pattern.fullmatch(path)
            if match and method == request.method:
                given = {**(request.json() if request.body else {}), **match.groupdict()}
                with self.lock:
                    return self._answered(name, given)
        return error("ResourceNotFoundException", f"no such route: {request.method} {path}")

    def _answered(self, name: str, given: dict[str, Any]) -> Response:
        wrong = refusal(name, given)
        if wrong:
            return error("ValidationException", wrong)
        act = {
            "GetDevice": self._get_device,
            "CreateQuantumTask": self._create,
            "GetQuantumTask": self._get,
            "CancelQuantumTask": self._cancel,
            "SearchQuantumTasks": self._search,
        }.get(name)
        return act(given) if act else error("ValidationException", f"the fake does not play {name}")

    def unknown_state(self, response: Response) -> Response:
        document = json.loads(response.body)
        document["status"] = "PAUSED"
        return Response.json(document)

    def recalibrate(self) -> None:
        self.revision += 1

    def _spoiled(self, fault: Fault, response: Response | None) -> Response | None:
        """Errors of AWS name their kind in a header; those of S3 are XML."""
        codes = {
            Fault.TOO_MANY: "ThrottlingException",
            Fault.ERROR: "InternalServiceException",
            Fault.UNAVAILABLE: "ServiceUnavailableException",
        }
        if fault not in codes:
            return super()._spoiled(fault, response)
        code = codes[fault]
        if response is not None and response.content_type == "application/octet-stream":
            body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>"
            return Response(STATUS[code], body.encode(), content_type="application/xml")
        return error(code, f"injected {fault.value}", **({"Retry_After": "1"} if fault is Fault.TOO_MANY else {}))

    # -- Braket -----------------------------------------------------------------------------

    def _get_device(self, given: dict[str, Any]) -> Response:
        arn = given["deviceArn"]
        if arn not in self.regions:
            return error("ResourceNotFoundException", f"no device {arn}")
        queue = {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": "3", "queuePriority": "Normal"}
        return Response.json(
            {
                "deviceArn": arn,
                "deviceName": arn.rpartition("/")[2],
                "providerName": {SV1: "Amazon Braket", GARNET: "IQM", FORTE: "IonQ"}[arn],
                "deviceType": "SIMULATOR" if arn == SV1 else "QPU",
                "deviceStatus": self.status,
                "deviceCapabilities": json.dumps(device(arn, self.revision)),
                "deviceQueueInfo": [queue],
            }
        )

    def _create(self, given: dict[str, Any]) -> Response:
        for task in self.tasks.values():
            if task["clientToken"] == given["clientToken"]:
                if any(task.get(k) != given.get(k) for k in ("action", "shots", "deviceArn")):
                    return error("ValidationException", "the client token was used for another task")
                return Response.json({"quantumTaskArn": task["arn"]}, 201)
        if self.status != "ONLINE":
            return error("DeviceOfflineException", "the device is offline")
        if self.refuse is not None and len(self.tasks) >= self.refuse_after:
            return error(self.refuse, "refused by the fake")
        wrong = problem(given)
        if wrong:
            return error("ValidationException", wrong)
        name = str(uuid.uuid4())
        arn = f"arn:aws:braket:{self.regions[given['deviceArn']]}:{ACCOUNT}:quantum-task/{name}"
        self.tasks[arn] = {
            **given,
            "arn": arn,
            "status": "CREATED",
            "asked": 0,
            "createdAt": dt.datetime.now(dt.UTC).isoformat(),
            "directory": f"{given['outputS3KeyPrefix']}/{name}",
        }
        return Response.json({"quantumTaskArn": arn}, 201)

    def _get(self, given: dict[str, Any]) -> Response:
        task = self.tasks.get(given["quantumTaskArn"])
        if task is None:
            return error("ResourceNotFoundException", "no such task")
        if task["status"] not in _FINAL:
            task["asked"] += 1
            task["status"] = "QUEUED" if task["asked"] < self.polls else "RUNNING"
            if task["asked"] > self.polls:
                self._finish(task)
        return Response.json(self._described(task))

    def _finish(self, task: dict[str, Any]) -> None:
        task["status"], task["successful"] = "COMPLETED", task["shots"] - self.lost_shots
        if self.failure is not None:
            task |= {"status": "FAILED", "failureReason": self.failure, "successful": 0}
            return
        try:
            if is_set(task["action"]):
                files = program_set(task, self.failing_programs, inline=self.inline)
                each = task["shots"] // len(programs_of(task["action"]))
                task["successful"] = task["shots"] - each * len(self.failing_programs)
                if self.failing_programs:
                    task |= {"status": "FAILED", "failureReason": "some programs failed"}
            else:
                files = single(task, task["successful"], as_probabilities=task["deviceArn"] == FORTE)
        except Exception as cause:  # the service, too, tells a bad program only when it runs
            task |= {"status": "FAILED", "failureReason": f"{type(cause).__name__}: {cause}", "successful": 0}
            return
        self.files |= {f"{task['outputS3Bucket']}/{task['directory']}/{name}": data for name, data in files.items()}

    def _described(self, task: dict[str, Any]) -> dict[str, Any]:
        out = {
            "quantumTaskArn": task["arn"],
            "status": task["status"],
            "deviceArn": task["deviceArn"],
            "deviceParameters": "{}",
            "shots": task["shots"],
            "outputS3Bucket": task["outputS3Bucket"],
            "outputS3Directory": task["directory"],
            "createdAt": task["createdAt"],
            "tags": task.get("tags", {}),
            "actionMetadata": {"actionType": json.loads(task["action"])["braketSchemaHeader"]["name"]},
            "queueInfo": {"queue": "QUANTUM_TASKS_QUEUE", "position": "2", "queuePriority": "Normal"},
        }
        if "failureReason" in task:
            out["failureReason"] = task["failureReason"]
        if "successful" in task:
            out["numSuccessfulShots"] = task["successful"]
        return out

    def _cancel(self, given: dict[str, Any]) -> Response:
        task = self.tasks.get(given["quantumTaskArn"])
        if task is None:
            return error("ResourceNotFoundException", "no such task")
        if task["status"] in _FINAL:
            return error("ConflictException", "the task is over")
        task["status"] = "CANCELLED"
        return Response.json({"quantumTaskArn": task["arn"], "cancellationStatus": "CANCELLED"})

    def _search(self, given: dict[str, Any]) -> Response:
        found = sorted(self.tasks.values(), key=lambda t: t["createdAt"], reverse=True)
        for wanted in given["filters"]:
            value = wanted["values"][0]
            if wanted["name"] == "deviceArn":
                found = [t for t in found if t["deviceArn"] == value]
            elif wanted["name"] == "createdAt" and wanted["operator"] == "GTE":
                found = [t for t in found if t["createdAt"] >= value]
            else:
                return error("ValidationException", f"no filter {wanted['name']} {wanted['operator']}")
        start, size = int(given.get("nextToken") or 0), 2  # short pages, so that everybody has to turn them
        page = [{k: v for k, v in self._described(t).items() if k in SUMMARY} for t in found[start : start + size]]
        more = {"nextToken": str(start + size)} if start + size < len(found) else {}
        return Response.json({"quantumTasks": page, **more})

    def _object(self, key: str) -> Response:
        data = self.files.get(key)
        if data is None:
            body = b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"
            return Response(404, body, content_type="application/xml")
        return Response(200, data, content_type="application/octet-stream")
