"""The 27 steps that show what an S3 server does with Object Lock, and what is expected of each kind of server."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

# step, what has to happen, what happens on Ceph RGW 16.2.15, on moto 5.2.5
MATRIX = [
    ("create a bucket with Object Lock", "ok", "ok", "ok"),
    ("its versioning is enabled", "ok", "ok", "ok"),
    ("put an object in COMPLIANCE mode", "ok", "ok", "ok"),
    ("delete the locked version", "refused", "refused", "refused"),
    ("delete it bypassing governance", "refused", "refused", "refused"),
    ("shorten its retention", "refused", "refused", "**ok**"),
    ("downgrade COMPLIANCE to GOVERNANCE", "refused", "refused", "**ok**"),
    ("extend its retention", "ok", "ok", "ok"),
    ("put the same name again: a new version", "ok", "ok", "ok"),
    ("read the first version", "ok", "ok", "ok"),
    ("delete the name: a delete marker", "ok", "ok", "ok"),
    ("read the first version behind the marker", "ok", "ok", "ok"),
    ("suspend versioning", "refused", "refused", "**ok**"),
    ("put an object in GOVERNANCE mode", "ok", "ok", "ok"),
    ("delete it without bypass", "refused", "refused", "refused"),
    ("delete it with bypass", "ok", "ok", "ok"),
    ("put an object with a legal hold", "ok", "ok", "ok"),
    ("delete it", "refused", "refused", "refused"),
    ("delete the locked version in a batch", "refused", "refused", "refused"),
    ("read the locked version", "ok", "ok", "ok"),
    ("set a default retention", "ok", "ok", "**refused**"),
    ("put an object without a lock", "ok", "ok", "ok"),
    ("delete its version, which the default locks", "refused", "refused", "**ok**"),
    ("put a new name if there is none (If-None-Match)", "ok", "ok", "ok"),
    ("put it again if there is none", "refused", "**ok**", "refused"),
    ("delete the bucket", "refused", "refused", "refused"),
    ("put a locked object into a bucket without Object Lock", "refused", "refused", "refused"),
]


def run(s3):
    """Every step in order: step -> "ok" or "refused"."""
    bucket = f"matrix-{secrets.token_hex(6)}"
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    outcomes = {}

    def step(action):
        name = MATRIX[len(outcomes)][0]
        try:
            answer = action()
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] < 500, (name, error)
            outcomes[name] = "refused"
            return {}
        outcomes[name] = "refused" if answer is False else "ok"
        return answer if isinstance(answer, dict) else {}

    def put(key, body=b"x", **options):
        return s3.put_object(Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256", **options)

    def locked(mode):
        return {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": until}

    def retain(mode, days, **options):
        retention = {"Mode": mode, "RetainUntilDate": until + timedelta(days=days)}
        return s3.put_object_retention(Bucket=bucket, Key="a", VersionId=v, Retention=retention, **options)

    def delete(key, version, **options):
        return s3.delete_object(Bucket=bucket, Key=key, VersionId=version, **options)

    def read():
        return s3.get_object(Bucket=bucket, Key="a", VersionId=v)["Body"].read() == b"one"

    def versioning(status):
        return s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})

    def batch():
        wanted = {"Objects": [{"Key": "a", "VersionId": v}]}
        return "Errors" not in s3.delete_objects(Bucket=bucket, Delete=wanted)

    def default():
        rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
        wanted = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        return s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=wanted)

    def without_lock():
        s3.create_bucket(Bucket=f"{bucket}-plain")
        return s3.put_object(
            Bucket=f"{bucket}-plain", Key="a", Body=b"", ChecksumAlgorithm="SHA256", **locked("COMPLIANCE")
        )

    step(lambda: s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True))
    step(lambda: s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled")
    v = step(lambda: put("a", b"one", **locked("COMPLIANCE")))["VersionId"]
    step(lambda: delete("a", v))
    step(lambda: delete("a", v, BypassGovernanceRetention=True))
    step(lambda: retain("COMPLIANCE", -20))
    step(lambda: retain("GOVERNANCE", 0, BypassGovernanceRetention=True))
    step(lambda: retain("COMPLIANCE", 20))
    step(lambda: put("a", b"two"))
    step(read)
    step(lambda: s3.delete_object(Bucket=bucket, Key="a"))
    step(read)
    step(lambda: versioning("Suspended"))
    if outcomes["suspend versioning"] == "ok":
        versioning("Enabled")
    g = step(lambda: put("g", **locked("GOVERNANCE")))["VersionId"]
    step(lambda: delete("g", g))
    step(lambda: delete("g", g, BypassGovernanceRetention=True))
    h = step(lambda: put("h", ObjectLockLegalHoldStatus="ON"))["VersionId"]
    step(lambda: delete("h", h))
    step(batch)
    step(read)
    step(default)
    d = step(lambda: put("d"))["VersionId"]
    step(lambda: delete("d", d))
    step(lambda: put("n", IfNoneMatch="*"))
    step(lambda: put("n", IfNoneMatch="*"))
    step(lambda: s3.delete_bucket(Bucket=bucket))
    step(without_lock)
    return outcomes
