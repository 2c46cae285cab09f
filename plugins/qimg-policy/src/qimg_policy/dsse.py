"""in-toto statements in DSSE envelopes (imports errors, canonical JSON, keys).

Formats: DSSE v1 (github.com/secure-systems-lab/dsse, protocol.md) with its pre-authentication encoding, and
in-toto Statement v1 (github.com/in-toto/attestation, spec/v1/statement.md).
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import ConfigurationError
from qimg_core.ledger import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qimg_policy.keys import PublicKey, SigningKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"


def pae(payload_type: str, payload: bytes) -> bytes:
    """``DSSEv1 SP LEN(type) SP type SP LEN(payload) SP payload``: what is signed."""
    name = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


@frozen
class Opened:
    """A statement whose signatures were checked; ``signers`` are those known keys that hold."""

    statement: dict[str, Any]
    signers: tuple[PublicKey, ...]


def seal(
    predicate_type: str, subjects: Mapping[str, str], predicate: Mapping[str, Any], keys: Iterable[SigningKey]
) -> bytes:
    """A signed statement, as the bytes of its envelope.

    Args:
        predicate_type: URI.
        subjects: name to ``sha256:`` digest.
        predicate: without floats.
        keys: who signs.
    """
    payload = canonical.dumps(
        {
            "_type": STATEMENT,
            "subject": [
                {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
                for name, digest in sorted(subjects.items())
            ],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )
    return envelope(payload, keys)


def envelope(payload: bytes, keys: Iterable[SigningKey]) -> bytes:
    """The envelope of a payload that is there already, e.g. to add a signature of one's own."""
    signed = pae(PAYLOAD_TYPE, payload)
    signatures = [
        {"keyid": k.public.id, "sig": base64.b64encode(k.sign(signed)).decode()}
        for k in sorted(keys, key=lambda k: k.public.id)
    ]
    document = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": signatures,
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def _no_envelope() -> ConfigurationError:
    return ConfigurationError(
        "not a DSSE envelope with an in-toto statement",
        hint="qimg policy approve, waive or revoke with --out FILE writes one",
    )


def predicate_type(data: bytes) -> str:
    """What kind of statement an envelope claims to hold, unchecked.

    Raises:
        ConfigurationError: no envelope.
    """
    try:
        return str(json.loads(base64.b64decode(json.loads(data)["payload"], validate=True))["predicateType"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_envelope() from error


def unseal(data: bytes, predicate_type: str, trusted: Iterable[PublicKey]) -> Opened:
    """Read an envelope and check its signatures against the keys that are trusted.

    Signatures by unknown keys are left out of ``signers``. The key id in the envelope is a hint; what counts is
    which key verifies.

    Raises:
        ConfigurationError: no envelope, another type, or a signature under a trusted key's id that does not hold.
    """
    try:
        document = json.loads(data)
        payload = base64.b64decode(document["payload"], validate=True)
        signatures = [(str(s["keyid"]), base64.b64decode(s["sig"], validate=True)) for s in document["signatures"]]
        kind = document["payloadType"]
        statement = canonical.loads(payload)
        good = kind == PAYLOAD_TYPE and statement["_type"] == STATEMENT
        good = good and statement["predicateType"] == predicate_type and isinstance(statement["predicate"], dict)
        good = good and all(isinstance(s["digest"]["sha256"], str) for s in statement["subject"])
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError, ConfigurationError) as error:
        raise _no_envelope() from error
    if not good:
        raise ConfigurationError(f"a DSSE envelope of another type, wanted a statement {predicate_type}")
    keys = {k.id: k for k in trusted}
    signed, found = pae(PAYLOAD_TYPE, payload), {}
    for keyid, signature in signatures:
        key = keys.get(keyid)
        if key is None:
            continue
        if not key.verifies(signature, signed):
            raise ConfigurationError(f"the signature of {key.name} does not hold: forged, or the file was changed")
        found[key.id] = key
    return Opened(statement, tuple(found.values()))
