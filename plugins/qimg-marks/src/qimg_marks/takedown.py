"""Taking images down: the entry, what to block, and whether a picture is meant (imports registry; the ledger is given).

Nothing is deleted and no file is fetched: the ledger says from now on that these images shall not be shown,
`qimg inspect` repeats it, and the list is for whoever serves pictures. A reason is one of a few words,
because an entry stays for ever and holds nothing personal.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.ledger.entry import DIGEST
from qimg_marks.fingerprint.registry import ARTEFACT, registered, unpacked

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_marks.fingerprint.hashes import Fingerprint

KIND = "images.taken_down"
LIFTED = "images.restored"
REASONS = ("rights", "privacy", "illegal", "safety", "mistake", "other")
_REFERENCE = re.compile(r"[A-Za-z0-9._/-]{0,64}")
_LEAF = re.compile(r"([0-9a-f]{64})(?:#([0-9]{1,9}))?")


@frozen(kw_only=True)
class Block:
    """What shall not be shown.

    Args:
        what: in words: the entry or the digest that was named.
        pixels: ``sha256:`` of pictures' pixels, of whole grids and of single images.
        files: ``sha256:`` of marked files.
        fingerprints: of images that may come back changed.
        of: run and entry that made them.
    """

    what: str
    pixels: tuple[str, ...]
    files: tuple[str, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = field(default=(), repr=False)
    of: tuple[str, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """The list for whoever serves pictures; without the thumbnails."""
        return {
            "schema": "qimg.block/1",
            "what": self.what,
            "pixels": list(self.pixels),
            "files": list(self.files),
            "fingerprints": [{"phash": f.phash, "blocks": f.blocks} for f in self.fingerprints],
            "of": None if self.of is None else {"run": self.of[0], "entry": self.of[1]},
        }


def block(ledger: Ledger, name: str) -> Block:
    """Everything that an id stands for.

    Args:
        ledger: with the entries.
        name: a run, the number or leaf of an ``images.made`` or ``images.marked`` entry (``LEAF#3``: one image
            of it), or a pixel digest ``sha256:...``.

    Raises:
        ConfigurationError: nothing of that name in this ledger.
    """
    if DIGEST.fullmatch(name):
        return _of_pixels(ledger, name)
    leaf = _LEAF.fullmatch(name)
    found = [e for kind in ("images.made", "images.marked") for e in ledger.entries(kind=kind) if _is(e, name, leaf)]
    if not found:
        raise ConfigurationError(
            f"no images of the name {name!r} in the log {ledger.origin}",
            hint="a run, an entry's number or leaf, a mark's unique id, or sha256: of pixels; see qimg ledger log",
        )
    index = int(leaf[2]) if leaf and leaf[2] else None
    pixels: list[str] = []
    for entry in found:
        pixels += _pixels(ledger, entry, index)
    first = found[0]
    of = (str(first.run), first.index) if first.kind == "images.made" else None
    return _widened(ledger, name, pixels, of)


def take_down(ledger: Ledger, blocked: Block, reason: str, reference: str = "") -> Entry:
    """Write the entry.

    Args:
        ledger: open for writing.
        blocked: from `block`.
        reason: one of `REASONS`.
        reference: number of a case elsewhere; no words.

    Raises:
        ConfigurationError: another reason, or a reference with spaces or signs.
    """
    if reason not in REASONS:
        raise ConfigurationError(f"--reason is one of {', '.join(REASONS)}, got {reason!r}")
    if not _REFERENCE.fullmatch(reference):
        raise ConfigurationError(
            f"--reference is a number or code of up to 64 letters and digits, got {reference[:64]!r}",
            hint="an entry stays for ever: no names, no words",
        )
    listed = json.dumps(blocked.to_json(), sort_keys=True, separators=(",", ":")).encode()
    facts = {
        "schema": "qimg.takedown/1",
        "what": blocked.what,
        "reason": reason,
        "reference": reference,
        "of": blocked.to_json()["of"],
        "n_pixels": len(blocked.pixels),
        "artefacts": {"block": ledger.put(listed)},
    }
    return ledger.append(KIND, facts=facts)


def restore(ledger: Ledger, name: str) -> Entry:
    """Write that a takedown no longer holds; the takedown itself stays on record.

    Raises:
        ConfigurationError: nothing of that name is taken down.
    """
    held = [e for e in standing(ledger) if e.facts["what"] == name or str(e.index) == name]
    if not held:
        raise ConfigurationError(f"{name!r} is not taken down in this ledger", hint="qimg marks blocklist")
    return ledger.append(LIFTED, facts={"schema": "qimg.restored/1", "takedowns": [e.index for e in held]})


def standing(ledger: Ledger) -> tuple[Entry, ...]:
    """The takedowns that hold."""
    lifted = {i for e in ledger.entries(kind=LIFTED) for i in e.facts["takedowns"]}
    return tuple(e for e in ledger.entries(kind=KIND) if e.index not in lifted)


def listed(ledger: Ledger, entry: Entry) -> dict[str, Any]:
    """The list of a takedown.

    Raises:
        LedgerError: its artefact is missing or damaged.
    """
    found: dict[str, Any] = json.loads(ledger.get(entry.artefacts["block"]))
    return found


def _is(entry: Entry, name: str, leaf: re.Match[str] | None) -> bool:
    if leaf is not None:
        return entry.leaf.hex() == leaf[1]
    return name == str(entry.index) or (entry.kind == "images.made" and entry.run == name)


def _pixels(ledger: Ledger, entry: Entry, index: int | None) -> list[str]:
    if entry.kind == "images.marked":
        return [str(entry.facts["before"]["pixels"]), str(entry.facts["after"]["pixels"])]
    each: list[str] = []
    if "image_digests" in entry.artefacts:
        each = json.loads(ledger.get(entry.artefacts["image_digests"]))
    if index is not None:
        if index >= len(each):
            raise ConfigurationError(f"entry {entry.index} has {len(each)} images, there is no number {index}")
        return [each[index]]
    return [str(entry.facts["pixels"]), *each]


def _of_pixels(ledger: Ledger, digest: str) -> Block:
    return _widened(ledger, digest, [digest], None)


def _widened(ledger: Ledger, name: str, pixels: list[str], of: tuple[str, int] | None) -> Block:
    """With every form of the same images that marks led to or came from: files, pixels, fingerprints."""
    known, before = dict.fromkeys(pixels), 0
    files: dict[str, None] = {}
    marked = list(ledger.entries(kind="images.marked"))
    while len(known) != before:  # a picture may be marked again and again, and any form of it be named
        before = len(known)
        for entry in marked:
            facts = entry.facts
            if facts["before"]["pixels"] in known or facts["after"]["pixels"] in known:
                known |= dict.fromkeys([facts["before"]["pixels"], facts["after"]["pixels"]])
                files[facts["after"]["file"]] = None
                if ARTEFACT in entry.artefacts:
                    known |= dict.fromkeys(f.pixels for f in _erased(ledger, entry.artefacts[ARTEFACT]))
    prints = dict.fromkeys(f for _, images in registered(ledger) for f in images if f.pixels in known)
    return Block(what=name, pixels=tuple(known), files=tuple(files), fingerprints=tuple(prints), of=of)


def _erased(ledger: Ledger, digest: str) -> tuple[Fingerprint, ...]:
    try:
        return unpacked(ledger.get(digest))
    except LedgerError:  # the artefact was erased; the entry stands
        return ()
