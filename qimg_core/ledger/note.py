r"""Signed notes and checkpoints (imports errors, merkle, signing; `cryptography` only inside functions).

Formats: C2SP signed-note, tlog-checkpoint and tlog-cosignature. A checkpoint is the text
``origin \n size \n base64 root \n``. The log signs it twice: with Ed25519 (type 0x01, over the
text) and with ML-DSA-44 (type 0x06, over the binary ``subtree/v1`` message with a time stamp).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger.merkle import HASH_SIZE
from qimg_core.ledger.signing import SigningKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

ED25519 = 0x01
MLDSA44 = 0x06
ALGORITHMS = {ED25519: "Ed25519", MLDSA44: "ML-DSA-44"}
_PUBLIC_SIZE = {ED25519: 32, MLDSA44: 1312}
_MOST_SIGNATURES = 64
_NAME = re.compile(r"[^\s+\x00-\x1f]{1,255}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_LONGEST_NAME = 255  # bytes: tlog-cosignature carries its length in one
_LATEST = (1 << 63) - 1  # tlog-cosignature: a time stamp must not exceed it


@frozen
class Checkpoint:
    """The head of a log: ``root`` (32 bytes) over the first ``size`` entries of the log ``origin``."""

    origin: str
    size: int
    root: bytes = field(repr=lambda root: root.hex())

    @property
    def text(self) -> bytes:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()

    @classmethod
    def parse(cls, text: bytes) -> Checkpoint:
        """Read the three lines; extension lines are refused, as one of the two signatures does not cover them.

        Raises:
            LedgerCorrupt: not a checkpoint.
        """
        try:
            origin, size, root, rest = text.decode().split("\n")
            found = cls(origin, int(size), decode64(root))
        except (ValueError, LedgerCorrupt) as error:
            raise LedgerCorrupt(f"not a checkpoint: {error}") from error
        named = 0 < len(origin.encode()) <= _LONGEST_NAME
        if rest or not named or not _SIZE.fullmatch(size) or len(found.root) != HASH_SIZE or found.text != text:
            raise LedgerCorrupt("not a checkpoint: origin, size and root lines are expected, and nothing else")
        return found


@frozen
class VerifierKey:
    """A public key that is trusted under a name. ``kind`` is the C2SP signature type byte."""

    name: str
    kind: int
    public: bytes = field(repr=False)

    @property
    def algorithm(self) -> str:
        """``"Ed25519"`` or ``"ML-DSA-44"``."""
        return ALGORITHMS[self.kind]

    @property
    def id(self) -> bytes:
        """Its four bytes, ``SHA-256(name || newline || type || public key)[:4]``."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        """The vkey form, ``name+id+base64(type || public key)``."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """Read the vkey form.

        Raises:
            LedgerCorrupt: malformed, of an unknown algorithm, or the id does not fit the key.
        """
        parts = vkey.split("+", 2)
        if len(parts) != 3 or not _named(parts[0]):
            raise LedgerCorrupt(f"not a verifier key: {vkey[:40]!r}")
        material = decode64(parts[2])
        kind = material[0] if material else 0
        if _PUBLIC_SIZE.get(kind) != len(material) - 1:
            raise LedgerCorrupt(f"the verifier key {parts[0]!r} is neither Ed25519 nor ML-DSA-44")
        key = cls(parts[0], kind, material[1:])
        if key.id.hex() != parts[1]:
            raise LedgerCorrupt(f"the verifier key {parts[0]!r} does not fit its id {parts[1]}")
        return key


@frozen
class SignatureLine:
    """One line of a note, not yet verified."""

    name: str
    key_id: bytes
    signature: bytes = field(repr=False)


@frozen
class Opened:
    """A note whose known signatures are right: by ``keys``, whose algorithms are ``verified``, line by line."""

    text: bytes
    verified: tuple[str, ...]
    unknown: int
    keys: tuple[VerifierKey, ...] = ()


def decode64(text: str) -> bytes:
    """Standard base64, the one canonical spelling only.

    Raises:
        LedgerCorrupt: anything else.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise LedgerCorrupt(f"bad base64: {error}") from error
    if base64.b64encode(data).decode() != text:
        raise LedgerCorrupt("bad base64: not in canonical form")
    return data


def split_note(note: bytes) -> tuple[bytes, tuple[SignatureLine, ...]]:
    """Text and signature lines of a note.

    Raises:
        LedgerCorrupt: not a signed note.
    """
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise LedgerCorrupt(f"not a signed note: {error}") from error
    at = whole.rfind("\n\n")
    if at < 0 or not whole.endswith("\n") or any(c < " " and c != "\n" for c in whole):
        raise LedgerCorrupt("not a signed note: text, an empty line and signature lines are expected")
    lines = whole[at + 2 : -1].split("\n")
    if len(lines) > _MOST_SIGNATURES:
        raise LedgerCorrupt(f"not a signed note: {len(lines)} signatures, at most {_MOST_SIGNATURES} are read")
    found = []
    for line in lines:
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014" or not _NAME.fullmatch(parts[1]):
            raise LedgerCorrupt(f"not a signature line: {line[:40]!r}")
        data = decode64(parts[2])
        if len(data) < 5:
            raise LedgerCorrupt(f"not a signature line: {line[:40]!r}")
        found.append(SignatureLine(parts[1], data[:4], data[4:]))
    return whole[: at + 1].encode(), tuple(found)


