"""`ArraySource`, batches and resizing against numpy, PIL and exact fractions."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qimg_core.datasets import ArraySource
from qimg_core.datasets.resize import resize, resized, weights
from qimg_core.errors import ConfigurationError, DataError


def _bytes(n: int = 10, h: int = 5, w: int = 4, c: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, h, w, c)).astype(np.uint8)


def test_digest_by_hand() -> None:
    source = ArraySource(name="a", pixels=np.array([[[7, 9]]], np.uint8), labels=[3])
    text = b"qimg.dataset/1 u8 1 1 2 1 i64\n" + bytes([7, 9]) + (3).to_bytes(8, "little")
    assert source.digest == "sha256:" + hashlib.sha256(text).hexdigest()
    half = ArraySource(name="a", pixels=np.full((1, 1, 1, 1), 0.5))
    text = b"qimg.dataset/1 f32 1 1 1 1 none\n" + np.array(0.5, "<f4").tobytes()
    assert half.digest == "sha256:" + hashlib.sha256(text).hexdigest()


def test_digest_sees_values_labels_order_and_shape_but_no_container_type() -> None:
    x, y = _bytes(), np.arange(10)
    base = ArraySource(name="a", pixels=x, labels=y).digest
    for same in (x.astype(np.float32) / np.float32(255), x.astype(np.float64) / 255, np.asfortranarray(x), x[..., 0]):
        assert ArraySource(name="b", pixels=same, labels=y.astype(np.uint8)).digest == base
    changed = x.copy()
    changed[3, 2, 1] ^= 1
    others = [(changed, y), (x, y[::-1]), (x[::-1], y), (x.transpose(0, 2, 1, 3), y), (x, None)]
    digests = {ArraySource(name="a", pixels=p, labels=q).digest for p, q in others}
    assert len(digests | {base}) == 6


def test_images_are_floats_in_the_order_asked() -> None:
    x = _bytes(c=3)
    source = ArraySource(name="a", pixels=x, labels=np.arange(10) % 4)
    assert (source.n, len(source), source.shape, source.n_classes) == (10, 10, (5, 4, 3), 4)
    got = source.images([7, 2, 7])
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, (x[[7, 2, 7]] / 255).astype(np.float32))
    np.testing.assert_array_equal(source.all(), (x / 255).astype(np.float32))
    with pytest.raises(IndexError):
        source.images([10])
    assert ArraySource(name="a", pixels=x).n_classes == 0


def test_later_changes_outside_do_not_reach_the_source() -> None:
    x = _bytes()
    source = ArraySource(name="a", pixels=x)
    before = source.digest
    x[:] = 0
    assert ArraySource(name="a", pixels=source.pixels).digest == before
    with pytest.raises(ValueError, match="read-only"):
        source.pixels[0] = 1


@given(n=st.integers(1, 40), size=st.integers(1, 50), seed=st.integers(0, 2**40), epoch=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_each_epoch_holds_each_image_once(n: int, size: int, seed: int, epoch: int) -> None:
    source = ArraySource(name="a", pixels=_bytes(n), labels=np.arange(n))
    batches = list(source.batches(size, seed=seed, epoch=epoch))
    assert [len(b.indices) for b in batches[:-1]] == [size] * (len(batches) - 1)
    indices = np.concatenate([b.indices for b in batches])
    assert sorted(indices.tolist()) == list(range(n))
    for batch in batches:
        np.testing.assert_array_equal(batch.labels, batch.indices)
        np.testing.assert_array_equal(batch.images, source.images(batch.indices))
    again = np.concatenate([b.indices for b in source.batches(size, seed=seed, epoch=epoch)])
    np.testing.assert_array_equal(again, indices)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    source = ArraySource(name="a", pixels=_bytes(50))

    def order(size: int, seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(np.concatenate([b.indices for b in source.batches(size, seed=seed, epoch=epoch)]).tolist())

    assert order(7, 1, 0) == order(50, 1, 0)
    assert len({order(7, 1, 0), order(7, 1, 1), order(7, 2, 0)}) == 3
    with pytest.raises(ConfigurationError):
        source.batches(0, seed=1, epoch=0)


@pytest.mark.parametrize(
    ("pixels", "labels", "word"),
    [
        (np.zeros((0, 4, 4, 1), np.uint8), None, "non-empty"),
        (np.zeros((4, 4), np.uint8), None, "non-empty"),
        (np.zeros((2, 3, 8, 8), np.uint8), None, "channels last"),
        (np.full((2, 4, 4, 1), np.nan), None, "NaN"),
        (np.full((2, 4, 4, 1), 200.0), None, "divide by 255"),
        (np.full((2, 4, 4, 1), -1.0), None, "rescale"),
        (np.zeros((2, 4, 4, 1), np.int64), None, "astype"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0], "2 images but 1 labels"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0.0, 1.0], "whole numbers"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0, -1], "from 0 up"),
        (np.zeros((2, 4, 4, 1), np.uint8), [[0, 1], [1, 0]], "whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused(pixels: np.ndarray, labels: list[int] | None, word: str) -> None:
    with pytest.raises(DataError, match=word):
        ArraySource(name="a", pixels=pixels, labels=labels)


def _area_by_fractions(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average over the exact area: enlarge by whole factors, then average whole blocks."""
    h, w = image.shape
    big = image.repeat(size[0], 0).repeat(size[1], 1).astype(object)
    out = np.empty(size, np.uint8)
    for i in range(size[0]):
        for j in range(size[1]):
            total = big[i * h : (i + 1) * h, j * w : (j + 1) * w].sum()
            out[i, j] = int(Fraction(int(total), h * w) + Fraction(1, 2))
    return out


