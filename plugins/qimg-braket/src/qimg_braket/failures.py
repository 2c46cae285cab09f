"""Errors of boto3 and of AWS as qimg's own (imports qimg_core; botocore inside functions).

What decides is whether the request can have been accepted. A message of AWS is passed on without credentials, and
not at all where it could hold a signed request: those name the error code only.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from qimg_core.errors import (
    AuthenticationError,
    BackendUnavailable,
    ConfigurationError,
    JobLost,
    ProtocolError,
    QimgError,
    RateLimited,
    ResultError,
    SubmissionRejected,
    SubmissionUncertain,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGIN = "aws sts get-caller-identity shows who you are; aws sso login (or aws configure) renews the credentials"
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_CREDENTIALS = {
    *_EXPIRED,
    "AuthFailure",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_THROTTLED = {"ThrottlingException", "Throttling", "TooManyRequestsException", "SlowDown", "RequestLimitExceeded"}
_ADVICE = {
    "DeviceOfflineException": "the device is offline: aws braket get-device --device-arn ARN shows when it runs",
    "DeviceRetiredException": "the device is retired: aws braket search-devices --filters lists those that are not",
    "ServiceQuotaExceededException": "a quota or a spending limit of the account is used up: aws service-quotas "
    "list-service-quotas --service-code braket; aws braket search-spending-limits",
}
_ACTION = re.compile(r"perform: ([a-z0-9\-]+:[A-Za-z]+)")
_LONGEST = 400


@contextlib.contextmanager
def translated(doing: str, *, submitting: bool = False, lost: str = "") -> Iterator[None]:
    """Let nothing foreign out.

    Args:
        doing: in words, e.g. "asking for the state of a task".
        submitting: a paid task may come of it.
        lost: what does not exist after a 404; raised as `JobLost`.

    Raises:
        QimgError: see `from_client` and `from_transport`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except QimgError:
        raise
    except ClientError as cause:
        error = from_client(cause.response, doing, submitting=submitting, lost=lost)
        # the text of a refused signature may quote the request with its credentials: it is not kept as the cause
        raise error from (None if isinstance(error, AuthenticationError) else cause)
    except BotoCoreError as cause:
        raise from_transport(cause, doing, submitting=submitting) from cause
    except OSError as cause:
        what = f"while {doing} the connection broke ({type(cause).__name__})"
        raise (SubmissionUncertain(what) if submitting else BackendUnavailable(what)) from cause
    except Exception as cause:  # an answer that is no JSON, or lacks what the service's model promises
        what = f"while {doing} Amazon Braket answered with something that cannot be read ({type(cause).__name__})"
        raise (SubmissionUncertain(what, answered=True) if submitting else ProtocolError(what)) from cause


def from_client(response: dict[str, Any], doing: str, *, submitting: bool = False, lost: str = "") -> QimgError:
    """An error that AWS answered with.

    Args:
        response: ``ClientError.response``.
        doing: in words.
        submitting: a paid task may come of it.
        lost: what does not exist after a 404.

    Returns:
        AuthenticationError (401, 403), RateLimited (429), SubmissionUncertain or BackendUnavailable (408, 5xx),
        JobLost or ResultError (404), SubmissionRejected or ProtocolError for any other.
    """
    error, meta = response.get("Error") or {}, response.get("ResponseMetadata") or {}
    code, status = str(error.get("Code") or "?"), int(meta.get("HTTPStatusCode") or 0)
    message = str(error.get("Message") or response.get("message") or "")
    head = f"Amazon Braket, while {doing}: {code} ({status})"
    if code in _CREDENTIALS or status in (401, 403) or code in ("AccessDenied", "AccessDeniedException"):
        return _authentication(code, message, doing)
    if code in _THROTTLED or status == 429:
        headers = meta.get("HTTPHeaders") or {}
        return RateLimited(head, retry_after=_seconds(headers.get("retry-after")))
    if status >= 500 or status == 408:
        return SubmissionUncertain(head, answered=True) if submitting else BackendUnavailable(head)
    full = f"{head}: {_clean(message)}" if message else head
    if status == 404 or code in ("ResourceNotFoundException", "NoSuchKey", "NoSuchBucket"):
        if lost:
            return JobLost(f"{full}; {lost}")
        if code in ("NoSuchKey", "NoSuchBucket"):
            return ResultError(full)
    if status < 400:  # botocore found an error document in a good answer
        return SubmissionUncertain(full) if submitting else ProtocolError(full)
    if submitting:
        return SubmissionRejected(full, hint=_ADVICE.get(code, ""), code=code)
    return ProtocolError(full, hint=_ADVICE.get(code, ""))


def from_transport(cause: Exception, doing: str, *, submitting: bool = False) -> QimgError:
    """An error of botocore before or instead of an answer.

    Returns:
        AuthenticationError: no credentials, or a log-in that is over.
        ConfigurationError: no region, or a request that the service's own model does not allow.
        BackendUnavailable: nothing was sent, or a read went wrong.
        SubmissionUncertain: something was sent.
    """
    import botocore.exceptions as b

    name = type(cause).__name__
    credentials = (
        b.NoCredentialsError,
        b.PartialCredentialsError,
        b.CredentialRetrievalError,
        b.NoAuthTokenError,
        b.TokenRetrievalError,
        b.SSOError,
        b.ProfileNotFound,
        b.UnauthorizedSSOTokenError,
    )
    if isinstance(cause, credentials):
        return AuthenticationError(f"no AWS credentials to use while {doing} ({name})", hint=LOGIN)
    if isinstance(cause, b.NoRegionError):
        return ConfigurationError("no AWS region is chosen", hint="export AWS_REGION=us-east-1, or choose a profile")
    if isinstance(cause, (b.ParamValidationError, b.InvalidRegionError, b.UnknownEndpointError)):
        return ConfigurationError(f"while {doing}: {name}: {_clean(str(cause))}")
    if isinstance(cause, (b.EndpointConnectionError, b.ConnectTimeoutError, b.ProxyConnectionError, b.SSLError)):
        return BackendUnavailable(f"while {doing}: no connection to Amazon Braket ({name}); nothing was sent")
    what = f"while {doing} no answer that can be read came back ({name})"
    return SubmissionUncertain(what) if submitting else BackendUnavailable(what)


def _authentication(code: str, message: str, doing: str) -> AuthenticationError:
    if code in _EXPIRED:
        return AuthenticationError(f"the AWS credentials have expired ({code}), while {doing}", hint=LOGIN)
    action = _ACTION.search(message)
    if action:
        return AuthenticationError(
            f"these AWS credentials may not {action[1]}, while {doing} ({code})",
            hint="docs/how-to/providers/braket.md lists the permissions that are needed",
        )
    return AuthenticationError(f"AWS does not accept the credentials ({code}), while {doing}", hint=LOGIN)


def _clean(message: str) -> str:
    """One line, short, without anything that looks like a key or a token."""
    text = " ".join(message.split())
    text = re.sub(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b", "(key)", text)
    text = re.sub(r"(?i)(signature|credential|security-token|authorization)=?:?\s*\S+", r"\1 (hidden)", text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:  # a date; the core's own pause will do
        return None
