"""`S3Shelf`: a bucket with Object Lock in COMPLIANCE mode (imports shelf; boto3 inside functions).

Source: Amazon S3 API reference (PutObject, PutObjectRetention, ListObjectVersions, Object Lock). Nothing is
concluded from a 200, and conditional puts (``If-None-Match``) are not used: servers exist that ignore them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qimg_core.errors import ConfigurationError, OutsideMemoryError
from qimg_core.ledger.base import Problem
from qimg_stores.self_test import ABSENT, checked_body, judge, read_lock, try_forbidden
from qimg_stores.shelf import Shelf, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from qimg_stores.shelf import Attempt, Capability, Lock


class S3Shelf(Shelf):
    """Objects of a bucket under a prefix.

    Args:
        client: a boto3 S3 client; None makes one by ``opening`` when it is first needed.
        bucket: its name; made by somebody with Object Lock enabled, see `make_bucket`.
        prefix: before each name, without slashes at its ends.
        opening: makes the client; see `make_client`.
        at: host of the service, for the record.
    """

    modes = ("COMPLIANCE",)
    dated = True

    def __init__(
        self,
        client: Any,
        bucket: str,
        prefix: str = "",
        *,
        opening: Callable[[], Any] | None = None,
        at: str = "AWS",
    ) -> None:
        self._client, self._opening, self.bucket = client, opening, bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.where = f"s3://{bucket}/{self.prefix}".rstrip("/")
        self.place = f"{self.where} at {at}"

    @property
    def client(self) -> Any:
        """The boto3 client."""
        if self._client is None and self._opening is not None:
            self._client = self._opening()
        return self._client

    def put(self, name: str, data: bytes, until: datetime) -> str:
        """A new version, locked in COMPLIANCE mode."""
        with translated(self.where, f"put {name}"):
            answer = self.client.put_object(
                Bucket=self.bucket,
                Key=self.prefix + name,
                **checked_body(data),
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=until,
            )
        version = answer.get("VersionId")
        if not version or version == "null":
            raise OutsideMemoryError(
                f"{self.where}: no version id for {name}: the bucket keeps no versions",
                hint="use a bucket that was created with Object Lock enabled",
            )
        return str(version)

    def get(self, name: str, version: str) -> bytes | None:
        """The bytes of a version."""
        from botocore.exceptions import ClientError

        with translated(self.where, f"read {name}"):
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name, VersionId=version)
                data: bytes = answer["Body"].read()
            except ClientError as error:
                if _code(error) in ABSENT:
                    return None
                raise
        return data

    def lock(self, name: str, version: str) -> Lock:
        """What the server says of a version's retention."""
        with translated(self.where, f"read the retention of {name}"):
            return read_lock(self.client, self.bucket, self.prefix + name, version)

    def extend(self, name: str, version: str, until: datetime) -> None:
        """Keep a version longer."""
        with translated(self.where, f"extend the retention of {name}"):
            self.client.put_object_retention(
                Bucket=self.bucket,
                Key=self.prefix + name,
                VersionId=version,
                Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until},
            )

    def versions(self, prefix: str) -> Iterator[Version]:
        """Versions and delete markers, page by page."""
        with translated(self.where, f"list {prefix}"):
            pages = self.client.get_paginator("list_object_versions")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix):
                found = [self._version(item, marker=False) for item in page.get("Versions", ())]
                found += [self._version(item, marker=True) for item in page.get("DeleteMarkers", ())]
                yield from sorted(found, key=lambda v: v.name)

    def _version(self, item: dict[str, Any], *, marker: bool) -> Version:
        return Version(
            name=str(item["Key"]).removeprefix(self.prefix),
            version=str(item["VersionId"]),
            bytes=int(item.get("Size", 0)),
            newest=bool(item["IsLatest"]),
            marker=marker,
        )

    def troubles(self) -> tuple[Problem, ...]:
        """Versioning that is off, a bucket without Object Lock."""
        from botocore.exceptions import ClientError

        found = []
        with translated(self.where, "read the versioning"):
            status = self.client.get_bucket_versioning(Bucket=self.bucket).get("Status")
            if status != "Enabled":
                found.append(Problem(f"bucket {self.bucket}", f"versioning is {status or 'off'}, wanted Enabled"))
            try:
                answer = self.client.get_object_lock_configuration(Bucket=self.bucket)
                enabled = answer["ObjectLockConfiguration"].get("ObjectLockEnabled")
            except ClientError as error:
                if _code(error) != "ObjectLockConfigurationNotFoundError":
                    raise
                enabled = None
            if enabled != "Enabled":
                found.append(Problem(f"bucket {self.bucket}", "Object Lock is not enabled"))
        return tuple(found)

    def attempts(self) -> tuple[Attempt, ...]:
        """See `qimg_stores.self_test`."""
        with translated(self.where, "try what must be refused"):
            return try_forbidden(self.client, self.bucket, self.prefix)

    def capability(self, attempts: tuple[Attempt, ...]) -> Capability:
        """Worm where nothing forbidden was allowed and everything could be tried."""
        return judge(attempts)

    def close(self) -> None:
        """Close the client's connections."""
        if self._client is not None:
            self._client.close()


