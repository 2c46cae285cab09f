"""A time stamp as an outside memory: RFC 3161 over HTTP (imports wire; rfc3161-client and `cryptography` inside).

What is stamped is SHA-256 of the text of the checkpoint: origin, size, root. The authority remembers nothing; its
token proves that this head existed at that time, so a history that is written
later cannot be dated back: `describe` shows where the log claims another time of signing.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qimg_anchors.wire import checked_timeout, checked_url, exchange, new_client
from qimg_core.errors import ConfigurationError, OutsideMemoryError
from qimg_core.ledger.base import Problem
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.ledger.outside import OutsideMemory, Receipt
from qimg_core.storage import storage_error

if TYPE_CHECKING:
    import httpx
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse

    from qimg_core.ledger.base import Ledger

_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"
_MLDSA44 = 8 + 2420  # bytes of a time and an ML-DSA-44 signature
_LAST = 253402300800  # the year 10000, which no date here can hold
_NEAR = dt.timedelta(hours=1)


class TimeStamp(OutsideMemory):
    """A time-stamping authority.

    Args:
        name: of the memory.
        url: of the authority; http or https.
        roots: PEM file with the root certificates that are trusted for it, and for nothing else here.
        folder: against which a relative ``roots`` is read.
        policy: dotted object identifier of the policy that a token must bear; any where it is not given.
        timeout: seconds for connecting, and for each read.
        transport: replaces the network in tests.

    Raises:
        ConfigurationError: a URL or a file that is none.
        StorageError: the file cannot be read.
    """

    kind: Literal["timestamp"] = "timestamp"

    def __init__(
        self,
        name: str,
        url: str,
        roots: str,
        folder: Path | None = None,
        policy: str | None = None,
        timeout: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        from cryptography.x509 import ObjectIdentifier

        self.name = name
        self._url = checked_url(url, "the time-stamping authority")
        self._roots = _certificates((folder or Path()) / roots)
        try:
            self._policy = None if policy is None else ObjectIdentifier(policy)
        except ValueError as error:
            raise ConfigurationError(f"policy: {policy!r} is no object identifier such as 1.2.3.4.1") from error
        self._timeout, self._transport = checked_timeout(timeout), transport
        self._http: httpx.Client | None = None

    def keep(self, ledger: Ledger, note: bytes) -> Receipt:
        """Have the head's text stamped, with a fresh nonce; see `OutsideMemory.keep`."""
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, decode_timestamp_response

        text, _ = split_note(note)
        head = Checkpoint.parse(text)
        asked = TimestampRequestBuilder().data(text).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True)
        request = asked.cert_request(cert_request=True).build()
        token = self._send(request.as_bytes())
        try:
            reply = decode_timestamp_response(token)
        except ValueError as error:
            raise OutsideMemoryError("its answer is no time-stamp reply") from error
        problem = self._wrong(reply, text, request.nonce)
        if problem:
            raise OutsideMemoryError(problem)
        return Receipt(
            memory=self.name,
            kind="timestamp",
            size=head.size,
            root=head.root,
            evidence=token,
            facts={**_facts(reply), "signed": _signed(note)},
        )

    def check(self, receipt: Receipt, note: bytes) -> tuple[Problem, ...]:
        """Verify the token against the pinned roots, offline, at the time that it bears."""
        from rfc3161_client import decode_timestamp_response

        where = f"head {receipt.size}"
        text, _ = split_note(note)
        try:
            reply = decode_timestamp_response(receipt.evidence)
        except ValueError:
            return (Problem(where, "the evidence is no time-stamp reply"),)
        if problem := self._wrong(reply, text, None):
            return (Problem(where, problem),)
        facts = {**_facts(reply), "signed": _signed(note)}
        stated = {name: receipt.facts.get(name) for name in facts}
        if stated != facts:
            return (Problem(where, f"the token is of {facts['time']}, the receipt says {stated['time']}"),)
        return ()

    def describe(self, receipt: Receipt) -> str:
        """The time in the token; and when the log says that it signed, where that was more than an hour away."""
        from rfc3161_client import decode_timestamp_response

        time = str(_facts(decode_timestamp_response(receipt.evidence))["time"])
        signed = receipt.facts.get("signed")
        said = f"time stamp of {time[:19]}Z"
        if signed is None or abs(dt.datetime.fromisoformat(time) - dt.datetime.fromisoformat(signed)) < _NEAR:
            return said
        return f"{said}, though the log says that it signed this head at {signed}"

    def newest(self, origin: str) -> Checkpoint | None:
        """None: an authority remembers nothing that it could be asked for."""
        return None

    def close(self) -> None:
        """Let go of connections."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _wrong(self, reply: TimeStampResponse, text: bytes, nonce: int | None) -> str:
        """What is wrong with a reply, or an empty string."""
        from rfc3161_client import VerificationError, VerifierBuilder

        if reply.status != 0:
            return f"the authority refused: status {reply.status}"
        builder = VerifierBuilder(policy_id=self._policy, roots=list(self._roots), nonce=nonce)
        try:
            builder.build().verify_message(reply, text)
        except (VerificationError, ValueError) as error:
            return f"the token does not hold: {error}"
        return ""

    def _send(self, body: bytes) -> bytes:
        if self._http is None:
            self._http = new_client(self._timeout, self._transport)
        reply = exchange(self._http, "POST", self._url, body, {"Content-Type": _QUERY, "Accept": _REPLY})
        if reply.status != 200:
            raise OutsideMemoryError(f"answered {reply.status}")
        if reply.content_type.partition(";")[0].strip().lower() != _REPLY:
            raise OutsideMemoryError(f"answered something else than {_REPLY}")
        return reply.body


def _facts(reply: TimeStampResponse) -> dict[str, Any]:
    """Time, policy and serial number of a token, as the record holds them."""
    info = reply.tst_info
    when = info.gen_time.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    policy = None if info.policy is None else info.policy.dotted_string
    return {"time": when, "policy": policy, "serial": str(info.serial_number)}


def _signed(note: bytes) -> str | None:
    """When the log says that it signed a head: the time beside its ML-DSA-44 signature; None where there is none."""
    times = [
        int.from_bytes(line.signature[:8], "big") for line in split_note(note)[1] if len(line.signature) == _MLDSA44
    ]
    if not times or not 0 < max(times) < _LAST:
        return None
    return dt.datetime.fromtimestamp(max(times), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _certificates(path: Path) -> tuple[Certificate, ...]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return tuple(load_pem_x509_certificates(path.read_bytes()))
    except FileNotFoundError as error:
        raise ConfigurationError(f"no file of root certificates {path}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} holds no certificates in PEM") from error
    except OSError as error:
        raise storage_error(error, "read", path) from error
