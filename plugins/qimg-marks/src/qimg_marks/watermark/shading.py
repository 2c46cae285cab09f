"""Gaussian shading: a watermark in the signs of an image's initial noise (imports numpy, scipy.special, bits).

Yang et al., "Gaussian Shading" (arXiv:2404.04956), with a fresh nonce for every image, without which the pattern
repeats and the noise is no longer distributed as it should be (Thietke et al., arXiv:2503.11404). Cell j gets the bit
m_j = payload_(j mod k) XOR keystream_j and the number z_j = ndtri((u_j + m_j) / 2), u_j uniform on (0, 1). For anyone
without the key the m_j are fair coins, so z is exactly standard normal: the images are those of unmarked noise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from qimg_core.errors import DataError
from qimg_marks.watermark.bits import keystream, signs_of
from qimg_marks.watermark.finding import RATE, threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from qimg_marks.watermark.key import WatermarkKey

    Array = npt.NDArray[np.float64]
    Bits = npt.NDArray[np.uint8]

USE = "gaussian-shading"
SMOOTH, DEAD, CLIP = 1.5, 0.15, 0.5
"""Of `coefficients`; chosen on 320 images of the shipped hybrid U-Net that no reported figure counts."""
MOST_PAYLOAD = 64


def least_cells() -> int:
    """Numbers an image's noise needs: with 3 of 4 signs read rightly T is sqrt(n) / 2, which has to reach 5.26."""
    return math.ceil(4 * threshold(RATE) ** 2)


def check_cells(shape: Sequence[int]) -> None:
    """Refuse noise that is too small to carry a mark.

    Raises:
        DataError.
    """
    cells, least = math.prod(shape), least_cells()
    if cells < least:
        raise DataError(
            f"noise of {cells} numbers an image cannot carry a watermark: with every sign read rightly its statistic "
            f"would be {math.sqrt(cells):.1f}, {threshold(RATE):.2f} is needed at a false-positive rate of {RATE:g}; "
            f"wanted {least} numbers or more",
            hint="mark the pixels instead: QIMG_PIXEL_MARK=watermark, or qimg mark FILE --layers watermark",
        )


def message(key: WatermarkKey, nonce: bytes, n: int, payload: Bits | None = None) -> Bits:
    """The bits m_j of n cells, uint8 (n,).

    Args:
        key: the key.
        nonce: 12 bytes, the image's own.
        n: cells.
        payload: 0 and 1, (k,); None for no payload.

    Raises:
        DataError: a payload of no bits, or of more than 64.
    """
    stream = keystream(key.derive(USE), nonce, n)
    if payload is None:
        return stream
    if not 1 <= len(payload) <= MOST_PAYLOAD or np.any((payload != 0) & (payload != 1)):
        raise DataError(f"a payload is 1 to {MOST_PAYLOAD} bits, got {len(payload)}")
    return stream ^ np.resize(np.asarray(payload, np.uint8), n)


def shade(bits: Bits, uniform: Array) -> npt.NDArray[np.float32]:
    """Standard normal numbers whose signs are the bits.

    Args:
        bits: uint8 of 0 and 1.
        uniform: of the same shape, in (0, 1).
    """
    from scipy.special import ndtri

    out: npt.NDArray[np.float32] = ndtri((uniform + bits) / 2).astype(np.float32)
    return out


def coefficients(noise: npt.ArrayLike) -> Array:
    """How much each sign of an estimated noise is worth: float64 (n, cells), from the estimate alone.

    Noise of images (n, c, h, w) is first freed of its slow part (a Gaussian blur of 1.5 cells), which an inversion
    gets wrong most. What then lies within 0.15 of zero says nothing (an unlit background is all of that kind), the
    rest counts up to 0.5: beyond, a sign is as sure as it gets.

    Raises:
        DataError: fewer than two axes, or values that are not finite.
    """
    from scipy.ndimage import gaussian_filter

    z = np.asarray(noise, np.float64)
    if z.ndim < 2 or not np.isfinite(z).all():
        raise DataError(f"wanted finite noise (n, ...), got shape {z.shape}")
    if z.ndim == 4:
        z = z - gaussian_filter(z, (0, 0, SMOOTH, SMOOTH))
    z = np.sign(z) * np.clip(np.abs(z) - DEAD, 0, CLIP)
    return z.reshape(len(z), -1)


def soft(coefficient: Array, signs: Array) -> float:
    """T of images judged together: sum(c e) / sqrt(sum(c^2)) over all cells of all of them; 0 where all c are 0.

    Args:
        coefficient: (n, cells).
        signs: (n, cells) of -1 and 1, or (cells,).
    """
    square = float((coefficient**2).sum())
    return float((coefficient * signs).sum()) / math.sqrt(square) if square > 0 else 0.0


def hard(noise: npt.ArrayLike, bits: Bits) -> tuple[int, float]:
    """Cells whose sign is the bit, and the exact P(that many or more by chance), binomial with p = 1/2.

    Args:
        noise: of any shape.
        bits: as many.
    """
    from scipy.stats import binom

    read = np.asarray(noise).reshape(-1) > 0
    matches = int((read == bits.reshape(-1).astype(bool)).sum())
    return matches, float(binom.sf(matches - 1, read.size, 0.5))


def expected(coefficient: Array) -> float:
    """T of a mark in these images if the coefficients are as sure as their size says: c / clip = E[sign].

    A rough figure, for telling "not there" from "could not have been seen".
    """
    return math.sqrt(float((coefficient**2).sum())) / CLIP


def read_payload(coefficient: Array, key: WatermarkKey, nonces: Sequence[bytes], k: int) -> tuple[Bits, Array]:
    """The payload of images that carry the same one, and each bit's T.

    Args:
        coefficient: (n, cells).
        key: the key.
        nonces: of each image.
        k: bits of the payload.

    Returns:
        uint8 (k,) and float64 (k,).
    """
    n = coefficient.shape[1]
    c = coefficient * np.stack([signs_of(message(key, nonce, n)) for nonce in nonces])
    place = np.arange(n) % k  # a payload bit of 1 flips the keystream's
    sums = np.stack([-c[:, place == i].sum() for i in range(k)])
    squares = np.stack([(c[:, place == i] ** 2).sum() for i in range(k)])
    return (sums > 0).astype(np.uint8), sums / np.sqrt(np.maximum(squares, 1e-30))
