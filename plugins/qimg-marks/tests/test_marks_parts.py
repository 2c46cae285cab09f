"""Record, label, metadata, fingerprints, pictures: the parts by themselves."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qimg_core import png
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.images import Images
from qimg_core.ledger import canonical
from qimg_marks.attribution import attribution
from qimg_marks.credentials.manifest import manifest
from qimg_marks.fingerprint import hashes, registry
from qimg_marks.label import LEGIBLE, Label, draw, smallest
from qimg_marks.metadata import read_aigc, with_aigc
from qimg_marks.picture import open_picture, pixel_digest, read_picture, with_pixels
from qimg_marks.record import Aigc, MarkingRecord, Place


def _record(**changes: Any) -> MarkingRecord:
    given: dict[str, Any] = {
        "provider": "Example Org",
        "system": "some-model",
        "version": "1.0",
        "time": "2026-11-21T09:30:00Z",
        "unique_id": "ab" * 32,
    }
    return MarkingRecord(**{**given, **changes})


# -- the record ---------------------------------------------------------------------------------


def test_the_record_is_a_ledger_document() -> None:
    place = Place(log="l", run="r", entry=3, leaf="ab" * 32, pixels="sha256:" + "0" * 64)
    record = _record(place=place, aigc=Aigc(producer="EX", produce_id="1"))
    document = canonical.loads(canonical.dumps(record.to_json()))
    assert document["place"]["entry"] == 3
    assert list(document["aigc"]) == sorted(document["aigc"])
    assert set(record.to_json()["aigc"]) == {
        "Label",
        "ContentProducer",
        "ProduceID",
        "ReservedCode1",
        "ContentPropagator",
        "PropagateID",
        "ReservedCode2",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": ""},
        {"provider": "a@b.org"},
        {"system": "x" * 201},
        {"version": "a\nb"},
        {"origin": "made"},
        {"quantum": "yes"},
        {"time": "2026-11-21"},
        {"time": "2026-13-01T00:00:00Z"},
    ],
)
def test_records_that_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        _record(**changes)


@given(st.text(max_size=220))
@settings(max_examples=200, deadline=None)
def test_any_text_is_kept_or_refused(text: str) -> None:
    try:
        record = _record(licence=text)
    except ConfigurationError:
        return
    assert record.licence == text
    assert json.loads(canonical.dumps(record.to_json()))["licence"] == text
    json.dumps(manifest(record))


def test_attribution_names_what_was_quantum() -> None:
    assert "on quantum hardware" in attribution(_record(quantum="hardware"))
    assert "classical computer simulated" in attribution(_record(quantum="simulated"))
    assert attribution(_record(licence="CC0-1.0"), "$licence|$id") == f"Licence: CC0-1.0.|{'ab' * 32}"
    with pytest.raises(ConfigurationError, match="fields:"):
        attribution(_record(), "$who")


# -- pictures -----------------------------------------------------------------------------------


def test_the_digest_is_the_core_s(picture: Any) -> None:
    read = read_picture(picture("PNG", 40))
    images = Images(pixels=read.pixels.astype(np.float64) / 255, quantum=False, simulated=False)
    assert read.digest == images.digest
    assert pixel_digest(read.pixels[:1]) == images.digest


def test_grids_are_cut_and_laid_out_again(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).random((5, 6, 7, 1))
    images = Images(pixels=pixels, quantum=False, simulated=False)
    images.save(tmp_path / "g.png")
    read = open_picture(tmp_path / "g.png")
    assert np.array_equal(read.pixels, images.to_uint8())
    other = with_pixels(read, 255 - read.pixels)
    assert np.array_equal(other.pixels, 255 - images.to_uint8())
    assert np.array_equal(read_picture(other.data).whole[6:8], read.whole[6:8])  # the white between them


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_png_of_every_mode_is_read(mode: str, tmp_path: Path) -> None:
    base = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image = Image.fromarray((np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)) if mode == "I;16" else base
    image = image if mode == "I;16" else base.convert(mode)
    image.save(tmp_path / "p.png")
    found = open_picture(tmp_path / "p.png").whole
    assert found.shape[:2] == (16, 16)
    wanted = np.asarray(base.convert("1").convert("L") if mode == "1" else base)
    assert np.array_equal(found[..., 0], wanted)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        read_picture(data)


def test_animations_and_bombs_are_refused() -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in range(3)]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(DataError, match="animation"):
        read_picture(out.getvalue())
    small = bytearray(png.encode(np.zeros((1, 1, 1), np.uint8)))
    small[16:24] = struct.pack(">II", 60_000, 60_000)
    with pytest.raises(DataError):
        read_picture(bytes(small))


# -- the AIGC block -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("producer", ["EX-1", "示例机构"])
def test_the_block_goes_in_without_touching_a_pixel(kind: str, producer: str, picture: Any) -> None:
    before = read_picture(picture(kind, 48))
    block = Aigc(producer=producer, produce_id="7")
    after = with_aigc(before, block)
    assert np.array_equal(before.whole, after.whole)
    assert read_aigc(before) is None
    assert read_aigc(after) == block.to_json()
    # as another program reads it
    with Image.open(io.BytesIO(after.data)) as image:
        if kind == "PNG":
            assert json.loads(image.info["AIGC"]) == block.to_json()
        else:
            assert producer in bytes(image.getexif().get_ifd(0x8769)[0x9286]).decode(
                "ascii" if producer.isascii() else "utf-16-be"
            )
    if kind == "PNG":  # once, however often it is set
        again = with_aigc(after, Aigc(producer="other", produce_id="8"))
        assert (read_aigc(again) or {})["ContentProducer"] == "other"
        assert again.data.count(b"AIGC") == 1


def test_a_webp_has_no_place_for_it(picture: Any) -> None:
    with pytest.raises(ConfigurationError, match="WebP"):
        with_aigc(read_picture(picture("WEBP", 48)), Aigc(producer="E", produce_id="1"))


# -- the label ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [28, 64, 200, 512])
@pytest.mark.parametrize("ground", [0, 255])
def test_letters_are_five_per_cent_high_and_seen(size: int, ground: int) -> None:
    image = np.full((size, size, 3), ground, np.uint8)
    drawn = draw(image, Label(words="H"))
    rows = np.argwhere(_ink(drawn.pixels, drawn.box))[:, 0]
    measured = rows.max() - rows.min() + 1
    assert drawn.letters >= max(LEGIBLE, 0.05 * size)
    assert abs(measured - drawn.letters) <= 1
    left, top, right, bottom = drawn.box
    outside = np.ones(image.shape[:2], bool)
    outside[top:bottom, left:right] = False
    assert np.array_equal(drawn.pixels[outside], image[outside])


def _ink(pixels: Any, box: tuple[int, int, int, int]) -> Any:
    """Pixels of the label that are nearer to its letters than to its ground."""
    left, top, right, bottom = box
    inside = pixels[top:bottom, left:right].astype(int).mean(-1)
    return np.abs(inside - inside[0, 0]) > 127


def test_pictures_too_small_say_so_and_from_where_on_it_fits() -> None:
    label = Label(words="AI generated")
    side = smallest(label)
    draw(np.zeros((side, side, 1), np.uint8), label)
    with pytest.raises(DataError, match=f"from {side} pixels on"):
        draw(np.zeros((side - 1, side - 1, 1), np.uint8), label)
    with pytest.raises(DataError):
        draw(np.zeros((28, 28, 1), np.uint8), label)


def test_a_strip_below_leaves_every_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 255, (28, 64, 3), dtype=np.uint8)
    drawn = draw(image, Label(words="AI", place="below"))
    assert np.array_equal(drawn.pixels[:28], image)
    assert drawn.pixels.shape[0] > 28


def test_letters_that_the_font_lacks_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="--font"):
        draw(np.zeros((200, 200, 1), np.uint8), Label(words="人工智能"))


@pytest.mark.parametrize("wrong", [{"words": ""}, {"words": "a\nb"}, {"share": 0.01}, {"words": "x" * 81}])
def test_labels_that_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Label(**wrong)


# -- fingerprints -------------------------------------------------------------------------------


def test_phash_is_imagehash_s(picture: Any) -> None:
    imagehash = pytest.importorskip("imagehash", reason="ImageHash is not installed")
    data = picture("PNG", 64)
    with Image.open(io.BytesIO(data)) as image:
        assert hashes.fingerprint(read_picture(data).pixels[0]).phash == str(imagehash.phash(image))


def test_block_means_in_closed_form() -> None:
    half = np.full((32, 32), 90.0)
    half[:, 16:] = 200
    means = hashes.block_means(half)
    assert np.allclose(means[:, :8], 90)
    assert np.allclose(means[:, 8:], 200)
    assert np.array_equal(hashes.block_bits(half).reshape(16, 16), means > 145)
    # sizes that 16 does not divide: a ramp's means are those of its blocks, by integration
    ramp = np.arange(28.0)[None, :].repeat(28, 0)
    edges = np.linspace(0, 28, 17)
    exact = [_integral(b) - _integral(a) for a, b in pairwise(edges)]
    assert np.allclose(hashes.block_means(ramp)[0], np.array(exact) / (28 / 16))


def _integral(x: float) -> float:
    """Of the step function floor(t) from 0 to x."""
    whole = int(x)
    return whole * (whole - 1) / 2 + whole * (x - whole)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_distance_counts_bits(a: int, b: int) -> None:
    differ = sum(x != y for x, y in zip(f"{a:064b}", f"{b:064b}", strict=True))
    assert hashes.distance(f"{a:016x}", f"{b:016x}") == differ


def test_fingerprints_survive_the_artefact(picture: Any) -> None:
    prints = tuple(hashes.fingerprint(read_picture(picture("PNG", 32, seed)).pixels[0]) for seed in range(3))
    assert registry.unpacked(registry.packed(prints)) == prints
    with pytest.raises(DataError):
        registry.unpacked(canonical.dumps({"schema": "other"}))
    with pytest.raises(DataError):
        registry.unpacked(canonical.dumps({"schema": registry.SCHEMA, "images": [{"pixels": "x"}]}))


def _digits(name: str, n: int) -> Any:
    folder = os.environ.get("QIMG_DATA")
    path = Path(folder or "/nonexistent") / name / "t10k-images-idx3-ubyte.gz"
    if not path.exists():
        pytest.skip("QIMG_DATA names no folder with the data sets")
    data = gzip.decompress(path.read_bytes())
    shape = struct.unpack(">III", data[4:16])
    return np.frombuffer(data, np.uint8, offset=16).reshape(shape)[:n, ..., None]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "which"), [("mnist", 0), ("fashion-mnist", 1), ("neu-steel", 2)])
def test_the_stated_rates_are_those_of_the_data(name: str, which: int) -> None:
    from scipy.stats import beta

    images, stated = _digits(name, 1500), registry.RATES[which]
    prints = [hashes.fingerprint(image) for image in images]
    bits = {k: np.array([_bits(getattr(p, k)) for p in prints], float) for k in ("phash", "blocks")}
    small = np.array([np.frombuffer(p.thumbnail, np.uint8) for p in prints], float)
    near = _hamming(bits["phash"]) <= registry.PHASH
    near &= _hamming(bits["blocks"]) <= registry.BLOCKS
    squares = (small**2).sum(1)
    gaps = squares[:, None] + squares[None] - 2 * small @ small.T
    near &= np.sqrt(np.maximum(gaps, 0) / small.shape[1]) <= registry.PIXELS
    pairs = np.triu_indices(len(prints), 1)
    assert (int(near[pairs].sum()), len(pairs[0])) == (stated.found, stated.pairs)
    assert stated.bound == pytest.approx(beta.ppf(0.95, stated.found + 1, stated.pairs - stated.found), rel=0.03)


def _bits(text: str) -> list[int]:
    return [int(b) for b in f"{int(text, 16):0{4 * len(text)}b}"]


def _hamming(bits: Any) -> Any:
    return bits @ (1 - bits).T + (1 - bits) @ bits.T
