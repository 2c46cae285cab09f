"""Keyed spread spectrum: a watermark in the middle frequencies of any image (imports numpy, scipy, bits).

After Cox et al. (IEEE Trans. Image Process. 6, 1673, 1997): every coefficient of the whole image's DCT in a band is
pushed up or down, as the key says. The sign of a coefficient depends on the key and on its two indices, which count
half waves over the image: an image that was scaled keeps its signs. The detector knows no original. It divides the
image by its local variance, so that what is flat, where a mark shows undisturbed, counts most, brings every ring of
frequencies to one scale, and sums what agrees with the key.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from qimg_core.errors import DataError
from qimg_marks.watermark.bits import keystream, signs_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_marks.watermark.key import WatermarkKey

    Array = npt.NDArray[np.float64]
    Bytes = npt.NDArray[np.uint8]

USE = "spread-spectrum"
METHOD = "spread-spectrum/1"
BAND = (0.12, 0.65)
"""Of the highest frequency, radius of the indices as shares of height and width."""
HIGHEST = 512
"""No index above it carries anything: large images carry their mark where a smaller copy still has it."""
LEAST, LARGEST = 16, 8192
"""Pixels of a side."""
PSNR = 38.5
"""dB, of a marked image against the unmarked one; at least 38 after rounding."""
WINDOW, FLOOR = 1.5, 4.0
"""Of the local variance: a Gaussian of 1.5 pixels, and 4 grey levels beside the image's own deviation."""
CLIP = 2.0
RINGS = 12


def mark_pixels(pixels: Bytes, key: WatermarkKey, *, nonce: bytes | None = None, psnr: float = PSNR) -> Bytes:
    """The images with the key's mark in their brightness.

    Strength follows the image: more where it is lively, less where it is flat, scaled to the PSNR.

    Args:
        pixels: uint8 (n, h, w, c), c = 1 or 3, sides of 16 to 8,192.
        key: whose mark.
        nonce: 12 bytes; another pattern for each. None: one pattern for all images of the key, which is found without
            any record, and which an average over many marked images shows.
        psnr: in dB.

    Returns:
        uint8 of the same shape.

    Raises:
        DataError: another type, shape or size.
    """
    check_pixels(pixels)
    pattern = spatial(pattern_signs(key, pixels.shape[1:3], nonce))
    return np.stack([_marked(image, pattern, psnr) for image in pixels])


def check_pixels(pixels: Bytes) -> None:
    """Refuse what is no stack of 8-bit images, or is too small or too large.

    Raises:
        DataError.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or 0 in pixels.shape:
        raise DataError(f"wanted 8-bit images (n, h, w, 1 or 3), got {pixels.dtype} {pixels.shape}")
    if min(pixels.shape[1:3]) < LEAST or max(pixels.shape[1:3]) > LARGEST:
        raise DataError(
            f"a watermark in the pixels takes images of {LEAST} to {LARGEST:,} pixels a side, got {pixels.shape[1:3]}"
        )


def brightness(pixels: Bytes) -> Array:
    """(n, h, w, c) to float64 (n, h, w): the mean of the channels."""
    out: Array = pixels.astype(np.float64).mean(3)
    return out


def band(shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which coefficients of an image (h, w) carry the mark, (h, w)."""
    radius = _radius(shape)
    inside = (radius > BAND[0]) & (radius < BAND[1])
    if max(shape) > HIGHEST / BAND[1]:  # the same band of a smaller copy of the image
        scale = max(shape) * BAND[1] / HIGHEST
        inside = (radius * scale > BAND[0]) & (radius * scale < BAND[1])
    return inside


def _radius(shape: tuple[int, int]) -> Array:
    h, w = shape
    out: Array = np.hypot(np.arange(h)[:, None] / h, np.arange(w)[None] / w)
    return out


def pattern_signs(key: WatermarkKey, shape: tuple[int, ...], nonce: bytes | None = None) -> Array:
    """-1 and 1 for every pair of indices up to ``shape``, and 0 outside the `band`: float64 (h, w).

    Row i is a keystream of its own, so a larger image begins with the same signs.
    """
    h, w = shape
    table = _table(key.derive(USE if nonce is None else f"{USE}/{nonce.hex()}"), min(h, HIGHEST), min(w, HIGHEST))
    out = np.zeros((h, w))
    out[: table.shape[0], : table.shape[1]] = table
    out[~band((h, w))] = 0
    return out