def make_bucket(client: Any, bucket: str) -> bool:
    """Make a bucket with Object Lock, which also turns versioning on; False where it is there already.

    Raises:
        OutsideMemoryError: refused, or not reachable.
    """
    from botocore.exceptions import ClientError

    with translated(f"s3://{bucket}", "look at the bucket"):
        try:
            client.head_bucket(Bucket=bucket)
            return False
        except ClientError as error:
            if _code(error) not in {"404", "NoSuchBucket"}:
                raise
    with translated(f"s3://{bucket}", "create the bucket"):
        region = client.meta.region_name
        place = {} if region in (None, "us-east-1") else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True, **place)
    return True


@contextmanager
def translated(where: str, what: str) -> Iterator[None]:
    """boto3's errors in this SDK's words; an answer names no secret and neither do these."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        text = f"{said.get('Code', 'error')} {said.get('Message') or ''}".strip()
        hint = {
            "NoSuchBucket": "make it: qimg archive init WHERE --create-bucket",
            "AccessDenied": "see which rights the credentials have, and whose they are",
            "InvalidAccessKeyId": "check QIMG_ARCHIVE_ACCESS_KEY, or the profile",
            "SignatureDoesNotMatch": "the secret key does not fit the access key",
        }.get(str(said.get("Code")), "ask again; the log itself is as it was")
        raise OutsideMemoryError(f"{where}: cannot {what}: {text}", hint=hint) from error
    except (NoCredentialsError, ProfileNotFound) as error:
        hint = (
            "set QIMG_ARCHIVE_ACCESS_KEY and QIMG_ARCHIVE_SECRET_KEY (or .._FILE, .._COMMAND), or log in to the cloud"
        )
        raise OutsideMemoryError(f"{where}: cannot {what}: {error}", hint=hint) from error
    except BotoCoreError as error:
        hint = "ask again when it can be reached: qimg ledger anchor"
        raise OutsideMemoryError(f"{where}: cannot {what}: {error}", hint=hint) from error


def make_client(
    *,
    endpoint: str | None,
    region: str | None,
    profile: str | None,
    keys: tuple[str, str] | None,
) -> Any:
    """A boto3 S3 client; path-style addresses where an endpoint is named.

    Args:
        endpoint: URL of a server other than AWS.
        region: its region.
        profile: of the shared configuration files.
        keys: access key and secret key; None for boto3's own chain (environment, files, role).

    Raises:
        ConfigurationError: boto3 is not installed.
        OutsideMemoryError: no such profile.
    """
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise ConfigurationError("an S3 archive needs boto3", hint="pip install 'qimg-stores[s3]'") from error
    access, secret = keys or (None, None)
    with translated(endpoint or "s3", "open a session"):
        session = boto3.session.Session(
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            region_name=region or (None if endpoint is None else "us-east-1"),
            profile_name=profile,
        )
        return session.client(
            "s3",
            endpoint_url=endpoint,
            config=Config(
                s3={"addressing_style": "auto" if endpoint is None else "path"},
                retries={"mode": "standard", "max_attempts": 5},
                connect_timeout=10,
                read_timeout=60,
                request_checksum_calculation="when_required",  # older servers know no checksum trailers
                response_checksum_validation="when_required",
            ),
        )


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
