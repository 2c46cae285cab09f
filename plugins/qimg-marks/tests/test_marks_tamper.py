"""Which changes of a signed file are found: every one of pixels and assertions; which bytes can be changed unseen."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from attrs import frozen

from qimg_core import png
from qimg_marks.credentials import authority
from qimg_marks.credentials.manifest import SoftBinding
from qimg_marks.credentials.signing import context, sdk, sign
from qimg_marks.picture import read_picture
from qimg_marks.record import MarkingRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("c2pa", reason="c2pa-python is not installed")


@frozen
class Signed:
    """A signed PNG of 12x12 pixels: its bytes, its roots, and what each stretch of its credentials is."""

    data: bytes
    context: Any
    start: int
    length: int
    parts: tuple[tuple[int, int, str], ...]

    def part(self, at: int) -> str:
        """The name of the stretch that a byte belongs to."""
        return next((name for low, high, name in self.parts if low <= at < high), "picture")


@pytest.fixture(scope="module")
def signed(marks: Path) -> Signed:
    spec = importlib.util.spec_from_file_location("check_c2pa", Path(__file__).parent / "resources" / "check_c2pa.py")
    assert spec is not None and spec.loader is not None
    checker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checker)
    ours = authority.load(marks)
    pixels = np.random.default_rng(0).integers(0, 255, (12, 12, 1), dtype=np.uint8)
    record = MarkingRecord(provider="O", system="s", version="1", time="2026-11-21T09:30:00Z", unique_id="u")
    binding = SoftBinding(alg="org.qimg.phash.v1", value="0f" * 8)
    picture = read_picture(png.encode(pixels, {"qimg:run": "r"}))
    data = sign(picture, record, ours, bindings=[binding], sidecar="never").data
    _, start, length = checker.store_of(data)
    parts = [(start, start + 8, "chunk"), (start + length - 4, start + length, "checksum")]
    parts += list(_parts(checker, data[start + 8 : start + length - 4], start + 8, ""))
    return Signed(data, context(ours.root), start, length, tuple(parts))


def _parts(checker: Any, data: bytes, at: int, path: str) -> Iterator[tuple[int, int, str]]:
    """Every byte of a JUMBF store: ``framing`` (headers and description boxes), or the content of a box by label."""
    for kind, body in checker.boxes(data):
        yield at, at + 8, "framing"
        if kind == "jumb":
            label = checker.jumbf(body).label
            yield from _parts(checker, body, at + 8, label)
        elif kind == "jumd":
            yield at + 8, at + 8 + len(body), "framing"
        elif path == "c2pa.signature":
            protected, _, _, signature = checker.decode(body).value
            for name, value in (("signed header", protected), ("signature", signature)):
                low = at + 8 + body.index(value)
                yield low, low + len(value), name
            yield at + 8, at + 8 + len(body), "unsigned header and padding"
        else:
            yield at + 8, at + 8 + len(body), path
        at += 8 + len(body)


def _held(signed: Signed, data: bytes) -> str | None:
    """What the manifest says where the file passes as sound; None where the change is found."""
    c2pa = sdk()
    try:
        with c2pa.Reader("image/png", io.BytesIO(data), context=signed.context) as reader:
            if reader.get_validation_state() not in ("Trusted", "Valid"):
                return None
            document = json.loads(reader.json())
    except c2pa.C2paError:
        return None
    return json.dumps(document["manifests"][document["active_manifest"]], sort_keys=True)


def _flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << (5 * at) % 8
    return bytes(changed)


UNSEEN = {"framing", "checksum", "unsigned header and padding"}
"""Where a changed bit may pass: box framing, the chunk's checksum, and what COSE leaves unsigned."""


def _check(signed: Signed, places: Any) -> set[str]:
    said = _held(signed, signed.data)
    assert said is not None
    unseen = set()
    for at in places:
        changed = _held(signed, _flipped(signed.data, at))
        if changed is not None:
            assert changed == said, f"byte {at} changes what is said, unseen"
            unseen.add(signed.part(at))
    return unseen


def test_changes_of_pixels_and_assertions_are_found(signed: Signed) -> None:
    chosen = [at for at in range(len(signed.data)) if signed.part(at) not in UNSEEN]
    assert len(chosen) > 1500
    assert _check(signed, chosen[::19]) == set()


@pytest.mark.slow
def test_every_byte(signed: Signed) -> None:
    assert _check(signed, range(len(signed.data))) <= UNSEEN


def test_credentials_of_another_picture_do_not_hold(signed: Signed) -> None:
    other = png.encode(np.zeros((12, 12, 1), np.uint8), {"qimg:run": "r"})
    chunk = signed.data[signed.start : signed.start + signed.length]
    assert other[:33] == signed.data[:33]
    assert _held(signed, other[:33] + chunk + other[33:]) is None
    assert _held(signed, signed.data) is not None


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_changed_pixels_of_the_other_formats(kind: str, marks: Path, picture: Any) -> None:
    from qimg_marks.credentials.reading import read

    ours = authority.load(marks)
    record = MarkingRecord(provider="O", system="s", version="1", time="2026-11-21T09:30:00Z", unique_id="u")
    before = read_picture(picture(kind, 96))
    data = sign(before, record, ours, sidecar="never").data
    assert read(read_picture(data), anchors=ours.root).state == "trusted"
    low = data.index(before.data[-600:-2])
    seen = 0
    for at in range(low, low + 590, 13):
        try:
            changed = read_picture(_flipped(data, at))
        except Exception:
            continue
        assert read(changed, anchors=ours.root).state == "invalid"
        seen += 1
    assert seen > 5
