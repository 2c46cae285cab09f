"""The mark in the pixels of images as they are made (imports key, spread late).

``QIMG_PIXEL_MARK=watermark qimg generate ...``, with the key of `qimg_marks.watermark.key.find_key`. The pattern is the
key's alone and knows neither run nor index: a replay under the same settings marks the same pixels, and the detector
needs no record.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]

VARIABLE = "QIMG_PIXEL_MARK"
NAME = "watermark"


def mark_made(pixels: Bytes) -> Bytes | None:
    """One image (h, w, c), marked where the user asked for it; else None.

    Raises:
        ConfigurationError: ``QIMG_PIXEL_MARK`` names something else, or there is no key.
        DataError: an image that is too small or too large.
    """
    asked = os.environ.get(VARIABLE) or None
    if asked is None:
        return None
    if asked != NAME:
        raise ConfigurationError(f"{VARIABLE} is {NAME} or nothing, got {asked!r}", hint=f"unset {VARIABLE}")
    from qimg_marks.watermark.key import find_key
    from qimg_marks.watermark.spread import mark_pixels

    marked: Bytes = mark_pixels(pixels[None], find_key())[0]
    return marked
