"""Near-duplicates: a perceptual hash proposes pairs, the pixels decide (imports errors, numpy, scipy).

The hash has 64 bits: whether each of the coefficients 1 to 8 by 1 to 8 of a type-II DCT of the picture, averaged to
32x32, is above their median (as in "pHash", C. Zauner 2010). Pairs whose hashes differ in at most
``bits`` are compared by the root mean square difference of their pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from qimg_core.datasets.resize import resize
from qimg_core.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

BITS, DISTANCE = 6, 0.06
_BANDS = 8


@frozen
class Pair:
    """Two images that look the same: their numbers, bits between the hashes, RMS difference of pixels in [0, 1]."""

    first: int
    second: int
    bits: int
    distance: float


def hashes(images: Any) -> npt.NDArray[np.uint64]:
    """Perceptual hashes, uint64 (n,).

    Args:
        images: float (n, h, w, c) in [0, 1].

    Raises:
        DataError: another shape.
    """
    from scipy.fft import dctn

    array = np.asarray(images, dtype=np.float32)
    if array.ndim != 4 or not len(array):
        raise DataError(f"wanted images (n, h, w, c), got shape {array.shape}")
    grey = array.mean(3, keepdims=True)
    out = np.zeros(len(grey), np.uint64)
    for at in range(0, len(grey), 2048):
        small = resize(grey[at : at + 2048], (32, 32))[..., 0]
        low = dctn(small, axes=(1, 2), norm="ortho")[:, 1:9, 1:9].reshape(len(small), -1)
        lit = low > np.median(low, axis=1, keepdims=True)
        out[at : at + 2048] = np.packbits(lit, axis=1).view(">u8")[:, 0]
    return out


def near_duplicates(images: Any, *, bits: int = BITS, distance: float = DISTANCE) -> tuple[Pair, ...]:
    """Pairs that look the same, in order.

    Every pair within 7 bits is proposed: of 8 bytes, one is the same.

    Args:
        images: float (n, h, w, c) in [0, 1].
        bits: largest Hamming distance of the hashes, up to 7.
        distance: largest root mean square difference of the pixels.

    Raises:
        DataError: another shape, or more than 7 bits.
    """
    if not 0 <= bits < _BANDS:
        raise DataError(f"near-duplicates: wanted 0 to {_BANDS - 1} bits, got {bits}")
    array = np.asarray(images, dtype=np.float32)
    codes = hashes(array)
    flat = array.reshape(len(array), -1)
    found: dict[tuple[int, int], Pair] = {}
    for band in range(_BANDS):
        byte = (codes >> np.uint64(8 * band)) & np.uint64(255)
        for value in range(256):
            members = np.flatnonzero(byte == value)
            for k, i in enumerate(members[:-1]):
                rest = members[k + 1 :]
                apart = np.bitwise_count(codes[rest] ^ codes[i])
                for j in rest[apart <= bits]:
                    pair = (int(i), int(j))
                    if pair in found:
                        continue
                    gap = float(np.sqrt(((flat[i] - flat[j]) ** 2).mean()))
                    if gap <= distance:
                        found[pair] = Pair(*pair, int(np.bitwise_count(codes[i] ^ codes[j])), gap)
    return tuple(found[p] for p in sorted(found))
