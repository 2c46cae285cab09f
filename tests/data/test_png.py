"""The PNG reader and writer against Pillow, an independent implementation, and against damage."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from qimg_core import png
from qimg_core.errors import ConfigurationError, DataError, StorageError


def _noisy(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Smooth and rough parts, so that encoders pick different filters."""
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(shape[0]) * 3, np.arange(shape[1]) * 2)[..., None] % 256
    noise = rng.integers(0, 256, shape) * (rng.random((*shape[:2], 1)) < 0.2)
    return ((ramp + noise) % 256).astype(np.uint8)


def _saved(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _file(
    width: int, height: int, depth: int, colour: int, raw: bytes, *, interlace: int = 0, extra: bytes = b""
) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", zlib.compress(raw)) + _chunk(b"IEND", b"")
    return png.SIGNATURE + body


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([1, 3]),
    text=st.dictionaries(
        st.text("abcXYZ:-_9", min_size=1, max_size=20),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50),
        max_size=3,
    ),
)
@settings(max_examples=60, deadline=None)
def test_pillow_reads_what_we_write_and_so_do_we(
    seed: int, size: tuple[int, int], channels: int, text: dict[str, str]
) -> None:
    pixels = _noisy(seed, (*size, channels))
    data = png.encode(pixels, text)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        theirs = np.asarray(image)
        assert image.text == text
    np.testing.assert_array_equal(theirs.reshape(pixels.shape), pixels)
    ours, read_text = png.decode(data)
    np.testing.assert_array_equal(ours, pixels)
    assert read_text == text
    assert png.encode(pixels, dict(reversed(text.items()))) == data


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 33)])
def test_we_read_what_pillow_writes(mode: str, size: tuple[int, int]) -> None:
    channels = len(mode)
    pixels = _noisy(3, (*size, channels))
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode)
    decoded, _ = png.decode(_saved(image, compress_level=6))
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("colours", [2, 4, 16, 200])
def test_palettes_of_every_depth(colours: int) -> None:
    image = Image.fromarray(_noisy(5, (19, 23, 3))).quantize(colours)
    decoded, _ = png.decode(_saved(image))
    np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))
    see_through, _ = png.decode(_saved(image, transparency=1))
    assert see_through.shape[2] == 4
    np.testing.assert_array_equal(see_through[..., 3] == 0, np.asarray(image) == 1)


def test_one_bit_grey_is_black_and_white() -> None:
    image = Image.fromarray(_noisy(6, (9, 13, 1))[..., 0]).convert("1")
    decoded, _ = png.decode(_saved(image))
    np.testing.assert_array_equal(decoded[..., 0], np.asarray(image.convert("L")))


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4])
@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (6, 4)])
def test_each_row_filter_as_pillow_undoes_it(kind: int, colour: int, channels: int) -> None:
    width, height = 11, 6
    rows = np.random.default_rng(kind).integers(0, 256, (height, 1 + width * channels)).astype(np.uint8)
    rows[:, 0] = kind
    data = _file(width, height, 8, colour, rows.tobytes())
    with Image.open(io.BytesIO(data)) as image:
        theirs = np.asarray(image).reshape(height, width, channels)
    np.testing.assert_array_equal(png.decode(data)[0], theirs)


def test_text_that_pillow_writes_in_all_three_forms() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("plain", "a run")
    info.add_text("packed", "x" * 5000, zip=True)
    info.add_itxt("wide", "Zähler 図", zip=True)
    data = _saved(Image.new("L", (3, 3)), pnginfo=info)
    assert png.decode(data)[1] == {"plain": "a run", "packed": "x" * 5000, "wide": "Zähler 図"}


def test_every_cut_and_every_flipped_byte_is_found() -> None:
    pixels = _noisy(9, (8, 8, 3))
    data = png.encode(pixels, {"qimg:run": "r1"})
    for end in range(len(data)):
        with pytest.raises(DataError):
            png.decode(data[:end])
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x41
        with pytest.raises(DataError):
            png.decode(bytes(changed))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (_file(2, 2, 16, 0, bytes(10)), "16-bit"),
        (_file(2, 2, 8, 0, bytes(6), interlace=1), "interlaced"),
        (_file(2, 2, 8, 5, bytes(6)), "header"),
        (_file(2, 2, 8, 0, bytes(5)), "fewer pixels"),
        (_file(2, 2, 8, 0, bytes(7)), "more pixels"),
        (_file(2, 2, 8, 0, b"\5\0\0\0\0\0"), "filter 5"),
        (_file(1 << 30, 1 << 30, 8, 0, b""), "larger"),
        (_file(2, 2, 8, 3, bytes(6)), "palette"),
        (_file(2, 2, 8, 0, bytes(6), extra=_chunk(b"QIMG", b"")), "critical"),
        (_file(2, 2, 8, 0, bytes(6), extra=_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 22)))), "longer"),
        (b"\xff\xd8\xff\xe0 a jpeg", "not a PNG"),
        (b"", "not a PNG"),
    ],
)
def test_what_is_not_read_says_why(data: bytes, word: str) -> None:
    with pytest.raises(DataError, match=word):
        png.decode(data)


@pytest.mark.parametrize(
    ("pixels", "text"),
    [
        (np.zeros((2, 2), np.float32), {}),
        (np.zeros((2, 2, 4), np.uint8), {}),
        (np.zeros((0, 2), np.uint8), {}),
        (np.zeros((2, 2), np.uint8), {"": "x"}),
        (np.zeros((2, 2), np.uint8), {"k" * 80: "x"}),
        (np.zeros((2, 2), np.uint8), {"図": "x"}),
        (np.zeros((2, 2), np.uint8), {"key": "a\0b"}),
    ],
)
def test_bad_input_writes_nothing(pixels: np.ndarray, text: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        png.write(tmp_path / "a.png", pixels, text)
    assert list(tmp_path.iterdir()) == []


def test_write_and_read_files(tmp_path: Path) -> None:
    pixels = _noisy(1, (5, 4, 1))
    png.write(tmp_path / "a.png", pixels, {"Software": "qimg"})
    decoded, text = png.read(tmp_path / "a.png")
    np.testing.assert_array_equal(decoded, pixels)
    assert text == {"Software": "qimg"}
    with pytest.raises(DataError, match=r"missing\.png"):
        png.read(tmp_path / "missing.png")
    with pytest.raises(StorageError):
        png.write(tmp_path / "no folder" / "a.png", pixels)
