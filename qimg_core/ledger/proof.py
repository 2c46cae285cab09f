r"""Proofs that stand alone: C2SP tlog-proof files (imports errors, history, merkle, note).

::

    c2sp.org/tlog-proof@v1
    extra BASE64              here: the 32-byte leaf hash of the entry
    index 73894
    BASE64                    hashes of the inclusion path, lowest first
                              an empty line
    ORIGIN                    the signed checkpoint, as the log gave it out

The ``extra`` line is not signed, and needs not be: a leaf hash that is not in the log fails. So the file shows by
itself that an entry with this hash stands at this place, and with the entry's bytes, that it is this entry.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger.merkle import HASH_SIZE, leaf_hash, verify_inclusion
from qimg_core.ledger.note import Checkpoint, decode64, split_note

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.history import KeyHistory

MAGIC = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
_MOST_HASHES = 63


@frozen(kw_only=True)
class LogProof:
    """That an entry stands under a signed head.

    Args:
        index: of the entry, from 0.
        hashes: its inclusion path, 32 bytes each, lowest first.
        note: the signed checkpoint.
        extra: unsigned bytes; the entry's leaf hash in proofs of ours.
    """

    index: int
    hashes: tuple[bytes, ...] = field(repr=False)
    note: bytes = field(repr=False)
    extra: bytes | None = field(default=None, repr=False)

    def dumps(self) -> bytes:
        """The bytes of the file."""
        lines = [MAGIC]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines += [f"index {self.index}", *(base64.b64encode(part).decode() for part in self.hashes), "", ""]
        return "\n".join(lines).encode() + self.note

    @classmethod
    def parse(cls, data: bytes) -> LogProof:
        """Read a file, strictly.

        Raises:
            LedgerCorrupt: malformed.
        """
        head, separator, note = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise LedgerCorrupt(f"not a tlog-proof: {error}") from error
        if lines.pop(0) != MAGIC or not separator or not lines:
            raise LedgerCorrupt(f"not a tlog-proof: its first line is {MAGIC!r}, and an empty line ends its head")
        extra = decode64(lines.pop(0)[len("extra ") :]) if lines[0].startswith("extra ") else None
        found = _INDEX.fullmatch(lines[0]) if lines else None
        if found is None:
            raise LedgerCorrupt("not a tlog-proof: no index line")
        hashes = tuple(decode64(line) for line in lines[1:])
        if len(hashes) > _MOST_HASHES or any(len(part) != HASH_SIZE for part in hashes):
            raise LedgerCorrupt("not a tlog-proof: its path is not of SHA-256 hashes")
        return cls(index=int(found[1]), hashes=hashes, note=note, extra=extra)

    def check(self, history: KeyHistory, body: bytes | None = None) -> ProofCheck:
        """Verify the signatures of the head and the path to it.

        Args:
            history: the trusted keys.
            body: the entry's bytes; else the leaf hash in ``extra`` is taken, and no entry is looked at.

        Raises:
            LedgerCorrupt: something does not hold; says what.
            ConfigurationError: neither a body nor a leaf hash.
        """
        if body is None and (self.extra is None or len(self.extra) != HASH_SIZE):
            raise ConfigurationError("the proof names no leaf hash", hint="give the entry's bytes with --entry FILE")
        leaf = leaf_hash(body) if body is not None else self.extra or b""
        opened = history.open_head(self.note)
        head = opened.checkpoint
        if opened.problem:
            raise LedgerCorrupt(f"the head over {head.size} entries is {opened.problem}")
        if head.origin != history.origin:
            raise LedgerCorrupt(f"the head is of the log {head.origin}, the keys are of {history.origin}")
        if not verify_inclusion(self.index, head.size, leaf, self.hashes, head.root):
            what = "this entry" if body is not None else "an entry with this hash"
            raise LedgerCorrupt(f"{what} is not shown to be entry {self.index} of the {head.size} that were signed")
        return ProofCheck(
            checkpoint=head, index=self.index, leaf=leaf, verified=opened.verified, revoked=opened.revoked
        )


@frozen(kw_only=True)
class ProofCheck:
    """What a proof shows: the head that holds, the entry's place and leaf hash, whose signatures were verified."""

    checkpoint: Checkpoint
    index: int
    leaf: bytes = field(repr=False)
    verified: tuple[str, ...]
    revoked: bool = False


def make_proof(ledger: Ledger, index: int, note: bytes | None = None) -> LogProof:
    """A proof for an entry.

    Args:
        ledger: may be open for reading only.
        index: of the entry.
        note: a signed head over it, perhaps with cosignatures; the first stored one by default, so that
            the same file is made whenever it is asked for.

    Raises:
        ConfigurationError: no signed head covers the entry yet.
    """
    for one in ledger.notes(index + 1) if note is None else (note,):
        size = Checkpoint.parse(split_note(one)[0]).size
        if size > index and not ledger.history.open_head(one).revoked:
            path = ledger.inclusion(index, size)
            return LogProof(index=index, hashes=path.proof, note=one, extra=path.leaf)
    raise ConfigurationError(
        f"no signed head covers entry {index} yet", hint="sign one with: qimg ledger checkpoint (or let the run end)"
    )
