"""`Images`: checks, 8-bit rounding, digest, grids and files."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qimg_core.errors import ConfigurationError, DataError, StorageError
from qimg_core.images import Images, TrainStep, pixels_from_bytes, read_images


def _images(n: int = 5, h: int = 4, w: int = 3, c: int = 1, **more: object) -> Images:
    rng = np.random.default_rng(n * h * w * c)
    settings = {"quantum": True, "simulated": True, **more}
    return Images(pixels=rng.random((n, h, w, c), dtype=np.float32), **settings)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_rounding_is_half_up_in_exact_arithmetic(values: list[float]) -> None:
    images = Images(pixels=np.array(values, np.float32).reshape(1, 1, -1, 1), quantum=False, simulated=True)
    exact = [int(Fraction(v) * 255 + Fraction(1, 2)) for v in values]
    assert images.to_uint8().ravel().tolist() == exact


def test_every_8_bit_value_survives_the_way_to_float_and_back() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    for dtype in (np.float32, np.float64):
        images = Images(pixels=values.astype(dtype) / dtype(255), quantum=False, simulated=True)
        np.testing.assert_array_equal(images.to_uint8(), values)


def test_digest_by_hand() -> None:
    images = Images(pixels=np.array([0.0, 1.0, 0.5, 0.25]).reshape(2, 2, 1, 1), quantum=True, simulated=True)
    text = b"qimg.pixels/1\n2 2 1 1\n" + bytes([0, 255, 128, 64])
    assert images.digest == "sha256:" + hashlib.sha256(text).hexdigest()
    assert images.to_bytes() == text
    np.testing.assert_array_equal(pixels_from_bytes(text), images.to_uint8())


def test_digest_is_of_pixels_and_shape_only() -> None:
    images = _images(4, 2, 6, 1, labels=(1, 2, 3, 4))
    assert attrs.evolve(images, labels=None, run="r", entry=3, quantum=False).digest == images.digest
    other = attrs.evolve(images, pixels=images.pixels.reshape(4, 6, 2, 1))
    assert other.digest != images.digest
    assert images.digests() == tuple(image.digest for image in images)


@pytest.mark.parametrize(
    "data", [b"", b"qimg.pixels/1\n1 1 1 1\n", b"qimg.pixels/1\n1 1 1 2\n\0\0", b"qimg.pixels/2\n1 1 1 1\n\0"]
)
def test_foreign_pixel_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        pixels_from_bytes(data)


@pytest.mark.parametrize(
    ("pixels", "word"),
    [
        (np.zeros((2, 3, 3)), "channel axis"),
        (np.zeros((0, 3, 3, 1)), "non-empty"),
        (np.zeros((2, 1, 8, 8)), "channels last"),
        (np.zeros((2, 3, 3, 1), np.uint8), "divide"),
        (np.full((1, 2, 2, 1), np.nan), "NaN"),
        (np.full((1, 2, 2, 1), np.inf), "NaN or infinite"),
        (np.full((1, 2, 2, 1), 1.001), "clip"),
        (np.full((1, 2, 2, 1), -0.001), "clip"),
        (np.full((1, 2, 2, 1), 1j), "floating-point"),
    ],
)
def test_what_is_no_image_is_refused(pixels: np.ndarray, word: str) -> None:
    with pytest.raises(DataError, match=word):
        Images(pixels=pixels, quantum=True, simulated=True)


@pytest.mark.parametrize("labels", [(1, 2), (), (0, 1, 2, 3, -1)])
def test_labels_must_fit(labels: tuple[int, ...]) -> None:
    with pytest.raises(DataError):
        _images(5, labels=labels)


def test_pixels_are_a_read_only_copy() -> None:
    pixels = np.zeros((1, 2, 2, 1), np.float32)
    images = Images(pixels=pixels, quantum=True, simulated=True)
    pixels[:] = 1
    assert images.pixels.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        images.pixels[0] = 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        images.quantum = False  # type: ignore[misc]


def test_selection_keeps_labels_and_order() -> None:
    images = _images(5, labels=range(5), run="r7", entry=2)
    assert images[[3, 1]].labels == (3, 1)
    np.testing.assert_array_equal(images[[3, 1]].pixels, images.pixels[[3, 1]])
    assert images[-1].labels == (4,)
    assert images[1:3].labels == (1, 2)
    assert images[np.int64(2)].run == "r7"
    assert [len(image) for image in images] == [1] * 5
    with pytest.raises(IndexError):
        images[5]
    with pytest.raises(DataError):
        images[5:]


def test_grid_places_each_image() -> None:
    images = _images(5, 4, 3, 3)
    grid, pixels = images.grid(columns=2, pad=1), images.to_uint8()
    assert grid.shape == (3 * 5 - 1, 2 * 4 - 1, 3)
    np.testing.assert_array_equal(grid[5:9, 4:7], pixels[3])
    np.testing.assert_array_equal(grid[10:14, 0:3], pixels[4])
    assert (grid[10:14, 4:7] == 255).all()
    assert (grid[4] == 255).all()
    assert images.grid().shape == (2 * 6 - 2, 3 * 5 - 2, 3)
    for columns, pad in ((0, 2), (2, -1)):
        with pytest.raises(ConfigurationError):
            images.grid(columns, pad)


@pytest.mark.parametrize(
    ("n", "c", "columns", "pad"), [(1, 1, None, 2), (5, 1, None, 2), (5, 3, 2, 0), (64, 1, 8, 3), (3, 3, 9, 1)]
)
def test_saved_images_come_back_with_their_digest(
    tmp_path: Path, n: int, c: int, columns: int | None, pad: int
) -> None:
    images = _images(n, c=c, run="run-1", entry=12, record={"ledger": "example.org/log"})
    path = images.save(tmp_path / "a.png", columns=columns, pad=pad, text={"note": "ä", "qimg:run": "forged"})
    with Image.open(path) as file:
        file.load()
        theirs, info = np.asarray(file), dict(file.text)
    np.testing.assert_array_equal(theirs.reshape(images.grid(columns, pad).shape), images.grid(columns, pad))
    assert info["qimg:run"] == "run-1"
    assert info["qimg:entry"] == "12"
    assert info["qimg:ledger"] == "example.org/log"
    assert info["qimg:pixels"] == images.digest
    assert info["qimg:quantum"] == info["qimg:simulated"] == "true"
    assert info["note"] == "ä"
    again, text = read_images(path)
    assert text == info
    assert again.digest == images.digest
    assert (again.run, again.entry, again.quantum, again.simulated) == ("run-1", 12, True, True)
    first = path.read_bytes()
    images.save(path, columns=columns, pad=pad, text={"note": "ä"})
    assert path.read_bytes() == first


def test_a_changed_pixel_changes_the_digest_that_is_read(tmp_path: Path) -> None:
    images = _images(4)
    path = images.save(tmp_path / "a.png")
    with Image.open(path) as file:
        file.load()
        pixels, text = np.array(file), dict(file.text)
    pixels[0, 0] ^= 1
    from qimg_core import png

    png.write(path, pixels, text)
    changed, text = read_images(path)
    assert changed.digest != text["qimg:pixels"]
    for layout in ("n=4 columns=2 pad=2 height=5 width=3", "n=0 columns=0 pad=0 height=0 width=0", "four"):
        png.write(path, pixels, {"qimg:grid": layout})
        with pytest.raises(DataError, match="grid"):
            read_images(path)


def test_save_each_names_the_set(tmp_path: Path) -> None:
    images = _images(3, c=3, quantum=False)
    paths = images.save_each(tmp_path / "new" / "folder")
    assert [p.name for p in paths] == ["00000.png", "00001.png", "00002.png"]
    for i, path in enumerate(paths):
        image, text = read_images(path)
        assert image.digest == images.digests()[i] == text["qimg:pixels"]
        assert (text["qimg:set"], text["qimg:index"], text["qimg:quantum"]) == (images.digest, str(i), "false")


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    images = _images(2)
    with pytest.raises(ConfigurationError, match="PNG"):
        images.save(tmp_path / "a.jpg")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        images.save_each(tmp_path / "file")
    with pytest.raises(StorageError):
        images.save(tmp_path / "absent" / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_notebooks_get_a_png() -> None:
    images = _images(4, 8, 8)
    with Image.open(io.BytesIO(images._repr_png_())) as file:
        shown = np.asarray(file)
    factor = shown.shape[0] // 18
    assert factor > 1
    np.testing.assert_array_equal(shown[::factor, ::factor], images.grid()[..., 0])


def test_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.rand(2, 3, 3, 1, requires_grad=True)
    images = Images(pixels=tensor, quantum=True, simulated=True)
    np.testing.assert_array_equal(images.pixels, tensor.detach().numpy())


def test_train_step_is_a_value() -> None:
    assert TrainStep(step=1, metrics={"loss": 0.5}) == TrainStep(step=1, metrics={"loss": 0.5})


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, qimg_core.images, qimg_core.png, qimg_core.datasets;"
        "print(sorted(m for m in ('numpy', 'torch', 'httpx', 'cryptography', 'sklearn', 'PIL') if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
