"""The hook `qimg_detect`: which marks a picture carries, and what each proves (imports the layers; sends nothing).

A picture may come from anywhere. Every layer is asked by itself, and one that cannot answer says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict

from qimg_core.errors import DataError, LedgerError, PluginIncompatible
from qimg_core.hooks import Evidence
from qimg_core.verdict import Verdict
from qimg_marks.folder import anchors, marks_folder
from qimg_marks.metadata import read_aigc
from qimg_marks.picture import open_picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_marks.credentials.reading import Credentials
    from qimg_marks.picture import Picture

CREDENTIALS = "content credentials"


def detect(path: Path, ledger: Ledger | None, context: Mapping[str, Any]) -> tuple[Evidence, ...]:
    """Everything that is found in a picture; see the hook."""
    from qimg_marks.marking_watermark import watermark_evidence

    picture = open_picture(path)
    found = [_credentials(picture), watermark_evidence(picture), *_aigc(picture)]
    if ledger is not None:
        found += [
            *_in_noise(picture, ledger),
            *_marked(picture, ledger),
            _fingerprint(picture, ledger),
            *_taken_down(picture, ledger),
        ]
    return tuple(found)


def _credentials(picture: Picture) -> Evidence:
    from qimg_marks.credentials.reading import read

    try:
        found = read(picture, anchors=anchors(marks_folder()))
    except (PluginIncompatible, DataError) as error:
        words = f"not looked at: {error.message}"
        return Evidence(layer=CREDENTIALS, verdict=Verdict.INCONCLUSIVE, found=words, facts={"hint": error.hint})
    if found.state == "absent":
        words = "none in the file or beside it"
        never = "that it is not generated: credentials are easily taken out"
        return Evidence(layer=CREDENTIALS, verdict=Verdict.NOT_APPLICABLE, found=words, proves_not=never)
    facts = {**asdict(found), "record": found.record}
    if found.state == "invalid":
        codes = ", ".join(dict.fromkeys(found.problems)) or "no reason given"
        words = f"they do not hold: {codes}"
        proves = "the picture or its credentials were changed after they were signed, or belong to another picture"
        return Evidence(layer=CREDENTIALS, verdict=Verdict.FAIL, found=words, proves=proves, facts=facts)
    trusted = found.state == "trusted"
    proves = f"{found.signer} signed these bytes and what they say of themselves" + _stamped(found)
    return Evidence(
        layer=CREDENTIALS,
        verdict=Verdict.PASS if trusted else Verdict.INCONCLUSIVE,
        found=_words(found),
        proves=proves if trusted else "nothing changed since somebody signed it; who that is, is not known here",
        proves_not=(
            "that what the signer says is true"
            if trusted
            else f"that {found.signer or 'the signer'} is who it says (to trust it: qimg marks trust ROOT.pem)"
        ),
        facts=facts,
    )


def _words(found: Credentials) -> str:
    kinds = ", ".join(found.source_types) or "no source type"
    when = f", stamped {found.time}" if found.time else ", no time stamp"
    where = ", beside the file" if found.sidecar else ""
    return f"{found.state}: {kinds}, by {found.signer or 'nobody named'}{when}{where}"


def _stamped(found: Credentials) -> str:
    return f", before {found.time}" if found.time and found.time_trusted else ""


def _aigc(picture: Picture) -> Iterable[Evidence]:
    block = read_aigc(picture)
    if block is not None:
        label = {"1": "generated", "2": "possibly generated", "3": "suspected"}.get(str(block.get("Label")), "unknown")
        yield Evidence(
            layer="AIGC metadata",
            verdict=Verdict.INCONCLUSIVE,
            found=f"{label}, by {block.get('ContentProducer', '')}, number {block.get('ProduceID', '')}",
            proves="nothing by itself: anybody can write it",
            facts=block,
        )


def _in_noise(picture: Picture, ledger: Ledger) -> Iterable[Evidence]:
    """Whether the record says that the initial noise of the picture carries a mark; finding it needs the model."""
    from qimg_marks.sources import look_up

    known = look_up(ledger, picture)
    source = None if known is None else known.entry.facts.get("noise_source")
    if known is not None and source is not None and source["source"] == "watermark":
        yield Evidence(
            layer="watermark in the noise",
            verdict=Verdict.INCONCLUSIVE,
            found=f"recorded in entry {known.entry.index}; looking for it runs the model: qimg watermark detect",
            facts={"entry": known.entry.index},
        )


def _marked(picture: Picture, ledger: Ledger) -> Iterable[Evidence]:
    """The entry that records these pixels as a marked form of others."""
    from qimg_marks.sources import look_up, marked_from

    entry = marked_from(ledger, picture.digest) or _same_pixels(picture, ledger)
    if entry is None:
        return
    facts = entry.facts
    names = ", ".join(layer["layer"] for layer in facts["layers"]) or "none"
    known = look_up(ledger, picture)
    source = "" if known is None else f", from the images of entry {known.entry.index}"
    yield Evidence(
        layer="marking in the ledger",
        verdict=Verdict.PASS,
        found=f"entry {entry.index} records these pixels with the layers {names}{source}",
        proves="whoever writes this ledger marked exactly these pixels",
        proves_not="that the ledger was not written afterwards; a signed head kept elsewhere shows that",
        facts={"entry": entry.index, "record": facts["record"], "layers": facts["layers"], "time": entry.time},
        entry=entry.index,
        made_by=known.entry.index if known is not None and known.changed else None,
    )


def _same_pixels(picture: Picture, ledger: Ledger) -> Any:
    found = None
    for entry in ledger.entries(kind="images.marked"):
        if entry.facts["after"]["pixels"] == picture.digest:
            found = entry
    return found


def _fingerprint(picture: Picture, ledger: Ledger) -> Evidence:
    from qimg_marks.fingerprint.hashes import fingerprint
    from qimg_marks.fingerprint.registry import candidates, rate_for, registered

    layer = "fingerprint"
    try:
        known = list(registered(ledger))
        prints = [fingerprint(image) for image in picture.pixels] if known else []
    except (PluginIncompatible, LedgerError) as error:
        return Evidence(layer=layer, verdict=Verdict.INCONCLUSIVE, found=f"not looked at: {error.message}")
    compared = sum(len(images) for _, images in known)
    near = [found[0] for found in (candidates(known, wanted, most=1) for wanted in prints) if found]
    if not near:
        words = f"no candidate among {compared:,} registered images"
        never = "that it is not one of them: a crop of 5 % already hides it" if compared else ""
        return Evidence(layer=layer, verdict=Verdict.NOT_APPLICABLE, found=words, proves_not=never)
    same = [c for c in near if c.same]
    best, rate = (same or near)[0], rate_for(min(picture.pixels.shape[1:3]))
    every = len(same) == len(prints)
    how = (
        "equal pixels"
        if best.same
        else f"{best.phash} of 64 and {best.blocks} of 256 bits, {best.pixels:.1f} grey levels apart"
    )
    made = "" if best.of is None else f" (made by run {best.of[0]}, entry {best.of[1]})"
    of = "" if len(prints) == 1 else f"{len(near)} of {len(prints)} images, {len(same)} with equal pixels; first: "
    chance = min(1.0, rate.bound * compared)
    return Evidence(
        layer=layer,
        verdict=Verdict.PASS if every else Verdict.INCONCLUSIVE,
        found=f"candidate: {of}image {best.index} of entry {best.entry}{made}, {how}; {compared:,} images compared",
        proves="these pixels are registered" if every else "nothing by itself: a candidate is not a match",
        proves_not=(
            "who made them"
            if every
            else f"that they are the same: up to {chance:.2g} candidates by chance among {compared:,}, as counted on "
            f"{rate.what}, {rate.side} pixels ({rate.found} of {rate.pairs:,} different pairs)"
        ),
        entry=best.entry if every else None,
        facts={"compared": compared, "candidates": [_candidate(c) for c in near[:100]], "rate": asdict(rate)},
    )


def _candidate(found: Any) -> dict[str, Any]:
    return {
        "entry": found.entry,
        "index": found.index,
        "phash": found.phash,
        "blocks": found.blocks,
        "pixels": found.pixels,
        "same": found.same,
        "of": None if found.of is None else {"run": found.of[0], "entry": found.of[1]},
    }


def _taken_down(picture: Picture, ledger: Ledger) -> Iterable[Evidence]:
    """Is the picture, or an image of it, or something near to it, blocked?"""
    from qimg_marks.picture import pixel_digest
    from qimg_marks.takedown import listed, standing

    takedowns = [(entry, listed(ledger, entry)) for entry in standing(ledger)]
    own = {picture.digest, picture.file_digest, *(pixel_digest(image[None]) for image in picture.pixels)}
    rest = []
    for entry, blocked in takedowns:
        if not own & {*blocked["pixels"], *blocked["files"]}:
            rest.append((entry, blocked))
            continue
        yield Evidence(
            layer="takedown",
            verdict=Verdict.FAIL,
            found=_since(entry),
            proves="the owner of this ledger asks that it is not shown",
            facts={"entry": entry.index, "reason": entry.facts["reason"], "reference": entry.facts["reference"]},
        )
    near = _near_digests(picture, ledger) if any(blocked["fingerprints"] for _, blocked in rest) else set()
    for entry, blocked in rest:
        if near & set(blocked["pixels"]):
            yield Evidence(
                layer="takedown",
                verdict=Verdict.INCONCLUSIVE,
                found=f"a candidate of what was {_since(entry)}",
                proves="nothing by itself: a candidate is not a match",
                facts={"entry": entry.index, "reason": entry.facts["reason"]},
            )


def _since(entry: Entry) -> str:
    return f"taken down on {entry.time[:10]} ({entry.facts['reason']}), entry {entry.index}"


def _near_digests(picture: Picture, ledger: Ledger) -> set[str]:
    """Pixel digests of every registered image that an image of the picture is a candidate of."""
    from qimg_marks.fingerprint.hashes import fingerprint
    from qimg_marks.fingerprint.registry import candidates, registered

    try:
        prints = [fingerprint(image) for image in picture.pixels]
    except PluginIncompatible:
        return set()
    known = list(registered(ledger))
    return {c.registered.pixels for p in prints for c in candidates(known, p, most=1000)}
