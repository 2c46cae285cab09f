r"""Cosignatures: what a witness says about a head (imports errors, note; `cryptography` only inside functions).

Format: C2SP tlog-cosignature. A cosignature is a signature line of a note whose bytes are a time (8 bytes, big
endian, seconds since 1970) and a signature, either

- Ed25519, type 0x04, over ``cosignature/v1 \n time SECONDS \n`` and the whole text of the checkpoint, or
- ML-DSA-44, type 0x06, over the binary ``subtree/v1`` message, which names the witness too.

It says: at that time this was the largest head of that log that I had seen, and it extends all that I saw before.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger.note import (
    ED25519,
    MLDSA44,
    Checkpoint,
    SignatureLine,
    VerifierKey,
    check_origin,
    decode64,
    split_note,
    subtree_message,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

COSIGNATURE_V1 = 0x04
"""Signature type of a cosignature with Ed25519; `qimg_core.ledger.note.MLDSA44` is the other."""

LOG_KINDS = frozenset({ED25519, MLDSA44})
"""Signature types with which a log signs its heads (C2SP tlog-checkpoint)."""

WITNESS_KINDS = frozenset({COSIGNATURE_V1, MLDSA44})
"""Signature types of cosignatures (C2SP tlog-cosignature)."""

_LAST_TIME = 2**63 - 1


@frozen
class Signed:
    """A line of a note whose signature is right.

    Args:
        key: the trusted key that made it.
        time: of a cosignature, seconds since 1970; None for a plain Ed25519 signature.
    """

    key: VerifierKey
    time: int | None


def parse_vkey(text: str) -> VerifierKey:
    """The vkey of a log or of a witness: types 0x01, 0x04 and 0x06.

    Raises:
        LedgerCorrupt: malformed, of another type, or the id does not fit the key.
    """
    name, _, rest = text.partition("+")
    stated, _, material = rest.partition("+")
    try:
        data = decode64(material)
        check_origin(name)
    except (LedgerCorrupt, ConfigurationError) as error:
        raise LedgerCorrupt(f"not a verifier key: {text[:40]!r}") from error
    if data[:1] != bytes([COSIGNATURE_V1]):
        return VerifierKey.parse(text)
    key = VerifierKey(name, COSIGNATURE_V1, data[1:])
    if len(key.public) != 32 or key.id.hex() != stated:
        raise LedgerCorrupt(f"the verifier key {name!r} does not fit its id {stated}")
    return key


def head_of(text: bytes) -> Checkpoint:
    """The first three lines of a checkpoint that may have extension lines (C2SP tlog-checkpoint).

    Raises:
        LedgerCorrupt: not a checkpoint.
    """
    lines = text.split(b"\n")
    extensions = lines[3:-1]
    if len(lines) < 4 or lines[-1] or b"" in extensions:
        raise LedgerCorrupt("not a checkpoint: origin, size and root lines are expected, each with its newline")
    return Checkpoint.parse(b"\n".join(lines[:3]) + b"\n")


def ed25519_message(text: bytes, time: int) -> bytes:
    """What an Ed25519 cosignature signs, for the text of a checkpoint with its extension lines."""
    return b"cosignature/v1\ntime %d\n" % time + text


def verify_lines(
    text: bytes, lines: Iterable[SignatureLine], keys: Iterable[VerifierKey], *, timed: bool = True
) -> tuple[Signed, ...]:
    """Verify the lines of a checkpoint that trusted keys made; the others are ignored, as C2SP demands.

    Args:
        text: the checkpoint, with its extension lines if any.
        lines: as `qimg_core.ledger.note.split_note` gives them.
        keys: of logs and of witnesses.
        timed: a time of zero (which says nothing about what is newest) is refused.

    Returns:
        One for each right line, in their order; empty where no trusted key signed.

    Raises:
        LedgerCorrupt: not a checkpoint, or a trusted key's line is wrong.
    """
    head = head_of(text)
    known = {(key.name, key.id): key for key in keys}
    found = []
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is not None:
            found.append(Signed(key, _verify(key, line.signature, text, head, timed)))
    return tuple(found)


def verify_note(
    note: bytes, keys: Iterable[VerifierKey], *, timed: bool = True
) -> tuple[Checkpoint, tuple[Signed, ...]]:
    """Split a cosigned checkpoint and verify it. See `verify_lines`."""
    text, lines = split_note(note)
    return head_of(text), verify_lines(text, lines, keys, timed=timed)


def _verify(key: VerifierKey, signature: bytes, text: bytes, head: Checkpoint, timed: bool) -> int | None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

    time = None if key.kind == ED25519 else int.from_bytes(signature[:8], "big")
    try:
        if time is None:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text)
        elif len(signature) <= 8 or time > _LAST_TIME:
            raise LedgerCorrupt(f"the cosignature of {key.name} bears no time")
        elif key.kind == COSIGNATURE_V1:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature[8:], ed25519_message(text, time))
        else:
            message = subtree_message(key.name, time, head)
            MLDSA44PublicKey.from_public_bytes(key.public).verify(signature[8:], message)
    except (InvalidSignature, ValueError) as error:
        raise LedgerCorrupt(f"a signature by {key.name} ({key.id.hex()}) is wrong") from error
    if time == 0 and timed and key.kind in WITNESS_KINDS:
        raise LedgerCorrupt(f"the cosignature of {key.name} bears no time")
    return time


def signature_line(key: VerifierKey, signature: bytes) -> bytes:
    """A signature line of a note, with its newline."""
    return f"\u2014 {key.name} {base64.b64encode(key.id + signature).decode()}\n".encode()


@frozen
class Cosigner:
    """The private keys of a witness, one of each algorithm; each makes a line of its own.

    Args:
        name: of the witness and of its keys: a URL without scheme, no spaces, no plus sign. An Ed25519
            cosignature does not cover the name: never use one key under two names.
        ed25519: for verifiers that know Ed25519 only.
        mldsa44: what C2SP recommends; withstands quantum computers.
    """

    name: str = field()
    ed25519: Ed25519PrivateKey = field(repr=False)
    mldsa44: MLDSA44PrivateKey = field(repr=False)

    @name.validator
    def _check_name(self, _: object, name: str) -> None:
        check_origin(name)

    @classmethod
    def generate(cls, name: str) -> Cosigner:
        """New keys from the operating system's randomness."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

        return cls(name, Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate())

    @property
    def keys(self) -> tuple[VerifierKey, VerifierKey]:
        """The public halves, first Ed25519 (type 0x04), then ML-DSA-44 (type 0x06)."""
        return (
            VerifierKey(self.name, COSIGNATURE_V1, self.ed25519.public_key().public_bytes_raw()),
            VerifierKey(self.name, MLDSA44, self.mldsa44.public_key().public_bytes_raw()),
        )

    def cosign(self, text: bytes, time: int) -> bytes:
        """Two signature lines for a checkpoint.

        Args:
            text: the checkpoint, with its extension lines if any. Whether it extends what was cosigned before
                is for the caller to know.
            time: seconds since 1970, from 1 on.

        Raises:
            ConfigurationError: the time is out of range.
            LedgerCorrupt: not a checkpoint.
        """
        if not 0 < time <= _LAST_TIME:
            raise ConfigurationError(f"a cosignature bears the seconds since 1970, from 1 on, not {time}")
        head = head_of(text)
        stamp = time.to_bytes(8, "big")
        ed25519, mldsa44 = self.keys
        return signature_line(ed25519, stamp + self.ed25519.sign(ed25519_message(text, time))) + signature_line(
            mldsa44, stamp + self.mldsa44.sign(subtree_message(self.name, time, head))
        )
