"""Does an entry stand under a signed head of its log, and are these pixels the ones it describes? (imports ledger)"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import LedgerCorrupt, LedgerError
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from qimg_core.images import Images
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry


@frozen(kw_only=True)
class Proof:
    """Where an entry stands.

    Args:
        verdict: pass: under a signed head, by a path that holds. inconclusive: no head covers it yet.
        size: entries under that head.
        algorithms: of the signatures that were verified.
        reason: in words.
    """

    verdict: Verdict
    size: int | None
    algorithms: tuple[str, ...]
    reason: str

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "verdict": self.verdict.value,
            "size": self.size,
            "algorithms": list(self.algorithms),
            "reason": self.reason,
        }


def prove(ledger: Ledger, entry: Entry) -> Proof:
    """Find the first signed head over an entry; verify its signatures and the entry's inclusion."""
    index = entry.index
    try:
        for note in ledger.checkpoints():
            head = Checkpoint.parse(split_note(note)[0])
            if head.size > index and not ledger.history.open_head(note).revoked:
                return _under(ledger, entry, note, head)
    except LedgerCorrupt as error:
        return Proof(verdict=Verdict.FAIL, size=None, algorithms=(), reason=error.message)
    reason = f"no signed head covers entry {index} yet: its run did not end, or was killed (qimg ledger checkpoint)"
    return Proof(verdict=Verdict.INCONCLUSIVE, size=None, algorithms=(), reason=reason)


def _under(ledger: Ledger, entry: Entry, note: bytes, head: Checkpoint) -> Proof:
    opened = ledger.history.open_head(note)
    path = ledger.inclusion(entry.index, head.size)
    problem = ""
    if opened.problem:
        problem = f"the head over {head.size} entries: {opened.problem}"
    elif head.origin != ledger.origin:
        problem = f"the head is of the log {head.origin}"
    elif path.leaf != entry.leaf:
        problem = f"the stored leaf of entry {entry.index} is not the hash of its body"
    elif not path.holds() or path.root != head.root:
        problem = f"entry {entry.index} is not under the root that was signed over {head.size} entries"
    return Proof(
        verdict=Verdict.FAIL if problem else Verdict.PASS,
        size=head.size,
        algorithms=opened.verified,
        reason=problem or f"entry {entry.index} is in the signed log of {head.size} entries ({ledger.origin})",
    )


@frozen(kw_only=True)
class Match:
    """Which entry describes a picture's pixels. ``reason`` in words where it is not pass."""

    verdict: Verdict
    entry: Entry | None
    reason: str


def match_picture(ledger: Ledger, images: Images, text: dict[str, str]) -> Match:
    """Find the entry that a picture names, or that describes its pixels, and compare.

    Args:
        ledger: where to look.
        images: the picture, cut into its images.
        text: the picture's own text.
    """
    log = text.get("qimg:ledger")
    if log is not None and log != ledger.origin:
        reason = f"the picture names the log {log}, this one is {ledger.origin}"
        return Match(verdict=Verdict.INCONCLUSIVE, entry=None, reason=reason)
    if images.run is None or images.entry is None:
        return _search(ledger, images)
    try:
        entry = ledger.entry(images.entry)
    except LedgerCorrupt as error:
        return Match(verdict=Verdict.FAIL, entry=None, reason=error.message)
    except LedgerError:
        reason = f"the picture names entry {images.entry}, and the log has {len(ledger)}"
        return Match(verdict=Verdict.FAIL, entry=None, reason=reason)
    if entry.kind != "images.made" or entry.run != images.run:
        reason = f"the picture names run {images.run}, entry {entry.index} is {entry.kind} of run {entry.run}"
        return Match(verdict=Verdict.FAIL, entry=None, reason=reason)
    if _holds(ledger, entry, images, text):
        return Match(verdict=Verdict.PASS, entry=entry, reason="")
    reason = f"the pixels are not those that run {entry.run} recorded in entry {entry.index}"
    return Match(verdict=Verdict.FAIL, entry=entry, reason=reason)


def _holds(ledger: Ledger, entry: Entry, images: Images, text: dict[str, str]) -> bool:
    if entry.facts["pixels"] == images.digest:
        return True
    if len(images) != 1 or not text.get("qimg:index", "").isdecimal():
        return False
    each = json.loads(ledger.get(entry.artefacts["image_digests"]))
    index = int(text["qimg:index"])
    return index < len(each) and bool(each[index] == images.digest)


def _search(ledger: Ledger, images: Images) -> Match:
    for entry in ledger.entries(kind="images.made"):
        single = len(images) == 1 and "image_digests" in entry.artefacts
        if entry.facts["pixels"] == images.digest or (
            single and images.digest in json.loads(ledger.get(entry.artefacts["image_digests"]))
        ):
            reason = "the picture names no run; its pixels were found in the ledger"
            return Match(verdict=Verdict.PASS, entry=entry, reason=reason)
    reason = "the picture names no run, and no entry of this ledger describes its pixels"
    return Match(verdict=Verdict.INCONCLUSIVE, entry=None, reason=reason)
