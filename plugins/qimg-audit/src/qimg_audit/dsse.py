"""Signed envelopes: DSSE v1 by a log's own Ed25519 key (imports qimg_core).

``PAE = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body`` (secure-systems-lab/dsse, protocol.md); the signature is
over these bytes. The log signs texts that end in a newline and are no checkpoint; a JSON payload with a newline at its
end makes the PAE such a text, so no other use of the key is opened.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from qimg_core.errors import LedgerCorrupt
from qimg_core.ledger.note import ED25519, VerifierKey, open_note, split_note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.ledger.base import Ledger

IN_TOTO = "application/vnd.in-toto+json"


def pae(kind: str, body: bytes) -> bytes:
    """The pre-authentication encoding of a payload."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(body), body)


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
    _, lines = split_note(ledger.sign_text(pae(kind, body)))
    ids = {key.id: key for key in ledger.keys}
    return {
        "payloadType": kind,
        "payload": base64.b64encode(body).decode(),
        "signatures": [
            {"keyid": key_name(ids[line.key_id]), "sig": base64.b64encode(line.signature).decode()} for line in lines
        ],
    }


def key_name(key: VerifierKey) -> str:
    """The ``keyid`` of a log's key: its name and id, as its vkey begins."""
    return f"{key.name}+{key.id.hex()}"


def verify(envelope: dict[str, Any], keys: Iterable[VerifierKey]) -> dict[str, Any]:
    """The document of an envelope that one of these Ed25519 keys signed.

    Raises:
        LedgerCorrupt: malformed, or no trusted key signed it.
    """
    trusted = tuple(key for key in keys if key.kind == ED25519)
    try:
        body = base64.b64decode(envelope["payload"], validate=True)
        text = pae(envelope["payloadType"], body)
        lines = []
        for signature in envelope["signatures"]:
            for key in trusted:
                if signature["keyid"] == key_name(key):
                    raw = key.id + base64.b64decode(signature["sig"], validate=True)
                    lines.append(f"\u2014 {key.name} {base64.b64encode(raw).decode()}\n".encode())
        open_note(text + b"\n" + b"".join(lines), trusted)
        document: dict[str, Any] = json.loads(body)
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerCorrupt(f"not a DSSE envelope: {error!r}") from error
    return document