@given(
    old=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    part=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_shrinking_is_the_exact_area_average(old: tuple[int, int], part: tuple[float, float], seed: int) -> None:
    new = (1 + int(part[0] * (old[0] - 1)), 1 + int(part[1] * (old[1] - 1)))
    pixels = _bytes(2, *old, seed=seed)
    got = resize(pixels, new)
    for i in range(2):
        np.testing.assert_array_equal(got[i, ..., 0], _area_by_fractions(pixels[i, ..., 0], new))


@pytest.mark.parametrize(("old", "new"), [((8, 8), (28, 28)), ((5, 7), (11, 9)), ((3, 3), (6, 12))])
def test_enlarging_is_pillows_bilinear(old: tuple[int, int], new: tuple[int, int]) -> None:
    pixels = _bytes(3, *old).astype(np.float32) / np.float32(255)
    got = resize(pixels, new)
    for i in range(3):
        theirs = np.asarray(Image.fromarray(pixels[i, ..., 0]).resize(new[::-1], Image.Resampling.BILINEAR))
        np.testing.assert_allclose(got[i, ..., 0], theirs, atol=2e-6)
    whole = resize(_bytes(3, *old), new).astype(float)
    np.testing.assert_allclose(whole / 255, got, atol=0.5001 / 255)


@given(old=st.integers(1, 60), new=st.integers(1, 60))
def test_weights_sum_to_what_they_say(old: int, new: int) -> None:
    matrix, total = weights(old, new)
    assert matrix.shape == (new, old)
    assert (matrix >= 0).all()
    assert (matrix.sum(axis=1) == total).all()


def test_resized_source_tells_where_it_is_from() -> None:
    source = ArraySource(name="a", pixels=_bytes(6, 8, 8, 3), labels=np.arange(6), provenance={"format": "x"})
    small = resized(source, 4)
    assert small.shape == (4, 4, 3)
    np.testing.assert_array_equal(small.labels, source.labels)
    assert small.provenance["format"] == "x"
    assert small.provenance["resized"]["from"] == source.digest
    assert small.digest != source.digest
    assert resized(source, (8, 8)) is source
    for size in (0, -1, 5000, (1, 2, 3), 2.5):
        with pytest.raises(ConfigurationError):
            resized(source, size)  # type: ignore[arg-type]
