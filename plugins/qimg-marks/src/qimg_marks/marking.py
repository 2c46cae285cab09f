"""Marking one picture: the layers in their order, and the entry of it (imports every layer but the watermark).

Order: watermark, label (both change pixels), the AIGC block, fingerprints of what the picture is then, and
content credentials last, because they sign everything before them. Nothing is written here: a `Marked` is
in memory, so that a folder of pictures is marked whole or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import evolve, field, frozen

from qimg_core.errors import ConfigurationError
from qimg_core.ledger.entry import Draft
from qimg_core.storage import sha256_digest
from qimg_marks.credentials.manifest import SoftBinding
from qimg_marks.fingerprint.hashes import ALGORITHM, fingerprint
from qimg_marks.label import draw_all
from qimg_marks.metadata import with_aigc
from qimg_marks.picture import pixel_digest, read_picture, with_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.ledger.base import Ledger
    from qimg_marks.credentials.authority import Authority
    from qimg_marks.credentials.manifest import Training
    from qimg_marks.credentials.signing import Sidecar
    from qimg_marks.fingerprint.hashes import Fingerprint
    from qimg_marks.label import Label
    from qimg_marks.picture import Bytes, Picture
    from qimg_marks.record import MarkingRecord

Layer = Literal["c2pa", "watermark", "label", "fingerprint"]
LAYERS: tuple[Layer, ...] = ("watermark", "label", "fingerprint", "c2pa")
"""In the order in which they are applied."""


@frozen(kw_only=True, eq=False)
class Watermarker:
    """The watermark layer, as `qimg_marks.watermark` supplies it.

    Args:
        embed: uint8 (n, h, w, c) to the same, marked.
        facts: for the record, without floats and without the key.
        binding: the soft binding for the credentials.
    """

    embed: Callable[[Bytes], Bytes] = field(repr=False)
    facts: dict[str, Any]
    binding: SoftBinding


@frozen(kw_only=True, eq=False)
class Wanted:
    """Which marks, and what they need.

    Args:
        layers: see `LAYERS`.
        label: for the layer of that name.
        authority: for c2pa.
        watermark: for the layer of that name.
        sidecar, tsa, training: of the credentials, see `qimg_marks.credentials.signing.sign`.
        parent: the picture that this one was made from.

    Raises:
        ConfigurationError: an unknown layer, or one without what it needs.
    """

    layers: frozenset[Layer]
    label: Label | None = None
    authority: Authority | None = field(default=None, repr=False)
    watermark: Watermarker | None = None
    sidecar: Sidecar = "auto"
    tsa: str = ""
    training: Training = "notAllowed"
    parent: Picture | None = None

    def __attrs_post_init__(self) -> None:
        unknown = self.layers - set(LAYERS)
        if unknown or not self.layers:
            raise ConfigurationError(f"layers are {', '.join(LAYERS)}, got {', '.join(sorted(unknown)) or 'none'}")
        needs = {"label": self.label, "c2pa": self.authority, "watermark": self.watermark}
        for name, value in needs.items():
            if name in self.layers and value is None:
                raise ConfigurationError(f"the layer {name} lacks what it needs", hint="qimg mark --help")


@frozen(kw_only=True, eq=False)
class Marked:
    """One marked picture, not yet written.

    Args:
        before, after: the picture as it was and as it is.
        record: what the marks say.
        manifest: manifest store of the credentials; empty without them.
        sidecar: ``manifest`` goes into a file of its own.
        fingerprints: of each image as it is now.
        layers: what was done, for the record and for people.
    """

    before: Picture
    after: Picture
    record: MarkingRecord
    manifest: bytes = field(default=b"", repr=False)
    sidecar: bool = False
    fingerprints: tuple[Fingerprint, ...] = field(default=(), repr=False)
    layers: tuple[dict[str, Any], ...] = ()


def mark(picture: Picture, record: MarkingRecord, wanted: Wanted) -> Marked:
    """Apply the layers to one picture.

    Raises:
        ConfigurationError, DataError: it cannot carry a layer; nothing was changed.
        BackendUnavailable: no time stamp.
        PluginIncompatible: a layer's package is not installed.
    """
    now, done = picture, []
    bindings: list[SoftBinding] = []
    if "watermark" in wanted.layers and wanted.watermark is not None:
        now = with_pixels(now, wanted.watermark.embed(now.pixels))
        bindings.append(wanted.watermark.binding)
        done.append({"layer": "watermark", **wanted.watermark.facts})
    if "label" in wanted.layers and wanted.label is not None:
        now, facts = _labelled(now, wanted.label)
        done.append(facts)
    _keep_credentials(picture, now, wanted)
    if record.aigc is not None:
        now = with_aigc(now, record.aigc)
        done.append({"layer": "aigc"})
    prints: tuple[Fingerprint, ...] = ()
    if "fingerprint" in wanted.layers:
        prints = tuple(fingerprint(image) for image in now.pixels)
        done.append({"layer": "fingerprint", "n": len(prints)})
        whole = prints[0] if len(prints) == 1 else fingerprint(now.whole)
        bindings.append(SoftBinding(alg=ALGORITHM, value=whole.phash))
    marked = Marked(before=picture, after=now, record=record, fingerprints=prints, layers=tuple(done))
    return _signed(marked, wanted, bindings) if "c2pa" in wanted.layers else marked


def _labelled(picture: Picture, label: Label) -> tuple[Picture, dict[str, Any]]:
    text = dict(picture.text)
    if label.place == "below":  # one strip for the whole picture: it is no grid any more
        pixels, drawn = draw_all(picture.whole[None], label)
        text.pop("qimg:grid", None)
    else:
        pixels, drawn = draw_all(picture.pixels, label)
    facts = {"layer": "label", "words": label.words, "place": label.place, "letters": drawn.letters}
    return with_pixels(picture, pixels, text), facts


def _keep_credentials(before: Picture, now: Picture, wanted: Wanted) -> None:
    """Refuse to take credentials out of a picture by changing its pixels."""
    if now is before or "c2pa" in wanted.layers:
        return
    from qimg_core.errors import PluginIncompatible
    from qimg_marks.credentials.reading import read

    try:
        found = read(before).state
    except PluginIncompatible:
        return
    if found != "absent":
        raise ConfigurationError(
            "the picture carries content credentials, which a mark in its pixels would take out",
            hint="add c2pa to --layers: the old credentials then stay inside the new ones",
        )


def _signed(marked: Marked, wanted: Wanted, bindings: list[SoftBinding]) -> Marked:
    from qimg_marks.credentials.reading import read
    from qimg_marks.credentials.signing import sign

    assert wanted.authority is not None
    parent = wanted.parent
    if parent is None and read(marked.before).state != "absent":
        parent = marked.before  # what lies beside it stays there: an ingredient takes only what is in the file
    words = wanted.label.words if "label" in wanted.layers and wanted.label is not None else ""
    signed = sign(
        marked.after,
        marked.record,
        wanted.authority,
        bindings=bindings,
        label=words,
        parent=parent,
        sidecar=wanted.sidecar,
        tsa=wanted.tsa,
        training=wanted.training,
    )
    after = marked.after if signed.sidecar else read_picture(signed.data)
    if pixel_digest(after.pixels) != pixel_digest(marked.after.pixels):
        raise ConfigurationError("signing changed pixels: nothing was written")
    facts = {
        "layer": "c2pa",
        "sidecar": signed.sidecar,
        "time_stamp": bool(wanted.tsa),
        "training": wanted.training,
        "signer": wanted.authority.subject,
    }
    return evolve(marked, after=after, manifest=signed.manifest, sidecar=signed.sidecar, layers=(*marked.layers, facts))


def draft(ledger: Ledger, marked: Marked) -> Draft:
    """The entry ``images.marked`` of a picture, with fingerprints and manifest as artefacts.

    File names are left out: they may name people.
    """
    from qimg_marks.fingerprint.registry import ARTEFACT, packed

    artefacts = {}
    if marked.fingerprints:
        artefacts[ARTEFACT] = ledger.put(packed(marked.fingerprints))
    if marked.manifest:
        artefacts["manifest"] = ledger.put(marked.manifest)
    place = marked.record.place
    facts: dict[str, Any] = {
        "schema": "qimg.marked/1",
        "record": marked.record.to_json(),
        "of": None if place is None else {"run": place.run, "entry": place.entry},
        "format": marked.after.format,
        "n": len(marked.after.pixels),
        "before": {"file": marked.before.file_digest, "pixels": marked.before.digest},
        "after": {
            "file": marked.after.file_digest,
            "pixels": marked.after.digest,
            "manifest": sha256_digest(marked.manifest) if marked.manifest else None,
        },
        "layers": list(marked.layers),
        "artefacts": artefacts,
    }
    return Draft("images.marked", facts=facts)
