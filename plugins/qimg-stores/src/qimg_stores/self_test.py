"""Does an S3 server keep what it has locked? Tried on scratch objects (imports shelf; botocore inside functions).

Each forbidden thing is tried on an object of its own that is locked for ten minutes; what counts is the state
afterwards. A refusal shows nothing where the credentials may not do the allowed counterpart either
(extend a retention, enable versioning, delete an unlocked version): then the outcome is ``untried``.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from qimg_stores.shelf import Attempt, Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_stores.shelf import Capability, Outcome

FOLDER = "self-test"
ABSENT = {"NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed", "InvalidArgument"}
_BODY = b"qimg archive: a scratch object of the self-test, locked for ten minutes\n"


def judge(attempts: tuple[Attempt, ...]) -> Capability:
    """``worm`` where nothing forbidden was allowed and everything could be tried."""
    outcomes = {attempt.outcome for attempt in attempts}
    if "allowed" in outcomes:
        return "not-worm"
    return "unproven" if "untried" in outcomes or not outcomes else "worm"


def checked_body(data: bytes) -> dict[str, Any]:
    """Body of a put and the checksum that the server has to compare; as headers, which older servers know too."""
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return {"Body": data, "ChecksumAlgorithm": "SHA256", "ChecksumSHA256": checksum}


def try_forbidden(client: Any, bucket: str, prefix: str) -> tuple[Attempt, ...]:
    """Try what Object Lock in COMPLIANCE mode must refuse, as whoever the client's credentials are.

    Args:
        client: a boto3 S3 client.
        bucket: with versioning and Object Lock.
        prefix: of the archive in it, ending in a slash where not empty.

    Returns:
        one `Attempt` per forbidden thing.

    Raises:
        botocore's errors: a scratch object cannot even be put or read.
    """
    return _Trial(client, bucket, f"{prefix}{FOLDER}/{secrets.token_hex(8)}").run()


class _Trial:
    def __init__(self, client: Any, bucket: str, folder: str) -> None:
        self.s3, self.bucket, self.folder = client, bucket, folder
        self.until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=10)

    def run(self) -> tuple[Attempt, ...]:
        deleting = self._may(self._delete_unlocked)
        retaining = self._may(self._extend)
        versioning = self._may(lambda: self._versioning("Enabled"))
        return (
            self._attempt("delete a locked version", deleting, self._delete),
            self._attempt("delete it bypassing governance", deleting, lambda k, v: self._delete(k, v, bypass=True)),
            self._attempt("delete it in a batch", deleting, self._delete_batch),
            self._attempt("shorten the retention", retaining, lambda k, v: self._retain(k, v, minutes=-5)),
            self._attempt(
                "downgrade COMPLIANCE to GOVERNANCE", retaining, lambda k, v: self._retain(k, v, mode="GOVERNANCE")
            ),
            self._attempt("remove the retention", retaining, lambda k, v: self._retain(k, v, mode=None)),
            self._suspend(versioning),
        )

    def _attempt(self, name: str, may: str, action: Callable[[str, str], object]) -> Attempt:
        from botocore.exceptions import ClientError

        key, version = self._scratch()
        said = ""
        try:
            action(key, version)
        except ClientError as error:
            said = _said(error)
        changed = self._changed(key, version)
        return self._ended(name, said, changed, may)

    def _suspend(self, may: str) -> Attempt:
        from botocore.exceptions import ClientError

        said = ""
        try:
            self._versioning("Suspended")
        except ClientError as error:
            said = _said(error)
        status = self.s3.get_bucket_versioning(Bucket=self.bucket).get("Status")
        if status != "Enabled":
            self._versioning("Enabled")
        return self._ended("suspend versioning", said, "" if status == "Enabled" else f"versioning is {status}", may)

    @staticmethod
    def _ended(name: str, said: str, changed: str, may: str) -> Attempt:
        outcome: Outcome
        if changed:
            outcome = "allowed"
        elif may:
            outcome = "untried"
        else:
            outcome = "refused" if said else "ignored"
        return Attempt(name=name, outcome=outcome, detail=changed or may or said)

    def _scratch(self) -> tuple[str, str]:
        key = f"{self.folder}/{secrets.token_hex(4)}"
        answer = self.s3.put_object(
            Bucket=self.bucket,
            Key=key,
            **checked_body(_BODY),
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=self.until,
        )
        return key, str(answer["VersionId"])

    def _changed(self, key: str, version: str) -> str:
        """What has changed of a scratch object, or an empty string."""
        from botocore.exceptions import ClientError

        try:
            data = self.s3.get_object(Bucket=self.bucket, Key=key, VersionId=version)["Body"].read()
        except ClientError as error:
            if _code(error) not in ABSENT:
                raise  # the server fails: that says nothing about the object
            return f"it is gone: {_said(error)}"
        lock = read_lock(self.s3, self.bucket, key, version)
        if data != _BODY:
            return "the bytes are others"
        if lock.mode != "COMPLIANCE" or lock.until is None:
            return f"the mode is {lock.mode}"
        if lock.until < self.until:
            return f"it is kept until {lock.until.astimezone(UTC).isoformat()} only"
        return ""

    def _may(self, action: Callable[[], object]) -> str:
        """An empty string where the credentials may do an allowed thing, else why not."""
        from botocore.exceptions import ClientError

        try:
            action()
        except ClientError as error:
            return f"the credentials may not do what is allowed either: {_said(error)}"
        return ""

    def _delete_unlocked(self) -> None:
        key = f"{self.folder}/{secrets.token_hex(4)}"
        put = {"Bucket": self.bucket, "Key": key, **checked_body(_BODY)}
        from botocore.exceptions import ClientError

        try:
            self._delete(key, str(self.s3.put_object(**put)["VersionId"]))
        except ClientError:  # a default retention of the bucket locks it
            lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": self.until}
            self._delete(key, str(self.s3.put_object(**put, **lock)["VersionId"]), bypass=True)

    def _extend(self) -> None:
        self._retain(*self._scratch(), minutes=1)

    def _versioning(self, status: str) -> None:
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": status})

    def _delete(self, key: str, version: str, *, bypass: bool = False) -> None:
        options = {"BypassGovernanceRetention": True} if bypass else {}
        self.s3.delete_object(Bucket=self.bucket, Key=key, VersionId=version, **options)

    def _delete_batch(self, key: str, version: str) -> None:
        from botocore.exceptions import ClientError

        wanted = {"Objects": [{"Key": key, "VersionId": version}]}
        answer = self.s3.delete_objects(Bucket=self.bucket, Delete=wanted)
        if errors := answer.get("Errors"):
            raise ClientError({"Error": errors[0]}, "DeleteObjects")

    def _retain(self, key: str, version: str, *, minutes: int = 0, mode: str | None = "COMPLIANCE") -> None:
        until = self.until + timedelta(minutes=minutes)
        retention = {"Mode": mode, "RetainUntilDate": until} if mode else {}
        options = {} if mode == "COMPLIANCE" else {"BypassGovernanceRetention": True}
        where = {"Bucket": self.bucket, "Key": key, "VersionId": version}
        self.s3.put_object_retention(**where, Retention=retention, **options)


def read_lock(client: Any, bucket: str, key: str, version: str) -> Lock:
    """Retention of a version: from its headers, else asked for by itself (a server may hide the headers).

    Raises:
        botocore's errors: the version is not there, or may not be looked at.
    """
    from botocore.exceptions import ClientError

    where = {"Bucket": bucket, "Key": key, "VersionId": version}
    head = client.head_object(**where)
    mode, until = head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")
    if mode is None:
        try:
            found = client.get_object_retention(**where).get("Retention") or {}
            mode, until = found.get("Mode"), found.get("RetainUntilDate")
        except ClientError as error:
            unlocked = _code(error) in {"NoSuchObjectLockConfiguration", *ABSENT}
            mode = "none" if unlocked else f"not shown ({_code(error)})"
    return Lock(mode=str(mode or "none"), until=until)


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _said(error: Any) -> str:
    said = error.response.get("Error", {})
    return f"{said.get('Code', 'error')} {said.get('Message') or ''}".strip()[:200]