def subtree_message(name: str, time: int, checkpoint: Checkpoint) -> bytes:
    """The bytes that ML-DSA-44 signs: `cosigned_message` of C2SP tlog-cosignature, start 0."""
    who, log = name.encode(), checkpoint.origin.encode()
    return b"".join(
        [
            b"subtree/v1\n\x00",
            struct.pack(">B", len(who)) + who,
            struct.pack(">Q", time),
            struct.pack(">B", len(log)) + log,
            struct.pack(">QQ", 0, checkpoint.size),
            checkpoint.root,
        ]
    )


def open_note(note: bytes, keys: tuple[VerifierKey, ...]) -> Opened:
    """Verify a note against trusted keys. Lines of unknown keys are ignored, as C2SP demands.

    Raises:
        LedgerCorrupt: malformed, a trusted key's line is wrong, or no trusted key signed it.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

    text, lines = split_note(note)
    known = {(key.name, key.id): key for key in keys}
    signed = []
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        try:
            if key.kind == ED25519:
                Ed25519PublicKey.from_public_bytes(key.public).verify(line.signature, text)
            else:
                time = int.from_bytes(line.signature[:8], "big")
                if len(line.signature) < 9 or time > _LATEST:
                    raise InvalidSignature
                message = subtree_message(key.name, time, Checkpoint.parse(text))
                MLDSA44PublicKey.from_public_bytes(key.public).verify(line.signature[8:], message)
        except (InvalidSignature, ValueError) as error:
            raise LedgerCorrupt(f"the {key.algorithm} signature of {key.name} is wrong") from error
        signed.append(key)
    if not signed:
        raise LedgerCorrupt(f"no trusted key signed this note ({len(lines)} unknown signature(s))")
    return Opened(text, tuple(key.algorithm for key in signed), len(lines) - len(signed), tuple(signed))


@frozen
class Signer:
    """The private keys of a log, in this process or elsewhere.

    Args:
        origin: name of the log and of its keys; no spaces, no plus sign, at most 255 bytes.
        ed25519: signs notes as they are.
        mldsa44: signs checkpoints, with a time stamp.
        successor: signs checkpoints beside these keys: the hand-over to it.
    """

    origin: str = field()
    ed25519: Ed25519PrivateKey | SigningKey = field(repr=False)
    mldsa44: MLDSA44PrivateKey | SigningKey = field(repr=False)
    successor: Signer | None = field(default=None, repr=False)

    @origin.validator
    def _check_origin(self, _: object, origin: str) -> None:
        check_origin(origin)

    @classmethod
    def generate(cls, origin: str) -> Signer:
        """New keys from the operating system's randomness."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

        return cls(origin, Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate())

    @property
    def keys(self) -> tuple[VerifierKey, VerifierKey]:
        """The public halves, first Ed25519, then ML-DSA-44."""
        return (
            VerifierKey(self.origin, ED25519, _public(self.ed25519)),
            VerifierKey(self.origin, MLDSA44, _public(self.mldsa44)),
        )

    def sign_text(self, text: bytes) -> bytes:
        """A note with one Ed25519 signature over any text.

        Raises:
            ConfigurationError: the text does not end in a newline, or would read as a checkpoint.
        """
        if not text.endswith(b"\n"):
            raise ConfigurationError("the text of a note ends in a newline")
        try:
            Checkpoint.parse(text)
        except LedgerCorrupt:
            return text + b"\n" + self._line(self.keys[0], self.ed25519.sign(text))
        raise ConfigurationError("checkpoints are signed by the ledger only, so that none contradicts another")

    def sign_checkpoint(self, checkpoint: Checkpoint, time: int) -> bytes:
        """The signed note of a checkpoint, with both signatures; with four at a hand-over.

        Args:
            checkpoint: of this signer's log.
            time: seconds since 1970, goes under the ML-DSA-44 signature.

        Raises:
            ConfigurationError: the checkpoint is of another log.
        """
        if checkpoint.origin != self.origin:
            raise ConfigurationError(f"the keys of {self.origin} do not sign for {checkpoint.origin}")
        ed25519, mldsa44 = self.keys
        second = struct.pack(">Q", time) + self.mldsa44.sign(subtree_message(self.origin, time, checkpoint))
        lines = self._line(ed25519, self.ed25519.sign(checkpoint.text)) + self._line(mldsa44, second)
        if self.successor is None:
            return checkpoint.text + b"\n" + lines
        return checkpoint.text + b"\n" + lines + self.successor.sign_checkpoint(checkpoint, time).split(b"\n\n", 1)[1]

    def close(self) -> None:
        """Release keys that live elsewhere."""
        for key in (self.ed25519, self.mldsa44):
            if isinstance(key, SigningKey):
                key.close()

    def _line(self, key: VerifierKey, signature: bytes) -> bytes:
        return f"\u2014 {key.name} {base64.b64encode(key.id + signature).decode()}\n".encode()


def check_origin(origin: str) -> str:
    """The name of a log, checked.

    Raises:
        ConfigurationError: empty, too long, or with a space or plus sign in it.
    """
    if not _named(origin):
        raise ConfigurationError(
            f"{origin!r} cannot name a log", hint="use a name such as example.org/images: no spaces, no plus sign"
        )
    return origin


def parse_keys(text: str) -> tuple[VerifierKey, ...]:
    """The vkeys of a file, one a line, all of one name.

    Raises:
        LedgerCorrupt: none, malformed, or of several names.
    """
    keys = tuple(VerifierKey.parse(line) for line in text.removesuffix("\n").split("\n"))
    if len({key.name for key in keys}) != 1:
        raise LedgerCorrupt("the verifier keys bear different names")
    return keys


def _named(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and len(name.encode()) <= _LONGEST_NAME


def _public(key: Ed25519PrivateKey | MLDSA44PrivateKey | SigningKey) -> bytes:
    return key.public if isinstance(key, SigningKey) else key.public_key().public_bytes_raw()
