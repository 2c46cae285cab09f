"""The registry of fingerprints in a ledger, and the candidates for a picture (imports hashes; the ledger is given).

Fingerprints lie in artefacts that entries ``images.marked`` and ``images.registered`` name. A neighbour is
a *candidate*, never a match: only equal pixels are equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import DataError, LedgerError
from qimg_core.ledger import canonical
from qimg_marks.fingerprint.hashes import Fingerprint, distance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

    Registered = tuple[Entry, tuple[Fingerprint, ...]]

KINDS = ("images.marked", "images.registered")
ARTEFACT = "fingerprints"
SCHEMA = "qimg.fingerprints/1"

PHASH, BLOCKS, PIXELS = 10, 24, 8
"""A candidate differs in at most so many bits of each hash, and by so many grey levels (root mean square)."""


@frozen(kw_only=True)
class Rate:
    """How often two different images are taken for candidates of one another, counted on real pictures.

    Args:
        side: of the pictures, pixels.
        what: they show.
        found: pairs that were candidates.
        pairs: pairs that were compared.
        bound: upper end of the one-sided 95 % interval of the rate (Clopper-Pearson).
    """

    side: int
    what: str
    found: int
    pairs: int
    bound: float


RATES = (
    Rate(side=28, what="handwritten digits (MNIST test set)", found=5, pairs=1_124_250, bound=9.4e-6),
    Rate(side=28, what="clothes (Fashion-MNIST test set)", found=1, pairs=1_124_250, bound=4.3e-6),
    Rate(side=64, what="steel surfaces (NEU test set)", found=0, pairs=36_315, bound=8.3e-5),
)
"""Counted over every pair of the first 1,500 images of each set (270 of NEU). Other pictures have other rates."""


@frozen(kw_only=True)
class Candidate:
    """A registered image near to a picture.

    Args:
        entry: number of the entry that registers it.
        index: which of its images.
        phash, blocks: bits that differ.
        pixels: root mean square difference of the thumbnails, grey levels.
        same: every pixel is equal.
        of: run and entry of ``images.made``, where the ledger made it.
        registered: its fingerprint.
    """

    entry: int
    index: int
    phash: int
    blocks: int
    pixels: float
    same: bool
    of: tuple[str, int] | None = None
    registered: Fingerprint = field(repr=False)


def rate_for(side: int) -> Rate:
    """The highest counted rate among pictures of the nearest size."""
    nearest = min(abs(r.side - side) for r in RATES)
    return max((r for r in RATES if abs(r.side - side) == nearest), key=lambda r: r.bound)


def packed(fingerprints: Sequence[Fingerprint]) -> bytes:
    """The artefact: canonical JSON."""
    return canonical.dumps({"schema": SCHEMA, "images": [f.to_json() for f in fingerprints]})


def unpacked(data: bytes) -> tuple[Fingerprint, ...]:
    """Read `packed` back.

    Raises:
        DataError, ConfigurationError: not of that form.
    """
    document = canonical.loads(data)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise DataError(f"not an artefact of fingerprints ({SCHEMA})")
    return tuple(Fingerprint.from_json(item) for item in document["images"])


def register(ledger: Ledger, fingerprints: Sequence[Fingerprint], *, of: tuple[str, int] | None = None) -> Entry:
    """Write an entry ``images.registered``.

    Args:
        ledger: open for writing.
        fingerprints: of the images, in order.
        of: run and entry that made them.
    """
    facts: dict[str, Any] = {
        "schema": "qimg.registered/1",
        "n": len(fingerprints),
        "of": None if of is None else {"run": of[0], "entry": of[1]},
        "artefacts": {ARTEFACT: ledger.put(packed(fingerprints))},
    }
    return ledger.append("images.registered", facts=facts)


def registered(ledger: Ledger) -> Iterator[Registered]:
    """Every entry that registers fingerprints; one whose artefact was erased is left out."""
    for kind in KINDS:
        for entry in ledger.entries(kind=kind):
            if ARTEFACT in entry.artefacts:
                try:
                    yield entry, unpacked(ledger.get(entry.artefacts[ARTEFACT]))
                except LedgerError:
                    continue


def candidates(known: Iterable[Registered], wanted: Fingerprint, *, most: int = 5) -> tuple[Candidate, ...]:
    """The registered images near to one, nearest first.

    Args:
        known: from `registered`.
        wanted: fingerprint of the picture.
        most: candidates to give.
    """
    found = [near for entry, images in known for near in _near(entry, images, wanted)]
    return tuple(sorted(found, key=lambda c: (not c.same, c.pixels, c.phash))[:most])


def _near(entry: Entry, images: Iterable[Fingerprint], wanted: Fingerprint) -> Iterator[Candidate]:
    of = entry.facts.get("of")
    for index, image in enumerate(images):
        bits = distance(image.phash, wanted.phash)
        if bits > PHASH and image.pixels != wanted.pixels:
            continue
        blocks, pixels = distance(image.blocks, wanted.blocks), thumbnail_distance(image, wanted)
        same = image.pixels == wanted.pixels
        if same or (blocks <= BLOCKS and pixels <= PIXELS):
            yield Candidate(
                entry=entry.index,
                index=index,
                phash=bits,
                blocks=blocks,
                pixels=pixels,
                same=same,
                of=(of["run"], of["entry"]) if of else None,
                registered=image,
            )


def thumbnail_distance(a: Fingerprint, b: Fingerprint) -> float:
    """Root mean square difference of two thumbnails, grey levels."""
    total = sum((x - y) ** 2 for x, y in zip(a.thumbnail, b.thumbnail, strict=True))
    return float((total / len(a.thumbnail)) ** 0.5)