@lru_cache(maxsize=8)
def _table(secret: bytes, rows: int, columns: int) -> Array:
    table = np.stack([signs_of(keystream(secret, row.to_bytes(12, "little"), columns)) for row in range(rows)])
    table.flags.writeable = False
    return table


def spatial(signs: Array) -> Array:
    """The pattern as pixels (h, w): the inverse orthonormal DCT of the signs."""
    from scipy.fft import idctn

    out: Array = idctn(signs, norm="ortho")
    return out


def variance(image: Array) -> Array:
    """Local variance of (h, w), plus that of the floor."""
    from scipy.ndimage import gaussian_filter

    mean = gaussian_filter(image, WINDOW)
    found: Array = np.maximum(gaussian_filter(image * image, WINDOW) - mean * mean, 0) + FLOOR**2
    return found


def _marked(image: Bytes, pattern: Array, psnr: float) -> Bytes:
    grey = brightness(image[None])[0]
    shape = np.clip((variance(grey) / np.median(variance(grey))) ** 0.15, 0.7, 1.6)
    wanted = 255 / 10 ** (psnr / 20)
    push = pattern * shape
    push *= wanted / np.sqrt(np.mean(push**2))
    strength, out = 1.0, image
    for _ in range(8):  # clipping takes some of it away: black cannot get blacker
        moved = image.astype(np.float64) + strength * push[..., None]
        out = np.clip(np.floor(moved + 0.5), 0, 255).astype(np.uint8)
        error = np.sqrt(np.mean((out.astype(np.float64) - image) ** 2))
        if abs(error / wanted - 1) < 0.01:
            break
        strength = min(strength * wanted / max(error, 1e-3), 8.0)
    return out


def whitened(grey: Array, weight: Array | None = None) -> Array:
    """The band's coefficients of an image (h, w), on one scale, (h, w) with 0 outside the band.

    Args:
        grey: brightness.
        weight: what each pixel counts; None for one over the local variance.
    """
    from scipy.fft import dctn
    from scipy.ndimage import gaussian_filter

    if weight is None:
        weight = 1 / variance(grey)
    flat = (grey - gaussian_filter(grey, WINDOW)) * weight
    return scaled(dctn(flat, norm="ortho"))


def scaled(spectrum: Array) -> Array:
    """Coefficients (h, w) divided by the typical size of their ring and clipped at 2; 0 outside the band."""
    shape = (spectrum.shape[0], spectrum.shape[1])
    inside, radius = band(shape), _radius(shape)
    found, at = spectrum[inside], radius[inside]
    span = at.max() - at.min() + 1e-12
    ring = np.minimum((RINGS * (at - at.min()) / span).astype(int), RINGS - 1)
    for k in range(RINGS):
        chosen = ring == k
        if chosen.any():
            found[chosen] /= np.median(np.abs(found[chosen])) / 0.6745 + 1e-12
    out = np.zeros(shape)
    out[inside] = np.clip(found, -CLIP, CLIP)
    return out


def coefficients(pixels: Bytes) -> Array:
    """What images of one size say of every sign, (n, h, w), from the images alone.

    Raises:
        DataError: as `mark_pixels`.
    """
    check_pixels(pixels)
    return np.stack([whitened(grey) for grey in brightness(pixels)])


def together(coefficient: Array) -> Array:
    """Images of one pattern as one: the sum of their coefficients, brought to one scale again; (n, h, w) to (h, w).

    The pattern is the same in all of them, so their T do not add as those of independent patterns would: what images
    have in common adds up as well. Summing first keeps the bound of `qimg_marks.watermark.finding` valid.
    """
    return coefficient[0] if len(coefficient) == 1 else scaled(coefficient.sum(0))


def statistic(coefficient: Array, signs: Array) -> float:
    """T of coefficients (h, w) against signs (h, w)."""
    size = float(np.sqrt((coefficient**2).sum()))
    return float((coefficient * signs).sum()) / size if size > 0 else 0.0
