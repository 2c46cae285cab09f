"""Checks of what the image metrics are given (imports numpy and qimg_core.errors only).

Every metric calls one of these first, so that a wrong shape, a NaN or an empty set fails with the same words and before
anything is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qimg_core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CHUNK = 2000
"""Rows handled at once where a distance or kernel matrix would be large."""


def checked_images(images: ArrayLike, name: str = "images") -> NDArray[np.floating]:
    """Return `images` as a floating array of shape (n, h, w, c) with values in [0, 1].

    Args:
        images: images, axis order (image, row, column, channel).
        name: what to call them in an error.

    Raises:
        DataError: not four axes, none at all, not real numbers, NaN or infinite, or outside [0, 1].
    """
    array = np.asarray(images)
    if array.ndim != 4 or 0 in array.shape:
        raise DataError(
            f"{name}: wanted a non-empty array of shape (n, h, w, c), got shape {array.shape}",
            hint="add the channel axis with images[..., None]" if array.ndim == 3 else "",
        )
    if not np.issubdtype(array.dtype, np.floating):
        hint = "divide 8-bit images by 255" if array.dtype == np.uint8 else ""
        raise DataError(f"{name}: wanted floating-point values in [0, 1], got {array.dtype}", hint=hint)
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{name}: NaN or infinite values")
    if low < 0.0 or high > 1.0:
        raise DataError(f"{name}: wanted values in [0, 1], got [{low:.4g}, {high:.4g}]", hint="clip or rescale them")
    return array


def checked_features(features: ArrayLike, name: str = "features", *, least: int = 2) -> NDArray[np.float64]:
    """Return `features` as float64 of shape (n, d).

    Args:
        features: one row per image.
        name: what to call them in an error.
        least: the fewest rows that make sense.

    Raises:
        DataError: not two axes, fewer than `least` rows, no columns, not numbers, NaN or infinite.
    """
    raw = np.asarray(features)
    if raw.ndim != 2 or raw.shape[1] == 0 or len(raw) < least:
        raise DataError(f"{name}: wanted shape (n >= {least}, d >= 1), got {raw.shape}")
    if not (np.issubdtype(raw.dtype, np.floating) or np.issubdtype(raw.dtype, np.integer)):
        raise DataError(f"{name}: wanted real numbers, got {raw.dtype}")
    array = np.ascontiguousarray(raw, dtype=np.float64)
    if not np.isfinite(array).all():
        raise DataError(f"{name}: NaN or infinite values")
    return array


def checked_pair(
    generated: ArrayLike, reference: ArrayLike, *, least: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check two feature sets and that they have the same width.

    Raises:
        DataError: as `checked_features`, or the widths differ.
    """
    left = checked_features(generated, "generated features", least=least)
    right = checked_features(reference, "reference features", least=least)
    if left.shape[1] != right.shape[1]:
        raise DataError(f"features of different widths: generated d={left.shape[1]}, reference d={right.shape[1]}")
    return left, right


def checked_labels(
    labels: ArrayLike, n: int, name: str = "labels", *, n_classes: int | None = None
) -> NDArray[np.int64]:
    """Return `labels` as int64 of shape (n,), each in 0 .. n_classes - 1.

    Raises:
        DataError: wrong length, not whole numbers, negative, or not below `n_classes`.
    """
    array = np.asarray(labels)
    if array.shape != (n,):
        raise DataError(f"{name}: wanted one label for each of {n} images, got shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{name}: wanted whole numbers, got {array.dtype}")
    if n and (array.min() < 0 or (n_classes is not None and array.max() >= n_classes)):
        bound = "0 or more" if n_classes is None else f"0 .. {n_classes - 1}"
        raise DataError(f"{name}: wanted classes {bound}, got {array.min()} .. {array.max()}")
    return array.astype(np.int64)
