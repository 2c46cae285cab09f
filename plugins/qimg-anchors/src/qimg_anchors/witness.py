"""A witness: decides what to cosign, as C2SP tlog-witness says (imports request, heads; no network here)."""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_anchors.heads import Held
from qimg_anchors.request import SIZE_TYPE, origin_hash, read_request
from qimg_core.errors import LedgerCorrupt
from qimg_core.ledger.cosignature import LOG_KINDS, parse_vkey, signature_line, verify_lines
from qimg_core.ledger.merkle import EMPTY_ROOT, verify_consistency

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qimg_anchors.heads import Heads
    from qimg_anchors.request import AddCheckpoint
    from qimg_core.ledger.cosignature import Cosigner
    from qimg_core.ledger.note import VerifierKey

_TEXT = "text/plain; charset=utf-8"


@frozen
class Answer:
    """What goes back: an HTTP status and a body. ``about`` is the log and size, for the witness's own log."""

    status: HTTPStatus
    body: bytes = field(default=b"", repr=False)
    content_type: str = _TEXT
    about: str = ""


class Witness:
    """Cosigns a head where it extends what was cosigned before.

    Any number of threads may call it; heads of one log are judged one after the other.

    Args:
        cosigner: the witness's keys.
        logs: origin -> the keys that may sign its heads.
        heads: its memory; every head is read, and so checked, here.
        clock: seconds since 1970.

    Raises:
        LedgerCorrupt: the memory is damaged.
    """

    def __init__(
        self,
        cosigner: Cosigner,
        logs: Mapping[str, tuple[VerifierKey, ...]],
        heads: Heads,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cosigner, self._logs, self._heads, self._clock = cosigner, dict(logs), heads, clock
        self._held: dict[str, Held | None] = {origin: heads.read(origin) for origin in self._logs}
        self._turns = {origin: threading.Lock() for origin in self._logs}
        self._hashes = {origin_hash(origin): origin for origin in self._logs}

    @property
    def held(self) -> dict[str, Held | None]:
        """Origin -> the newest head that was cosigned."""
        return dict(self._held)

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer ``POST <prefix>/add-checkpoint``.

        Raises:
            StorageError: the new head cannot be remembered, so it is not cosigned.
        """
        try:
            asked = read_request(body)
        except LedgerCorrupt as error:
            return _refusal(HTTPStatus.BAD_REQUEST, error.message, "")
        origin, about = asked.head.origin, f"{asked.head.origin} {asked.head.size}"
        keys = self._logs.get(origin)
        if keys is None:
            return _refusal(HTTPStatus.NOT_FOUND, f"the log {origin} is not known here", about)
        try:
            signed = verify_lines(asked.text, asked.lines, keys, timed=False)
        except LedgerCorrupt as error:
            return _refusal(HTTPStatus.FORBIDDEN, error.message, about)
        if not signed:
            return _refusal(HTTPStatus.FORBIDDEN, f"no key that is trusted for {origin} signed this", about)
        if asked.old > asked.head.size:
            return _refusal(HTTPStatus.BAD_REQUEST, "the old size is larger than the checkpoint's", about)
        with self._turns[origin]:
            return self._judge(asked, {(line.key.name, line.key.id): line.key for line in signed}, about)

    def _judge(self, asked: AddCheckpoint, signed: Mapping[tuple[str, bytes], VerifierKey], about: str) -> Answer:
        """Compare with what is remembered, remember, cosign; nobody else judges this log meanwhile."""
        head, held = asked.head, self._held[asked.head.origin]
        size = 0 if held is None else held.head.size
        if asked.old != size:
            return Answer(HTTPStatus.CONFLICT, b"%d\n" % size, SIZE_TYPE, about)
        if head.size == 0 and head.root != EMPTY_ROOT:
            return _refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "the root of an empty log is SHA-256 of nothing", about)
        if held is None or size == 0:
            consistent = not asked.proof
        else:
            consistent = verify_consistency(size, head.size, asked.proof, held.head.root, head.root)
        if not consistent:
            what = f"the proof does not lead from the head over {size} entries that was cosigned here to this one"
            return _refusal(HTTPStatus.UNPROCESSABLE_ENTITY, what, about)
        lines = self._cosigner.cosign(asked.text, int(self._clock()))
        verified = b"".join(
            signature_line(signed[line.name, line.key_id], line.signature)
            for line in asked.lines
            if (line.name, line.key_id) in signed
        )
        new = Held(head, asked.text + b"\n" + verified + lines)
        self._heads.write(new)
        self._held[head.origin] = new
        return Answer(HTTPStatus.OK, lines, about=about)

    def checkpoint(self, hashed: str) -> Answer:
        """Answer ``GET <prefix>/<origin hash>/checkpoint``: the newest head that was cosigned."""
        origin = self._hashes.get(hashed)
        held = None if origin is None else self._held[origin]
        if held is None:
            return _refusal(HTTPStatus.NOT_FOUND, "no head of this log was ever cosigned here", "")
        return Answer(HTTPStatus.OK, held.note, about=f"{origin} {held.head.size}")


def _refusal(status: HTTPStatus, why: str, about: str) -> Answer:
    return Answer(status, why.encode() + b"\n", about=about)


def read_logs(data: bytes, where: str) -> dict[str, tuple[VerifierKey, ...]]:
    """The logs that a witness serves: a vkey a line, as in a ledger's ``keys/log.vkeys``.

    ``log VKEY [URL]`` lines as in a policy file are read too; empty lines and ``#`` comments are skipped. After a
    ``from SIZE`` line, with which a ledger's file begins its next pair of keys, the keys before it are no longer
    trusted: the head of the hand-over bears both pairs' signatures.

    Raises:
        LedgerCorrupt: not such a file.
    """
    found: dict[str, tuple[VerifierKey, ...]] = {}
    last = ""
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise LedgerCorrupt(f"{where} is not UTF-8") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] == "revoked":
            continue
        if words[0] == "from" and len(words) == 2 and last:
            found[last] = ()
            continue
        if words[0] == "log" and len(words) in (2, 3):
            words = [words[1]]
        try:
            key = parse_vkey(" ".join(words))
        except LedgerCorrupt as error:
            raise LedgerCorrupt(f"{where}, line {number}: {error.message}") from error
        if key.kind not in LOG_KINDS:
            raise LedgerCorrupt(f"{where}, line {number}: the key of {key.name} is a witness's, not a log's")
        last = key.name
        if key not in found.get(last, ()):
            found[last] = (*found.get(last, ()), key)
    return found
