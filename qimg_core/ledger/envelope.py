"""What a log's keys sign in a DSSE envelope (imports errors, note; `cryptography` only inside functions).

``PAE = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body`` (secure-systems-lab/dsse, protocol.md). Ed25519 signs these
bytes; ML-DSA-44 signs ``"tuf" 0x01 SHA-512(PAE)``, the scheme ``ml-dsa-44/1`` of TAP 21. Neither can be read as a
checkpoint, a note's text with a newline at its end, or a ``subtree/v1`` message: no other use of the keys is opened.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger.note import ED25519, MLDSA44, VerifierKey

if TYPE_CHECKING:
    from qimg_core.ledger.note import Signer

Signatures = tuple[tuple[VerifierKey, bytes], ...]


def pae(kind: str, body: bytes) -> bytes:
    """The pre-authentication encoding of a payload."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(body), body)


def mldsa_message(encoded: bytes) -> bytes:
    """What ML-DSA-44 signs of a pre-authentication encoding, after TAP 21."""
    return b"tuf\x01" + hashlib.sha512(encoded).digest()


def sign_envelope(signer: Signer, encoded: bytes) -> Signatures:
    """Both signatures over a pre-authentication encoding.

    Raises:
        ConfigurationError: it is something else.
        LedgerError: a key that lives elsewhere cannot be reached.
    """
    if not encoded.startswith(b"DSSEv1 "):
        raise ConfigurationError("not the pre-authentication encoding of an envelope", hint="see `pae`")
    ed25519, mldsa44 = signer.keys
    return (ed25519, signer.ed25519.sign(encoded)), (mldsa44, signer.mldsa44.sign(mldsa_message(encoded)))


def check_signature(key: VerifierKey, encoded: bytes, signature: bytes) -> None:
    """Is this a key's signature of an envelope?

    Raises:
        LedgerCorrupt: it is not, or the key is of another kind.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

    try:
        if key.kind == ED25519:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, encoded)
        elif key.kind == MLDSA44:
            MLDSA44PublicKey.from_public_bytes(key.public).verify(signature, mldsa_message(encoded))
        else:
            raise LedgerCorrupt(f"the key {key.name} does not sign envelopes")
    except (InvalidSignature, ValueError) as error:
        raise LedgerCorrupt(f"the {key.algorithm} signature of {key.name} over the envelope is wrong") from error
