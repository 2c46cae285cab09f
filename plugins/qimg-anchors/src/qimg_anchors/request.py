"""The bodies of C2SP tlog-witness requests and answers, written and read (imports the core's cosignature and note)."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import LedgerCorrupt
from qimg_core.ledger.cosignature import head_of
from qimg_core.ledger.merkle import HASH_SIZE
from qimg_core.ledger.note import decode64, split_note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.ledger.note import Checkpoint, SignatureLine

MOST_HASHES = 63
SIZE_TYPE = "text/x.tlog.size"
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,18}")


@frozen
class AddCheckpoint:
    """A request to cosign a head.

    Args:
        old: size of the head that the witness is believed to hold.
        proof: RFC 6962 consistency proof from there, lowest hash first, 32 bytes each.
        note: the signed checkpoint as it came; ``text``, ``lines`` and ``head`` are what it says.
    """

    old: int
    proof: tuple[bytes, ...] = field(repr=False)
    note: bytes = field(repr=False)
    text: bytes = field(repr=False)
    lines: tuple[SignatureLine, ...] = field(repr=False)
    head: Checkpoint


def write_request(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """The body of ``add-checkpoint``."""
    hashes = "".join(f"{b64encode(part).decode()}\n" for part in proof)
    return f"old {old}\n{hashes}\n".encode() + note


def read_request(body: bytes) -> AddCheckpoint:
    """Read the body of ``add-checkpoint``, strictly.

    Raises:
        LedgerCorrupt: against the specification.
    """
    head, empty, note = body.partition(b"\n\n")
    first, *rest = head.split(b"\n")
    if not empty or not first.startswith(b"old ") or not _NUMBER.fullmatch(first[4:]):
        raise LedgerCorrupt("not a request: wanted `old SIZE`, hashes, an empty line and a checkpoint")
    if len(rest) > MOST_HASHES:
        raise LedgerCorrupt(f"a proof of {len(rest)} hashes, at most {MOST_HASHES} are read")
    try:
        proof = tuple(decode64(line.decode("ascii")) for line in rest)
    except UnicodeDecodeError as error:
        raise LedgerCorrupt("a hash that is not base64") from error
    if any(len(part) != HASH_SIZE for part in proof):
        raise LedgerCorrupt("a hash that is not of 32 bytes")
    text, lines = split_note(note)
    return AddCheckpoint(int(first[4:]), proof, note, text, lines, head_of(text))


def read_size(content_type: str, body: bytes) -> int | None:
    """The size in the body of a 409, or None where it is none.

    Args:
        content_type: of the answer, parameters allowed.
        body: a decimal number and a newline.
    """
    if content_type.partition(";")[0].strip().lower() != SIZE_TYPE or not body.endswith(b"\n"):
        return None
    return int(body[:-1]) if _NUMBER.fullmatch(body[:-1]) else None


def origin_hash(origin: str) -> str:
    """Where a witness shows the newest head of a log: ``<prefix>/<this>/checkpoint``."""
    return hashlib.sha256(origin.encode()).hexdigest()
