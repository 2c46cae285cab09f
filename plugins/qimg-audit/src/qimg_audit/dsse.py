"""Signed envelopes: DSSE v1 by a log's own two keys (imports qimg_core)."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from qimg_core.errors import LedgerCorrupt
from qimg_core.ledger.envelope import check_signature, pae

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.note import VerifierKey

IN_TOTO = "application/vnd.in-toto+json"


def sign(ledger: Ledger, document: dict[str, Any], kind: str = IN_TOTO) -> dict[str, Any]:
    """An envelope over a JSON document, signed by the log.

    Args:
        ledger: open for writing.
        document: without floats.
        kind: the payload's type.

    Raises:
        LedgerError: the ledger is open for reading only.
    """
    body = json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return {
        "payloadType": kind,
        "payload": base64.b64encode(body).decode(),
        "signatures": [
            {"keyid": key_name(key), "sig": base64.b64encode(signature).decode()}
            for key, signature in ledger.sign_envelope(pae(kind, body))
        ],
    }


def key_name(key: VerifierKey) -> str:
    """The ``keyid`` of a log's key: its name and id, as its vkey begins."""
    return f"{key.name}+{key.id.hex()}"


def verify(envelope: dict[str, Any], keys: Iterable[VerifierKey]) -> dict[str, Any]:
    """The document of an envelope that one of these keys signed; no signature by any of them may be wrong.

    Raises:
        LedgerCorrupt: malformed, a trusted key's signature is wrong, or no trusted key signed it.
    """
    trusted = {key_name(key): key for key in keys}
    try:
        body = base64.b64decode(envelope["payload"], validate=True)
        text = pae(envelope["payloadType"], body)
        signed = 0
        for signature in envelope["signatures"]:
            key = trusted.get(signature["keyid"])
            if key is not None:
                check_signature(key, text, base64.b64decode(signature["sig"], validate=True))
                signed += 1
        if not signed:
            raise LedgerCorrupt("no trusted key signed this envelope")
        document: dict[str, Any] = json.loads(body)
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerCorrupt(f"not a DSSE envelope: {error!r}") from error
    return document
