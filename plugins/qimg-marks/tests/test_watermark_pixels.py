"""Spread spectrum: what it costs, when it is found, what a search pays, and that nothing else is found."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from scipy.stats import norm

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.verdict import Verdict
from qimg_marks.watermark import WatermarkKey, detect, mark_pixels, spread
from qimg_marks.watermark.at_generation import mark_made
from qimg_marks.watermark.finding import p_bound, threshold

KEY = WatermarkKey(bytes(range(32)))
OTHER = WatermarkKey(bytes(32))


def scene(size: int, seed: int = 0, channels: int = 1) -> Any:
    """Smooth shapes, an edge, and grain that is not white: uint8 (1, size, size, channels)."""
    rng = np.random.default_rng([size, seed])
    y, x = np.mgrid[0:size, 0:size] / size
    out = np.zeros((size, size))
    for _ in range(6):
        fx, fy, phase = rng.uniform(0.5, 4, 3)
        out += rng.uniform(0.2, 1) * np.cos(2 * np.pi * (fx * x + fy * y + phase))
    grain = rng.normal(size=(size + 1, size + 1))
    out += 0.15 * (grain[1:, 1:] + grain[:-1, 1:] + grain[1:, :-1]) * (x > 0.5) + 0.8 * (y + x > rng.uniform(0.7, 1.3))
    grey = 20 + 210 * (out - out.min()) / np.ptp(out)
    return np.repeat(grey.astype(np.uint8)[None, ..., None], channels, 3)


def psnr(a: Any, b: Any) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def jpeg(pixels: Any, quality: int) -> Any:
    out = io.BytesIO()
    Image.fromarray(pixels[0].squeeze(-1) if pixels.shape[3] == 1 else pixels[0]).save(out, "JPEG", quality=quality)
    back = np.asarray(Image.open(io.BytesIO(out.getvalue())))
    return back.reshape(pixels.shape)


def resized(pixels: Any, h: int, w: int) -> Any:
    return np.asarray(Image.fromarray(pixels[0, ..., 0]).resize((w, h), Image.Resampling.BICUBIC))[None, ..., None]


@pytest.mark.parametrize("size", [28, 64, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_mark_is_weak_to_see_and_strong_to_find(size: int, channels: int) -> None:
    plain = scene(size, channels=channels)
    marked = mark_pixels(plain, KEY)
    assert marked.shape == plain.shape
    assert marked.dtype == np.uint8
    assert 38 <= psnr(plain, marked) < 39.2
    assert np.array_equal(marked, mark_pixels(plain, KEY))
    found = detect(marked, KEY)
    assert (found.method, found.n_images, found.tries) == ("pixels", 1, 1)
    if size == 28:  # so few pixels, half of them grain: not decided by one image, and that is said
        assert found.statistic > 2.5
        assert found.verdict is Verdict.INCONCLUSIVE
    else:
        assert found.verdict is Verdict.PASS, found
        assert detect(jpeg(marked, 75), KEY).verdict is Verdict.PASS
    for image, key in ((plain, KEY), (marked, OTHER)):
        assert detect(image, key).verdict is not Verdict.PASS


def test_extremes_are_marked_as_far_as_they_can_be() -> None:
    for value in (0, 255, 128):
        flat = np.full((1, 64, 64, 1), value, np.uint8)
        marked = mark_pixels(flat, KEY)
        assert psnr(flat, marked) >= 38
        assert detect(marked, KEY).verdict is Verdict.PASS
    assert detect(np.zeros((1, 64, 64, 1), np.uint8), KEY).statistic == 0


def test_the_pattern_is_of_the_key_its_size_only_cuts_it() -> None:
    large, small = spread.pattern_signs(KEY, (256, 256)), spread.pattern_signs(KEY, (64, 96))
    both = (large[:64, :96] != 0) & (small != 0)
    assert both.sum() > 500
    assert np.array_equal(large[:64, :96][both], small[both])
    values = large[large != 0]
    assert abs(values.mean()) < 5 / math.sqrt(values.size)
    assert not np.array_equal(large, spread.pattern_signs(OTHER, (256, 256)))
    assert not np.array_equal(large, spread.pattern_signs(KEY, (256, 256), bytes(12)))
    pixels = spread.spatial(large)
    assert np.allclose(dctn(pixels, norm="ortho"), large, atol=1e-9)
    assert np.count_nonzero(spread.pattern_signs(KEY, (3000, 2000))[spread.HIGHEST :]) == 0


def test_a_smaller_copy_is_still_marked() -> None:
    marked = mark_pixels(scene(256), KEY)
    assert detect(resized(marked, 128, 128), KEY).verdict is Verdict.PASS
    assert detect(resized(marked, 320, 320), KEY).verdict is Verdict.PASS


def test_a_pattern_of_its_own_needs_its_nonce() -> None:
    marked = mark_pixels(scene(64), KEY, nonce=bytes(12))
    assert detect(marked, KEY, nonce=bytes(12)).verdict is Verdict.PASS
    assert detect(marked, KEY).verdict is not Verdict.PASS


def test_small_images_decide_together() -> None:
    marked = np.concatenate([jpeg(mark_pixels(scene(28, i), KEY), 60) for i in range(16)])
    single = [detect(marked[i : i + 1], KEY).statistic for i in range(16)]
    together = detect(marked, KEY)
    assert together.verdict is Verdict.PASS
    assert together.n_images == 16
    assert together.statistic > np.median(single)
    plain = np.concatenate([scene(28, i) for i in range(16)])
    assert detect(plain, KEY).verdict is not Verdict.PASS
    assert detect(np.repeat(scene(28), 200, 0), KEY).statistic < threshold(1e-6)  # the same image 200 times is no proof


@pytest.mark.parametrize("size", [64, 256])
def test_a_crop_is_found_by_search_only(size: int) -> None:
    marked = mark_pixels(scene(size, 3), KEY)
    cut = size // 16
    cropped = resized(marked[:, cut : -cut // 2, cut // 2 : -cut], size, size)
    assert detect(cropped, KEY).verdict is not Verdict.PASS
    found = detect(cropped, KEY, resynchronise=True)
    assert found.verdict is Verdict.PASS, found
    assert found.tries > 1000
    assert found.threshold == pytest.approx(threshold(1e-6, found.tries))
    assert detect(cropped, OTHER, resynchronise=True).verdict is not Verdict.PASS
    if size == 64:
        shifted = np.roll(marked, (2, -3), (1, 2))
        assert detect(shifted, KEY, resynchronise=True).verdict is Verdict.PASS
        part = detect(marked[:, 3:, :-4], KEY, resynchronise=True, canvas=(64, 64))  # cut, and not made larger again
        assert part.verdict is Verdict.PASS, part


def test_what_is_no_image_is_refused() -> None:
    for bad in (
        np.zeros((1, 64, 64, 1)),
        np.zeros((64, 64, 1), np.uint8),
        np.zeros((1, 64, 64, 4), np.uint8),
        np.zeros((1, 8, 64, 1), np.uint8),
    ):
        with pytest.raises(DataError):
            mark_pixels(bad, KEY)
        with pytest.raises(DataError):
            detect(bad, KEY)


def test_at_generation_only_where_it_was_asked_for(monkeypatch: Any, tmp_path: Any) -> None:
    image = scene(64)[0]
    monkeypatch.delenv("QIMG_PIXEL_MARK", raising=False)
    assert mark_made(image) is None
    monkeypatch.setenv("QIMG_PIXEL_MARK", "watermark")
    monkeypatch.setenv("QIMG_WATERMARK_KEY", str(tmp_path / "k"))
    with pytest.raises(ConfigurationError, match="no watermark key"):
        mark_made(image)
    key = WatermarkKey.new(tmp_path / "k")
    marked = mark_made(image)
    assert marked is not None
    assert detect(marked[None], key).verdict is Verdict.PASS
    monkeypatch.setenv("QIMG_PIXEL_MARK", "stamp")
    with pytest.raises(ConfigurationError, match="stamp"):
        mark_made(image)


@pytest.mark.parametrize("trials", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_the_null_is_calibrated_over_keys(trials: int) -> None:
    rng = np.random.default_rng(4)
    c = [spread.coefficients(scene(28, i))[0] for i in range(20)]
    c += [spread.coefficients(scene(64, i))[0] for i in range(20)]
    c.append(spread.together(np.stack(c[:16])))
    t = np.empty(trials)
    for i in range(trials):
        one = c[i % len(c)]
        table = np.unpackbits(np.frombuffer(rng.bytes(one.size // 8 + 1), np.uint8), count=one.size)
        if i % 10 == 0:  # the key's own derivation, now and then
            t[i] = spread.statistic(one, spread.pattern_signs(WatermarkKey(rng.bytes(32)), one.shape))
        else:
            t[i] = spread.statistic(one, (table * 2.0 - 1).reshape(one.shape))
    assert abs(t.mean()) < 5 / math.sqrt(trials)
    assert abs(t.std() - 1) < 5 / math.sqrt(2 * trials)
    for level in (1.0, 2.0, 3.0):
        share, p = (t > level).mean(), norm.sf(level)
        assert share <= p_bound(level)
        assert abs(share - p) < 5 * math.sqrt(p / trials)
    assert t.max() < threshold(1e-6)
