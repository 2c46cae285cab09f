"""Amazon Braket's interface as botocore's own model describes it, and what the service refuses (imports botocore)."""

from __future__ import annotations

import functools
import re
from typing import Any

from qimg_braket.testing.documents import device
from qimg_braket.testing.executing import is_set, programs_of
from qimg_core.testing.server import Response

ACCOUNT = "123456789012"
SUMMARY = (
    "quantumTaskArn",
    "status",
    "deviceArn",
    "shots",
    "outputS3Bucket",
    "outputS3Directory",
    "createdAt",
    "tags",
)
STATUS = {
    "AccessDeniedException": 403,
    "ConflictException": 409,
    "DeviceOfflineException": 424,
    "ExpiredTokenException": 403,
    "InternalServiceException": 500,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 402,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "ValidationException": 400,
}
_GATE = re.compile(r"^\s*([a-z0-9_]+)(?:\([^)]*\))?\s+q\[", re.MULTILINE)


def problem(given: dict[str, Any]) -> str | None:
    """What the service refuses at once."""
    arn = given["deviceArn"]
    document = device(arn)
    texts, many = programs_of(given["action"]), is_set(given["action"])
    low, high = document["service"]["shotsRange"]
    limits = document["action"].get("braket.ir.openqasm.program_set")
    if many:
        if limits is None:
            return "the device takes no program sets"
        if len(texts) > limits["maximumExecutables"] or given["shots"] > limits["maximumTotalShots"]:
            return "the program set is too large"
        if given["shots"] % len(texts):
            return "shots must divide evenly among the programs"
    if not low <= given["shots"] // len(texts) <= high:
        return f"shots must be within {low} and {high}"
    known = {o.lower() for o in document["action"]["braket.ir.openqasm.program"]["supportedOperations"]}
    for text in texts:
        unknown = {g for g in _GATE.findall(text) if g != "measure"} - known
        if unknown:
            return f"unsupported operations: {', '.join(sorted(unknown))}"
    return None


def error(code: str, message: str, **headers: str) -> Response:
    """An error as AWS words it: its kind is in a header."""
    return Response.json({"message": message}, STATUS[code], **{"x_amzn_ErrorType": code, **headers})


def identity() -> bytes:
    """The answer of STS."""
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>arn:aws:iam::{ACCOUNT}:user/fake</Arn><UserId>fake</UserId><Account>{ACCOUNT}</Account>"
        "</GetCallerIdentityResult></GetCallerIdentityResponse>"
    ).encode()


@functools.cache
def model() -> Any:
    """The service's own description."""
    import botocore.loaders
    import botocore.model

    return botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("braket", "service-2"))


@functools.cache
def routes() -> tuple[tuple[str, re.Pattern[str], str], ...]:
    """(method, path, operation), the longest paths first."""
    out = []
    for name in model().operation_names:
        http = model().operation_model(name).http
        path = re.sub(r"\{(\w+)\}", r"(?P<\1>.+)", http["requestUri"].split("?")[0])
        out.append((http["method"], re.compile(path), name))
    return tuple(sorted(out, key=lambda route: -len(route[1].pattern)))


def refusal(operation: str, given: dict[str, Any]) -> str:
    """What botocore's model says is wrong with a request; empty where nothing is."""
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(given, model().operation_model(operation).input_shape)
    return str(report.generate_report()) if report.has_errors() else ""
