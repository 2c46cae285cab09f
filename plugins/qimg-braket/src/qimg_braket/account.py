"""One AWS account as the driver uses it: seven calls, each translated, none repeated (imports qimg_core; boto3 later).

Credentials come from boto3's own chain (environment, profile, SSO, role) and are kept nowhere else. Calls go through
the SDK's `AwsSession`, so that reservations, hybrid jobs and the SDK's own cost tracker work as ever. botocore's
own retries are off: the core repeats what is safe to repeat.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

from qimg_braket.devices import region_of
from qimg_braket.failures import translated
from qimg_core.errors import ProtocolError, ResultError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PAGES = 50


class Account:
    """Connections to Braket, S3 and STS in one region.

    Args:
        arn: of the device, for its region; a managed simulator is in the caller's.
        region: overrides it, for a task whose ARN names another.
        connect_timeout, read_timeout: seconds.
    """

    def __init__(
        self, arn: str, *, region: str | None = None, connect_timeout: float = 10.0, read_timeout: float = 70.0
    ) -> None:
        self.arn = arn
        self._region = region or region_of(arn)
        self._timeouts = connect_timeout, read_timeout
        self._session: Any = None
        self._others: dict[str, Any] = {}
        self._lock = threading.Lock()

    def _aws(self) -> Any:
        """The SDK's session, made once."""
        with self._lock:
            if self._session is None:
                import boto3
                from braket.aws import AwsSession

                with translated("opening a session with AWS"):
                    chosen = self._region or os.environ.get("AWS_REGION")
                    self._session = AwsSession(boto3.Session(region_name=chosen), config=self._config())
            return self._session

    def _config(self) -> Any:
        from botocore.config import Config

        connect, read = self._timeouts
        return Config(connect_timeout=connect, read_timeout=read, retries={"total_max_attempts": 1})

    def _client(self, service: str) -> Any:
        """S3 or STS: the SDK makes them without a configuration, with repeats and waits of their own."""
        session = self._aws()
        with self._lock:
            if service not in self._others:
                self._others[service] = session.boto_session.client(service, config=self._config())
            return self._others[service]

    def open(self) -> None:
        """Make every client now: they read the environment when they are made."""
        self._client("s3")
        self._client("sts")

    @property
    def region(self) -> str:
        """Where tasks are created."""
        return str(self._aws().region)

    def device(self) -> tuple[dict[str, Any], bytes]:
        """``GetDevice``: the answer with ``deviceCapabilities`` parsed, and that document as received."""
        session = self._aws()
        with translated("reading the device's properties"):
            answer = session.braket_client.get_device(deviceArn=self.arn)
            text = str(answer["deviceCapabilities"])
            return {**answer, "deviceCapabilities": json.loads(text)}, text.encode()

    def create(self, parameters: Mapping[str, Any]) -> str:
        """``CreateQuantumTask``; returns the task's ARN. The caller's ``clientToken`` makes repeats harmless."""
        session = self._aws()
        with translated("creating a quantum task", submitting=True):
            return str(session.create_quantum_task(**parameters))

    def task(self, arn: str) -> dict[str, Any]:
        """``GetQuantumTask`` with the place in the queue.

        Raises:
            JobLost: no such task.
            ProtocolError: an answer without a state.
        """
        session = self._aws()
        with translated("asking for the state of a task", lost=f"Braket knows no task {arn}"):
            answer = session.braket_client.get_quantum_task(quantumTaskArn=arn, additionalAttributeNames=["QueueInfo"])
        if not isinstance(answer.get("status"), str):
            raise ProtocolError(f"Braket answered without a state of task {arn}")
        return dict(answer)

    def cancel(self, arn: str) -> bool:
        """``CancelQuantumTask``; False where the task is over."""
        from botocore.exceptions import ClientError

        session = self._aws()
        with translated("cancelling a task", lost=f"Braket knows no task {arn}"):
            try:
                session.cancel_quantum_task(arn)
            except ClientError as cause:
                if cause.response.get("Error", {}).get("Code") == "ConflictException":
                    return False
                raise
        return True

    def search(self, since: str) -> Iterator[dict[str, Any]]:
        """``SearchQuantumTasks`` of this device, newest first as Braket gives them.

        Args:
            since: only tasks created at or after this time, ISO 8601.
        """
        session = self._aws()
        filters = [
            {"name": "deviceArn", "operator": "EQUAL", "values": [self.arn]},
            {"name": "createdAt", "operator": "GTE", "values": [since]},
        ]
        token: str | None = None
        for _ in range(_PAGES):
            with translated("searching for tasks"):
                more = {} if token is None else {"nextToken": token}
                page = session.braket_client.search_quantum_tasks(filters=filters, maxResults=100, **more)
                found = [dict(t) for t in page["quantumTasks"]]
            yield from found
            token = page.get("nextToken")
            if not token:
                return
        raise ProtocolError(f"more than {_PAGES * 100} tasks since {since}: the search was given up")

    def object(self, bucket: str, key: str) -> bytes:
        """An object in S3, whole.

        Raises:
            ResultError: there is none.
        """
        with translated(f"downloading s3://{bucket}/{key}"):
            answer = self._client("s3").get_object(Bucket=bucket, Key=key)
            data: bytes = answer["Body"].read()
        if not data:
            raise ResultError(f"s3://{bucket}/{key} is empty")
        return data

    def destination(self) -> tuple[str, str]:
        """(bucket, prefix) of results: as the SDK chooses it, but a missing bucket is never created.

        ``AMZN_BRAKET_TASK_RESULTS_S3_URI``, else ``AMZN_BRAKET_OUT_S3_BUCKET`` with the prefix "tasks", else the
        bucket ``amazon-braket-REGION-ACCOUNT`` that Braket's console makes.
        """
        session = self._aws()
        with translated("choosing where results go"):
            uri = os.environ.get("AMZN_BRAKET_TASK_RESULTS_S3_URI")
            if uri:
                bucket, key = session.parse_s3_uri(uri)
                return str(bucket), str(key)
            bucket = os.environ.get("AMZN_BRAKET_OUT_S3_BUCKET")
            if not bucket:
                account = self._client("sts").get_caller_identity()["Account"]
                bucket = f"amazon-braket-{session.region}-{account}"
            return bucket, "tasks"

    def close(self) -> None:
        """Let connections go; the next call opens new ones."""
        with self._lock:
            for client in (*self._others.values(), getattr(self._session, "braket_client", None)):
                if client is not None:
                    client.close()
