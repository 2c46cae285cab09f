"""`detect`: was this marked with this key? (imports finding, shading, spread, resync; a model is given).

A finding says "marked", never "authentic": whoever has a marked image can lay its mark over another one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.errors import DataError
from qimg_marks.watermark import shading, spread
from qimg_marks.watermark.bits import signs_of
from qimg_marks.watermark.finding import RATE, WatermarkFinding, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from qimg_core.generator import Generator
    from qimg_marks.watermark.key import WatermarkKey

    Bytes = npt.NDArray[np.uint8]
    Bits = npt.NDArray[np.uint8]


def detect(
    pixels: Bytes,
    key: WatermarkKey,
    *,
    false_positive_rate: float = RATE,
    nonce: bytes | None = None,
    resynchronise: bool = False,
    canvas: tuple[int, int] | None = None,
    model: Generator | None = None,
    nonces: Sequence[bytes] = (),
    labels: Sequence[int] | None = None,
    payload: Bits | None = None,
    search: bool = False,
) -> WatermarkFinding:
    """Look for a mark in images of one size, judged together.

    Without ``model`` it is the mark in the pixels, which needs nothing but the key. With ``model``, the generator that
    made them, it is the mark in the initial noise, and ``nonces`` are those of `detect_noise`.

    Args:
        pixels: uint8 (n, h, w, c), c = 1 or 3.
        key: whose mark.
        false_positive_rate: bound on P(pass) for images that this key did not mark.
        nonce: of a pattern of its own, see `qimg_marks.watermark.spread.mark_pixels`.
        resynchronise: in the pixels, search where the images lay before they were cropped or shifted, all alike.
        canvas: their height and width before that; None for what they have now.
        model: runs its sampler backwards.
        nonces: see `detect_noise`.
        labels: classes the images were asked as, for the model; None where that is not known.
        payload: see `detect_noise`.
        search: see `detect_noise`.

    Raises:
        DataError: images of another type, shape or size, or nonces that do not fit.
        NotImplementedError: this generator cannot be run backwards.
    """
    if model is not None:
        noise = inverted(pixels, model, labels)
        return detect_noise(noise, key, nonces, payload=payload, search=search, false_positive_rate=false_positive_rate)
    spread.check_pixels(pixels)
    expected = _in_pixels(spread.mark_pixels(pixels, key, nonce=nonce), key, nonce)
    decide = partial(judge, n_images=len(pixels), method="pixels", key=key.id, rate=false_positive_rate)
    if not resynchronise:
        return decide(statistic=_in_pixels(pixels, key, nonce), expected=expected)
    from qimg_marks.watermark.resync import search as places

    place = places(pixels, spread.pattern_signs(key, canvas or pixels.shape[1:3], nonce))
    return decide(statistic=place.statistic, expected=expected, tries=place.tries, where=str(place))


def _in_pixels(pixels: Bytes, key: WatermarkKey, nonce: bytes | None) -> float:
    found = spread.together(spread.coefficients(pixels))
    return spread.statistic(found, spread.pattern_signs(key, found.shape, nonce))


def detect_noise(
    noise: npt.ArrayLike,
    key: WatermarkKey,
    nonces: Sequence[bytes],
    *,
    payload: Bits | None = None,
    search: bool = False,
    false_positive_rate: float = RATE,
) -> WatermarkFinding:
    """Look for Gaussian shading in noise that `inverted` gave.

    Args:
        noise: (n, ...), an estimate of each image's initial noise.
        key: whose mark.
        nonces: 12 bytes each. Without ``search`` one for every image, judged together; with it, any number that may
            belong to the one image, each a try.
        payload: what the mark carries, if anything.
        search: whether the image's nonce is one of many.
        false_positive_rate: bound on P(pass).

    Raises:
        DataError: nonces that do not fit, noise that is too small to carry a mark, or not finite.
    """
    c = shading.coefficients(noise)
    shading.check_cells(c.shape[1:])
    if (search and (len(c) != 1 or not nonces)) or (not search and len(nonces) != len(c)):
        wanted = "one image and a nonce or more" if search else "one nonce an image"
        raise DataError(f"wanted {wanted}, got {len(c)} images and {len(nonces)} nonces")
    decide = partial(judge, n_images=len(c), method="noise", key=key.id, rate=false_positive_rate)
    expected, cells = shading.expected(c), c.shape[1]
    if not search:
        signs = np.stack([signs_of(shading.message(key, nonce, cells, payload)) for nonce in nonces])
        return decide(statistic=shading.soft(c, signs), expected=expected)
    best, at = max(
        (shading.soft(c, signs_of(shading.message(key, nonce, cells, payload))), i) for i, nonce in enumerate(nonces)
    )
    return decide(statistic=best, expected=expected, tries=len(nonces), where=f"nonce {at}")


def inverted(pixels: Bytes, model: Generator, labels: Sequence[int] | None = None) -> Any:
    """The model's estimate of the initial noise of 8-bit images, float32 (n, *model.noise_shape).

    Raises:
        DataError: images that the model does not make.
        NotImplementedError: this generator cannot be run backwards.
    """
    from qimg_core.images import Images

    images = Images(
        pixels=pixels.astype(np.float32) / np.float32(255),
        labels=None if labels is None else tuple(labels),
        quantum=False,
        simulated=False,
    )
    return model.invert(images)
